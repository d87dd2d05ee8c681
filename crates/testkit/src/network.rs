//! A network of one's own, with every port free: for what has to be tested at the ports that people use.

use std::process::Command;

/// The words to put in front of `sh -c SCRIPT` so that it runs in a fresh network with a loopback that works.
///
/// Nothing, when that cannot be had but `port` is free here, so that the script can run as it is.
///
/// # Panics
/// When neither is so.
#[must_use]
pub fn private(port: u16) -> Vec<&'static str> {
    const UP: &str = "ip link set lo up";
    for flags in ["-n", "-rn"] {
        let tried = Command::new("unshare").args([flags, "sh", "-c", UP]).output();
        if tried.is_ok_and(|done| done.status.success()) {
            return vec!["unshare", flags, "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"];
        }
    }
    let free = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).is_ok();
    assert!(
        free,
        "port {port} is taken, and there is no private network without 'unshare' (util-linux) and 'ip' (iproute2)"
    );
    Vec::new()
}
