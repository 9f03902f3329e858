//! What is known of one client connection.

use std::cell::RefCell;
use std::fmt::Write;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::HeaderValue;
use prometheus::IntGauge;
use tokio::sync::OwnedSemaphorePermit;

pub(crate) use super::client_io::ClientIo;
use super::watch_list::Watch;

/// One client connection, as its calls see it.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its address as `X-Forwarded-For` has it.
    pub(crate) address: HeaderValue,
    pub(crate) is_tls: bool,
    pub(crate) watch: Arc<Watch>,
    /// Its address as `Forwarded` has it.
    node: String,
    /// The last `Forwarded` element and the host that it names: most connections ask for one host.
    forwarded: RefCell<Option<(HeaderValue, HeaderValue)>>,
    _permit: Permit,
}

/// Leave to be connected; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Permit {
    _slot: OwnedSemaphorePermit,
    load: Arc<AtomicUsize>,
    gauge: IntGauge,
}

/// Runs hyper's tasks on the thread that they were born on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalExecutor;

// === impl Client ===

impl Client {
    pub(crate) fn new(address: SocketAddr, is_tls: bool, permit: Permit) -> Rc<Self> {
        let address = address.ip().to_canonical();
        let node = match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("\"[{address}]\""),
        };
        Rc::new(Self {
            address: value(address.to_string()),
            is_tls,
            watch: Arc::new(Watch::new()),
            node,
            forwarded: RefCell::new(None),
            _permit: permit,
        })
    }

    /// This hop's element of `Forwarded` (RFC 7239), for a call to this host.
    pub(crate) fn forwarded(&self, host: &HeaderValue) -> HeaderValue {
        if let Some((known, element)) = &*self.forwarded.borrow()
            && known == host
        {
            return element.clone();
        }
        let mut element = format!("for={}", self.node);
        // A host that was let in has no quote or backslash.
        let host_text = host.to_str().unwrap_or_default();
        if !host_text.is_empty() {
            let _ = write!(element, ";host=\"{host_text}\"");
        }
        element.push_str(if self.is_tls { ";proto=https" } else { ";proto=http" });
        let element = value(element);
        self.forwarded.replace(Some((host.clone(), element.clone())));
        element
    }
}

fn value(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text))
        .expect("addresses and checked hosts are printable ASCII")
}

// === impl Permit ===

impl Permit {
    pub(crate) fn new(slot: OwnedSemaphorePermit, load: Arc<AtomicUsize>, gauge: IntGauge) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        gauge.inc();
        Self { _slot: slot, load, gauge }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
        self.gauge.dec();
    }
}

// === impl LocalExecutor ===

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}
