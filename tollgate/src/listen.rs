//! Binds the ports of a process, and writes down what was bound.

use std::net::SocketAddr;

use tokio::net::TcpListener;

/// A bound port.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Takes connections from now on; they wait until somebody accepts them.
    pub(crate) listener: TcpListener,
    /// Where it is, with the port that was chosen.
    pub(crate) address: SocketAddr,
}

/// A port that cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({what})")]
pub(crate) struct ListenError {
    /// What was to listen.
    what: &'static str,
    /// Where.
    address: SocketAddr,
    /// What the system says.
    #[source]
    source: std::io::Error,
}

// === impl Bound ===

impl Bound {
    /// Binds `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`ListenError`].
    pub(crate) async fn bind(what: &'static str, address: SocketAddr) -> Result<Self, ListenError> {
        let failed = |source| ListenError { what, address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// `http://host:port`, or `https://…` with TLS.
    pub(crate) fn url(&self, has_tls: bool) -> String {
        url(self.address, has_tls)
    }
}

/// An address as a client on this machine writes it: one that stands for all interfaces is called by the loopback's.
pub(crate) fn url(address: SocketAddr, has_tls: bool) -> String {
    let scheme = if has_tls { "https" } else { "http" };
    let called = match address {
        SocketAddr::V4(it) if it.ip().is_unspecified() => {
            SocketAddr::from(([127, 0, 0, 1], it.port()))
        }
        SocketAddr::V6(it) if it.ip().is_unspecified() => {
            SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, it.port()))
        }
        other => other,
    };
    format!("{scheme}://{called}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_a_client_calls_it() {
        let check = |address: &str, want: &str| {
            assert_eq!(url(address.parse().unwrap(), false), want);
        };
        check("127.0.0.1:80", "http://127.0.0.1:80");
        check("0.0.0.0:8080", "http://127.0.0.1:8080");
        check("[::]:8080", "http://[::1]:8080");
    }
}
