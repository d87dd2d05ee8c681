//! Whose sockets these are, as far as the kernel tells (`/proc`): of this machine, and of processes of this user.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// States of a socket in the kernel's table.
const CONNECTED: &str = "01";
const LISTEN: &str = "0A";

/// The process that calls from `peer`, an address of this machine. Costs a look at every process of this user.
#[must_use]
pub fn caller(peer: SocketAddr) -> Option<u32> {
    let same = |address: &str, port: u16| port == peer.port() && is(address, peer.ip());
    peer.ip().to_canonical().is_loopback().then(|| owner(&inodes(CONNECTED, same)))?
}

/// The folder in which a process works.
#[must_use]
pub fn folder_of(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

/// Sockets that listen on `wanted`, or on all addresses of its port.
pub(super) fn listening(wanted: SocketAddr) -> Vec<String> {
    let version = |address: &str| match wanted.ip() {
        IpAddr::V4(_) => false,
        IpAddr::V6(_) => address.len() == 32,
    };
    inodes(LISTEN, |address, port| {
        let any = address.bytes().all(|byte| byte == b'0');
        port == wanted.port() && (any || is(address, wanted.ip()) || version(address) || wanted.ip().is_unspecified())
    })
}

/// The process that holds one of these sockets.
pub(super) fn owner(inodes: &[String]) -> Option<u32> {
    if inodes.is_empty() {
        return None;
    }
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds = descriptors.flatten().any(|descriptor| {
            fs::read_link(descriptor.path())
                .is_ok_and(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str()))
        });
        if holds {
            return Some(pid);
        }
    }
    None
}

/// Names of the sockets in `state` whose own address and port are `wanted`.
fn inodes(state: &str, wanted: impl Fn(&str, u16) -> bool) -> Vec<String> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().skip(1).filter_map(|line| inode(line, state, &wanted)).collect::<Vec<String>>())
        .collect()
}

fn inode(line: &str, wanted_state: &str, wanted: impl Fn(&str, u16) -> bool) -> Option<String> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (local, state, inode) = (*fields.get(1)?, *fields.get(3)?, *fields.get(9)?);
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    (state == wanted_state && wanted(address, port)).then(|| format!("socket:[{inode}]"))
}

/// Whether the kernel's `address` is `ip`, which it may also write as IPv6.
fn is(address: &str, ip: IpAddr) -> bool {
    let word = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let plain = word(ip.octets());
            address == plain || address.ends_with(&plain) && address.len() == 32
        }
        IpAddr::V6(ip) => {
            let bytes = ip.octets();
            let words = bytes.chunks_exact(4).filter_map(|four| four.try_into().ok()).map(word);
            address == words.collect::<String>()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_process_at_the_other_end_is_found_with_its_folder() {
        for host in ["127.0.0.1", "[::1]"] {
            // A machine may have no IPv6.
            let Ok(listener) = TcpListener::bind(format!("{host}:0")) else { continue };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let peer = client.local_addr().unwrap();
            assert_eq!(caller(peer), Some(std::process::id()), "{peer}");
            drop(client);
        }
        assert_eq!(folder_of(std::process::id()), std::env::current_dir().ok());
        assert_eq!(caller("192.0.2.7:80".parse().unwrap()), None);
    }
}
