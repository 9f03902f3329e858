//! Finds the process at the other end of a connection on this machine, as `ss -p` does.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// The name of the process, of those given by name and id, whose socket is bound to `from` and connected to `here`.
#[must_use]
pub fn owner(
    from: SocketAddr,
    here: SocketAddr,
    processes: &HashMap<String, u32>,
) -> Option<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let socket = format!("socket:[{}]", inode(&table, from, here)?);
    let holds = |id: &u32| {
        let files = std::fs::read_dir(format!("/proc/{id}/fd")).ok();
        files.into_iter().flatten().flatten().any(|file| {
            std::fs::read_link(file.path()).is_ok_and(|target| target == Path::new(&socket))
        })
    };
    processes.iter().find(|(_, id)| holds(id)).map(|(name, _)| name.clone())
}

/// The inode of the socket with these ends; the kernel's table is described in proc(5).
fn inode(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<&str> {
    let (local, remote) = (hex(local)?, hex(remote)?);
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(1) == Some(&local.as_str()) && fields.get(2) == Some(&remote.as_str()))
            .then(|| fields.get(9).copied())
            .flatten()
    })
}

/// An address as the kernel writes it: the four bytes as one number of this machine, then the port.
fn hex(address: SocketAddr) -> Option<String> {
    match address.ip() {
        IpAddr::V4(ip) => {
            Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port()))
        }
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_is_found_by_the_process_that_owns_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, from) = listener.accept().unwrap();
        let here = accepted.local_addr().unwrap();
        let this = ("this".to_owned(), std::process::id());
        let nobody = ("nobody".to_owned(), u32::MAX);
        let found = owner(from, here, &HashMap::from([this, nobody.clone()]));
        assert_eq!(found.as_deref(), Some("this"));
        assert_eq!(owner(from, here, &HashMap::from([nobody])), None);
    }
}
