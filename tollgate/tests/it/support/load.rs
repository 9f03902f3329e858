//! Callers: each has one connection, makes one call at a time, and remembers how every call ended.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::api::split;

/// How calls ended.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Calls by status.
    pub(crate) answered: BTreeMap<u16, u64>,
    /// Calls that were sent and not answered: in flight when a process was killed.
    pub(crate) in_flight: u64,
}

/// Callers at work.
pub(crate) struct Load {
    stop: CancellationToken,
    callers: JoinSet<Tally>,
    succeeded: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
}

/// Whom to call and how.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The whole URL.
    pub(crate) url: String,
    /// The consumer key.
    pub(crate) key: String,
    /// Between two calls of one caller.
    pub(crate) pause: Duration,
}

// === impl Tally ===

impl Tally {
    /// Calls answered with 200: those that cost money.
    pub(crate) fn succeeded(&self) -> u64 {
        self.of(200)
    }

    /// Calls answered with `status`.
    pub(crate) fn of(&self, status: u16) -> u64 {
        self.answered.get(&status).copied().unwrap_or(0)
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        for (status, count) in other.answered {
            *self.answered.entry(status).or_default() += count;
        }
        self.in_flight += other.in_flight;
    }
}

// === impl Load ===

impl Load {
    /// Sets `each` callers to work for every one of `callers`.
    pub(crate) fn start(callers: &[Caller], each: usize) -> Self {
        let stop = CancellationToken::new();
        let (succeeded, refused) = (Arc::default(), Arc::default());
        let mut tasks = JoinSet::new();
        for caller in callers {
            for _ in 0..each {
                let counters = [Arc::clone(&succeeded), Arc::clone(&refused)];
                tasks.spawn(caller.clone().work(stop.clone(), counters));
            }
        }
        Self { stop, callers: tasks, succeeded, refused }
    }

    /// Calls answered with 200 so far.
    pub(crate) fn succeeded(&self) -> u64 {
        self.succeeded.load(Ordering::Relaxed)
    }

    /// Calls answered with 402 so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Waits until at least `count` calls succeeded in all.
    pub(crate) async fn until_succeeded(&self, count: u64) {
        super::eventually("calls succeed", || async {
            let seen = self.succeeded();
            if seen >= count { Ok(()) } else { Err(format!("{seen} of {count}")) }
        })
        .await;
    }

    /// Waits until at least `count` calls were refused for want of money.
    pub(crate) async fn until_refused(&self, count: u64) {
        super::eventually("calls are refused", || async {
            let seen = self.refused();
            if seen >= count { Ok(()) } else { Err(format!("{seen} of {count}")) }
        })
        .await;
    }

    /// Lets every caller end its call and answers how all of them ended.
    pub(crate) async fn end(mut self) -> Tally {
        self.stop.cancel();
        let mut all = Tally::default();
        while let Some(tally) = self.callers.join_next().await {
            all += tally.expect("a caller does not panic");
        }
        all
    }
}

// === impl Caller ===

impl Caller {
    /// A caller that does not pause.
    pub(crate) fn new(url: String, key: &str) -> Self {
        Self { url, key: key.to_owned(), pause: Duration::ZERO }
    }

    async fn work(
        self,
        stop: CancellationToken,
        [succeeded, refused]: [Arc<AtomicU64>; 2],
    ) -> Tally {
        let mut tally = Tally::default();
        let mut connection = None;
        while !stop.is_cancelled() {
            let Some(sender) = self.connected(&mut connection).await else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            match self.call(sender).await {
                Some(status) => {
                    *tally.answered.entry(status).or_default() += 1;
                    match status {
                        200 => succeeded.fetch_add(1, Ordering::Relaxed),
                        402 => refused.fetch_add(1, Ordering::Relaxed),
                        _ => 0,
                    };
                }
                None => {
                    tally.in_flight += 1;
                    connection = None;
                }
            }
            if !self.pause.is_zero() {
                tokio::time::sleep(self.pause).await;
            }
        }
        tally
    }

    async fn connected<'a>(
        &self,
        connection: &'a mut Option<SendRequest<Empty<Bytes>>>,
    ) -> Option<&'a mut SendRequest<Empty<Bytes>>> {
        let is_open = match connection {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !is_open {
            let stream = TcpStream::connect(split(&self.url).0).await.ok()?;
            let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.ok()?;
            tokio::spawn(driver);
            *connection = Some(sender);
        }
        connection.as_mut()
    }

    /// The status of one call, or `None` where it was sent and no head came back. A head that came back is an answer, even if
    /// its body breaks off.
    async fn call(&self, sender: &mut SendRequest<Empty<Bytes>>) -> Option<u16> {
        let (authority, path) = split(&self.url);
        let request = Request::get(path)
            .header(header::HOST, authority)
            .header("x-api-key", &self.key)
            .body(Empty::new())
            .expect("a sound request");
        let response = sender.send_request(request).await.ok()?;
        let status = response.status().as_u16();
        let _ = response.into_body().collect().await;
        Some(status)
    }
}
