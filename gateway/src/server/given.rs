//! Serves clients that are passed in, on the runtime of the caller.
//!
//! A network that is passed in may belong to the thread that its connections were made on, and to the time that passes there;
//! so there is one worker, no thread is started, and everything a worker does it does here. What is left out against `run`:
//! listening, TLS, and dealing connections out to several workers.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use futures_util::{Stream, StreamExt};
use tokio::sync::{Semaphore, mpsc, watch};

use super::client::Permit;
use super::worker::Worker;
use super::{Dealt, DealtStream, Parts, ServeError, shared};
use crate::admission::Admission;
use crate::network::{GivenStream, Network};

/// Serves until `shutdown` ends, or the clients do, and every open call has. To be polled within a `LocalSet`.
///
/// # Errors
/// What keeps the gateway from serving.
pub async fn serve_given<A: Admission>(
    clients: impl Stream<Item = io::Result<(GivenStream, SocketAddr)>>,
    mut parts: Parts<A>,
    network: &Network,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    parts.limits.workers = 1;
    let connections_max = parts.limits.connections_max.min(Semaphore::MAX_PERMITS);
    let shared = Arc::new(shared(parts, network)?);
    let connections = Arc::new(Semaphore::new(connections_max));
    let (drain, draining) = watch::channel(false);
    // Unbounded in itself; the semaphore of connections bounds what is in it.
    let (deal, dealt) = mpsc::unbounded_channel();
    let load = Arc::new(AtomicUsize::new(0));
    let dealing = async {
        let mut clients = pin!(clients);
        while let Ok(slot) = Arc::clone(&connections).acquire_owned().await {
            let (stream, address) = match clients.next().await {
                Some(Ok(client)) => client,
                Some(Err(error)) => {
                    tracing::warn!(%error, "cannot accept a client");
                    continue;
                }
                None => break,
            };
            let permit =
                Permit::new(slot, Arc::clone(&load), shared.metrics.connections_open.clone());
            let stream = DealtStream::Given(stream);
            // A worker that is gone drops the client.
            let _ = deal.send(Dealt { stream, address, tls: None, permit });
        }
    };
    let serving = async {
        let core = Worker::new(Arc::clone(&shared)).serve(dealt, draining).await;
        core.metrics.flush();
    };
    let ending = async {
        tokio::select! {
            () = dealing => {}
            () = shutdown => {}
        }
        drain.send_replace(true);
    };
    tokio::join!(serving, ending);
    Ok(())
}
