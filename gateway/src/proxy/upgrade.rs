//! Carries an upgraded connection: bytes both ways until one side ends or both are silent for too long.

use std::io;
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};

use super::call::Call;
use crate::server::ClientIo;
use crate::upstream::Lease;

/// Bytes under way in one direction.
const BUFFER_BYTES: usize = 16 * 1024;

/// Joins the two sides once both have changed their protocol. The call stays open as long as they are joined.
pub(crate) fn join(
    client: OnUpgrade,
    upstream: OnUpgrade,
    idle: Duration,
    lease: Lease,
    call: Call,
) {
    tokio::task::spawn_local(async move {
        let upgraded = tokio::try_join!(client, upstream);
        // The connection belongs to the two sides now, and does not come back.
        drop(lease);
        match upgraded {
            Ok((client, upstream)) => {
                if let Err(error) = carry(client, upstream, idle).await {
                    tracing::debug!(%error, "an upgraded connection broke");
                }
            }
            Err(error) => tracing::debug!(%error, "an upgrade failed"),
        }
        drop(call);
    });
}

async fn carry(client: Upgraded, upstream: Upgraded, idle: Duration) -> io::Result<()> {
    // What passes now is no HTTP; the guard of heads must not look at it.
    let parts = client
        .downcast::<TokioIo<ClientIo>>()
        .map_err(|_| io::Error::other("the client's stream is not ours"))?;
    let mut client = parts.io.into_inner();
    client.unguard();
    let (mut client_read, mut client_write) = tokio::io::split(client);
    let (mut upstream_read, mut upstream_write) = tokio::io::split(TokioIo::new(upstream));
    // Bytes that came with the head.
    upstream_write.write_all(&parts.read_buf).await?;
    let last = std::cell::Cell::new(Instant::now());
    let up = copy(&mut client_read, &mut upstream_write, &last);
    let down = copy(&mut upstream_read, &mut client_write, &last);
    let silence = async {
        loop {
            let end = last.get() + idle;
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    };
    tokio::select! {
        both = async { tokio::try_join!(up, down) } => both.map(|_| ()),
        () = silence => Ok(()),
    }
}

/// Copies one direction to its end and passes the end on.
async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    last: &std::cell::Cell<Instant>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).await?;
        last.set(Instant::now());
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
        to.flush().await?;
        last.set(Instant::now());
    }
}
