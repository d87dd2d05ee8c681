//! Takes the address, or says who has it.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use oneiric::fault::{Fault, Result};
use oneiric::paths::plain;

use super::sockets;

/// An address that this process listens on.
#[derive(Debug)]
pub struct Listener {
    /// The socket, not yet accepting.
    pub socket: TcpListener,
    /// Address with the port that was really taken.
    pub address: SocketAddr,
}

/// What decides whether an address may be taken.
#[derive(Clone, Debug)]
pub struct BindRequest<'a> {
    /// Host name or address.
    pub host: &'a str,
    /// Port; 0 lets the system choose.
    pub port: u16,
    /// Whether callers need a token.
    pub authenticated: bool,
    /// `server.allow_insecure_bind`.
    pub allow_insecure: bool,
}

/// Listens at the address.
///
/// # Errors
/// - configuration: the host is unknown, is not of this machine, or is reachable from outside without a token
/// - conflict: something else has the port; the fault names it when the kernel tells
/// - denied: the port needs rights that this user lacks
pub fn bind(request: &BindRequest<'_>) -> Result<Listener> {
    let BindRequest { host, port, .. } = *request;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = (bare, port)
        .to_socket_addrs()
        .map_err(|error| {
            Fault::config(format!("cannot resolve the host '{host}': {}", plain(&error)))
                .hint("set server.host (or --host) to 127.0.0.1 or an address of this machine")
        })?
        .collect();
    let Some(address) = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()).copied() else {
        return Err(Fault::config(format!("the host '{host}' has no address")).hint("set server.host to 127.0.0.1"));
    };
    if !address.ip().is_loopback() && !request.authenticated && !request.allow_insecure {
        return Err(Fault::config(format!("{address} can be reached from other machines and no token is asked for")).hint(
            "turn auth on (auth.enabled with a secret), bind 127.0.0.1, or set server.allow_insecure_bind = true if it is meant",
        ));
    }
    let socket = TcpListener::bind(address).map_err(|error| refused(address, &error))?;
    socket
        .set_nonblocking(true)
        .map_err(|error| Fault::internal(format!("cannot use {address}: {}", plain(&error))))?;
    let address = socket.local_addr().unwrap_or(address);
    Ok(Listener { socket, address })
}

fn refused(address: SocketAddr, error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let holder = holder(address).map_or_else(|| "another program".to_owned(), |holder| holder.to_string());
            Fault::conflict(format!("port {} on {} is taken by {holder}", address.port(), address.ip()))
                .hint("stop it, or choose another port with --port")
        }
        io::ErrorKind::PermissionDenied => {
            Fault::denied(format!("this user may not listen on port {}", address.port()))
                .hint("choose a port above 1023 with --port")
        }
        io::ErrorKind::AddrNotAvailable => Fault::config(format!("{} is not an address of this machine", address.ip()))
            .hint("set server.host (or --host) to 127.0.0.1 or an address of this machine"),
        _ => Fault::unavailable(format!("cannot listen on {address}: {}", plain(error))),
    }
}

/// A process that listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Name of the program.
    pub name: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// Who listens there. `None` when the kernel does not tell, as for processes of other users.
#[must_use]
pub fn holder(address: SocketAddr) -> Option<Holder> {
    let pid = sockets::owner(&sockets::listening(address))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
    Some(Holder { pid, name })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use oneiric::fault::FaultKind;

    use super::*;

    fn request(port: u16) -> BindRequest<'static> {
        BindRequest { host: "127.0.0.1", port, authenticated: false, allow_insecure: false }
    }

    #[test]
    fn a_taken_port_names_its_holder_and_what_to_do() {
        let first = bind(&request(0)).unwrap();
        let fault = bind(&request(first.address.port())).unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Conflict);
        assert!(fault.to_string().contains(&format!("(pid {})", std::process::id())), "{fault}");
        assert!(fault.to_string().contains("--port"), "{fault}");
    }

    #[test]
    fn an_address_open_to_others_needs_a_token_or_a_setting() {
        let open = BindRequest { host: "0.0.0.0", ..request(0) };
        let fault = bind(&open).unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Config);
        assert!(fault.to_string().contains("server.allow_insecure_bind"), "{fault}");
        assert!(bind(&BindRequest { authenticated: true, ..open.clone() }).is_ok());
        assert!(bind(&BindRequest { allow_insecure: true, ..open }).is_ok());
    }

    #[test]
    fn an_address_of_another_machine_is_a_configuration_error() {
        let far = BindRequest { host: "192.0.2.7", authenticated: true, ..request(0) };
        assert_eq!(bind(&far).unwrap_err().kind(), FaultKind::Config);
    }
}
