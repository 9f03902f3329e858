//! Who calls: a few callers for each gateway, each with one connection and one call at a time, and what became of every call.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::time::{sleep, timeout};
use turmoil::net::TcpStream;

use crate::fleet::{GATEWAY_PORT, gateway_name};
use crate::randomness::Rng;
use crate::trace::Trace;

/// Callers of one gateway.
pub(crate) const CALLERS: u64 = 4;
/// Between two calls of a caller, in ms.
const PAUSE_MS: std::ops::Range<u64> = 5..60;
/// A caller that has no answer by then gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// What became of the calls of one gateway.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    /// Calls that began.
    pub(crate) begun: u64,
    /// Calls by the status of their answer.
    pub(crate) answered: BTreeMap<u16, u64>,
    /// Calls that were sent and have no answer.
    pub(crate) unanswered: u64,
    /// When the youngest call that succeeded began.
    pub(crate) youngest: Duration,
}

/// What all callers share.
#[derive(Debug)]
pub(crate) struct Calls {
    pub(crate) tallies: RefCell<Vec<Tally>>,
    pub(crate) is_quiet: std::cell::Cell<bool>,
    key: String,
    trace: Rc<Trace>,
}

// === impl Tally ===

impl Tally {
    /// Calls that cost money for certain.
    pub(crate) fn succeeded(&self) -> u64 {
        self.answered.get(&200).copied().unwrap_or(0)
    }

    /// Calls that may be open.
    pub(crate) fn open(&self) -> u64 {
        self.begun - self.answered.values().sum::<u64>() - self.unanswered
    }
}

// === impl Calls ===

impl Calls {
    pub(crate) fn new(gateways: u64, key: &str, trace: &Rc<Trace>) -> Rc<Self> {
        let tallies = (0..gateways).map(|_| Tally::default()).collect();
        Rc::new(Self {
            tallies: RefCell::new(tallies),
            is_quiet: std::cell::Cell::new(false),
            key: key.to_owned(),
            trace: Rc::clone(trace),
        })
    }

    /// All of them together.
    pub(crate) fn sum(&self) -> Tally {
        let mut all = Tally::default();
        for tally in &*self.tallies.borrow() {
            all.begun += tally.begun;
            all.unanswered += tally.unanswered;
            all.youngest = all.youngest.max(tally.youngest);
            for (status, count) in &tally.answered {
                *all.answered.entry(*status).or_default() += count;
            }
        }
        all
    }

    /// Calls one gateway for ever, but for when it shall be quiet.
    pub(crate) async fn call(self: Rc<Self>, gateway: u64, caller: u64, seed: u64) {
        let mut rng = Rng::new(seed, 100 + gateway * CALLERS + caller);
        let mut connection = None;
        loop {
            sleep(Duration::from_millis(rng.within(PAUSE_MS))).await;
            if self.is_quiet.get() {
                continue;
            }
            let Some(sender) = connected(gateway, &mut connection).await else { continue };
            self.tally(gateway, |tally| tally.begun += 1);
            let began = self.trace.now();
            let status = timeout(PATIENCE, self.one(sender)).await.ok().flatten();
            self.trace.note(|| format!("call {gateway}/{caller}: {status:?}"));
            match status {
                Some(status) => self.tally(gateway, |tally| {
                    *tally.answered.entry(status).or_default() += 1;
                    if status == 200 {
                        tally.youngest = tally.youngest.max(began);
                    }
                }),
                None => {
                    self.tally(gateway, |tally| tally.unanswered += 1);
                    connection = None;
                }
            }
        }
    }

    fn tally(&self, gateway: u64, change: impl FnOnce(&mut Tally)) {
        let place = usize::try_from(gateway).expect("a fleet is small");
        change(&mut self.tallies.borrow_mut()[place]);
    }

    /// The status of one call; `None` where it was sent and no head came back. The body may break off: it was answered.
    async fn one(&self, sender: &mut SendRequest<Empty<Bytes>>) -> Option<u16> {
        let request = Request::get("/today")
            .header(header::HOST, "gateway")
            .header("x-api-key", &self.key)
            .body(Empty::new())
            .expect("a sound request");
        let response = sender.send_request(request).await.ok()?;
        let status = response.status().as_u16();
        response.into_body().collect().await.ok();
        Some(status)
    }
}

/// The caller's connection, a new one where it has none.
async fn connected(
    gateway: u64,
    connection: &mut Option<SendRequest<Empty<Bytes>>>,
) -> Option<&mut SendRequest<Empty<Bytes>>> {
    let is_open = match connection {
        Some(sender) => sender.ready().await.is_ok(),
        None => false,
    };
    if !is_open {
        *connection = None;
        let connecting = TcpStream::connect((gateway_name(gateway), GATEWAY_PORT));
        let stream = timeout(Duration::from_secs(1), connecting).await.ok()?.ok()?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::task::spawn_local(driver);
        *connection = Some(sender);
    }
    connection.as_mut()
}
