//! Drives calls through all gateways when they are due, and notes what became of each.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::caller::{ANSWER_TIMEOUT, Connection};
use crate::clock::Clock;
use crate::fleet::Place;
use crate::pacer::Pacer;
use crate::portal::Developer;
use crate::site::Site;
use crate::tally::Tally;

/// How long calls that are late may go on once the load is over; what is left then counts as not sent.
const LATE_MAX: Duration = Duration::from_secs(1);

/// How hard, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Over all gateways.
    pub calls_per_second: u64,
    /// When the first call is due.
    pub start: Duration,
    /// For how long calls are due.
    pub span: Duration,
    /// Connections to each gateway.
    pub connections: usize,
}

/// Makes all calls of a pace, and returns when each is over or given up.
pub async fn drive(
    site: &Site,
    developers: &Arc<[Developer]>,
    pace: Pace,
    clock: Clock,
    tally: &Arc<Tally>,
) {
    let targets = u64::try_from(site.gateways.len()).unwrap_or(u64::MAX);
    let mut pacers = Vec::with_capacity(site.gateways.len());
    let mut workers = JoinSet::new();
    for ((gateway, (_, place)), target) in site.gateways.iter().enumerate().zip(0..) {
        let pacer =
            Arc::new(Pacer::new(pace.calls_per_second, (target, targets), pace.start, pace.span));
        pacers.push(Arc::clone(&pacer));
        for _ in 0..pace.connections {
            let worker = Worker {
                gateway,
                place: place.clone(),
                path: site.path.clone(),
                developers: Arc::clone(developers),
                pacer: Arc::clone(&pacer),
                clock,
                tally: Arc::clone(tally),
            };
            workers.spawn(worker.run());
        }
    }
    let end = pace.start + pace.span;
    let all = async { while workers.join_next().await.is_some() {} };
    tokio::pin!(all);
    let late = clock.until(end + LATE_MAX);
    tokio::select! {
        () = &mut all => {}
        () = late => {
            for (gateway, pacer) in pacers.iter().enumerate() {
                pacer.stop().for_each(|due| tally.note_not_sent(gateway, due));
            }
            // Each worker has one call open at most, which ends by itself.
            let _ = tokio::time::timeout(ANSWER_TIMEOUT * 2, all).await;
        }
    }
}

/// One connection's calls.
struct Worker {
    gateway: usize,
    place: watch::Receiver<Place>,
    path: String,
    developers: Arc<[Developer]>,
    pacer: Arc<Pacer>,
    clock: Clock,
    tally: Arc<Tally>,
}

// === impl Worker ===

impl Worker {
    async fn run(self) {
        let mut connection = Connection::default();
        let count = u64::try_from(self.developers.len()).unwrap_or(u64::MAX);
        let gateways = self.pacer.targets();
        while let Some(ticket) = self.pacer.next() {
            self.clock.until(ticket.due).await;
            // Every gateway takes every developer's calls in turn.
            let developer = usize::try_from(ticket.number / gateways % count).unwrap_or_default();
            let address = self.place.borrow().url.trim_start_matches("http://").to_owned();
            let key = &self.developers[developer].key;
            let outcome = connection.call(&address, &self.path, key).await;
            self.tally.note(self.gateway, developer, ticket.due, self.clock.now(), outcome);
        }
    }
}
