//! How a gateway reaches balance-sync and upstreams: over the system's sockets, or over a network that is passed in.
//!
//! A network that is passed in lets a test cut, slow and break what the real code says over it. It carries connections whole:
//! whatever protection they need is its own, so a gateway puts no TLS on top. The system's network costs nothing for it: its
//! streams stay what they are, and only a stream that was passed in is behind a pointer.
//! Not here: listening; who passes in a network passes in clients as well (`server::serve_given`).

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

/// A connection of a network that was passed in.
pub trait ByteStream: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Debug + Send + Unpin> ByteStream for S {}

/// A connection of any kind.
pub type GivenStream = Box<dyn ByteStream>;

/// A connection that is being opened.
pub type Dialling = Pin<Box<dyn Future<Output = io::Result<GivenStream>> + Send>>;

/// A network that is passed in.
pub trait Dial: Debug + Send + Sync + 'static {
    /// Opens a connection. The future may be dropped at any time.
    fn dial(&self, host: &str, port: u16) -> Dialling;
}

/// What a gateway reaches others over.
#[derive(Debug, Clone, Default)]
pub enum Network {
    /// The system's sockets.
    #[default]
    System,
    /// One that was passed in.
    Given(Arc<dyn Dial>),
}
