//! `loadtest throughput`: the highest rate that keeps its limits, and the latency at every rate on the way there.
//!
//! The rate doubles until a limit breaks, then the gap between the best that kept and the least that broke is halved until it
//! is small. Where several policies are searched for, their trials take turns, so that what else the machine does meets all of
//! them. A rate is measured warm: what the first calls wait for is the demonstration's to show. The loop is open, so a rate that cannot be kept shows as latency that grows, not as fewer calls.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::clock::{Clock, unix_ms};
use crate::drive::{Pace, drive};
use crate::overspend::{Place, RunError};
use crate::portal::Developer;
use crate::report::Latency;
use crate::report::rates::{Curve, Throughput, Trial};
use crate::scenario::{Overspend, RATE_MAX, Scenario};
use crate::site::Site;
use crate::tally::Tally;

/// Rates that are tried at most.
const TRIALS_MAX: usize = 24;
/// The search ends when the gap is at most a so-many-th of the rate.
const GAP_SHARE: u64 = 16;
/// How long a rate is driven before it is measured: connections are open by then, and strict wallets have grants for it.
const WARM_UP: Duration = Duration::from_secs(2);
/// Between two trials, so that one does not pay for the other's backlog.
const REST: Duration = Duration::from_millis(500);
const MILLE: u64 = 1_000;

/// What a rate must keep to.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Limits {
    /// 99 of a hundred calls are answered so soon after they were due.
    pub p99: Duration,
    /// Calls of a thousand that may go wrong.
    pub failures_per_mille: u64,
}

/// Searches from the scenario's rate upwards, each rate for the scenario's span.
///
/// # Errors
/// [`RunError`].
pub async fn search(
    scenario: &Scenario,
    limits: Limits,
    place: &Place,
    mut tell: impl FnMut(Overspend, &Trial),
) -> Result<Throughput, RunError> {
    let started_at_ms = unix_ms();
    let folder = place.folder.join("throughput");
    let site = start(scenario, &place.binary, &folder).await?;
    let mut lanes = Vec::with_capacity(scenario.wallets.overspend.len());
    for overspend in &scenario.wallets.overspend {
        let portal = site.portal(&format!("load-{started_at_ms}-{}", overspend.as_str()));
        let developers = portal.make(&scenario.wallets, *overspend, &site.proxy).await?.into();
        let search = Search::new(scenario.load.calls_per_second);
        lanes.push(Lane { overspend: *overspend, developers, search, trials: Vec::new() });
    }
    for _ in 0..TRIALS_MAX {
        for lane in &mut lanes {
            let Some(rate) = lane.search.next() else { continue };
            let trial = try_rate(scenario, limits, &site, &lane.developers, rate).await;
            tell(lane.overspend, &trial);
            lane.search.note(rate, trial.is_sustained);
            lane.trials.push(trial);
            tokio::time::sleep(REST).await;
        }
    }
    Ok(Throughput {
        title: scenario.title.clone(),
        started_at_ms,
        p99_limit_ms: u64::try_from(limits.p99.as_millis()).unwrap_or(u64::MAX),
        failures_limit_per_mille: limits.failures_per_mille,
        gateways: site.gateways.len(),
        curves: lanes.into_iter().map(Lane::into_curve).collect(),
    })
}

async fn start(scenario: &Scenario, binary: &Path, folder: &Path) -> Result<Site, RunError> {
    std::fs::create_dir_all(folder)
        .map_err(|source| RunError::Folder { folder: folder.to_owned(), source })?;
    Ok(Site::start(scenario, binary, folder).await?)
}

async fn try_rate(
    scenario: &Scenario,
    limits: Limits,
    site: &Site,
    developers: &Arc<[Developer]>,
    rate: u64,
) -> Trial {
    drive_for(scenario, site, developers, rate, WARM_UP).await;
    let tally = drive_for(scenario, site, developers, rate, scenario.span()).await;
    let (counts, latency) = (tally.total(), Latency::of(&tally.latency()));
    // A wallet that ran dry is not carried traffic either.
    let failed = counts.failed() + counts.dry;
    let is_soon = Duration::from_micros(latency.p99_us) <= limits.p99;
    let is_sound = failed * MILLE <= counts.all() * limits.failures_per_mille;
    let is_sustained = is_soon && is_sound && counts.answered > 0;
    Trial { calls_per_second: rate, due: counts.all(), failed, latency, is_sustained }
}

async fn drive_for(
    scenario: &Scenario,
    site: &Site,
    developers: &Arc<[Developer]>,
    rate: u64,
    span: Duration,
) -> Arc<Tally> {
    let tally = Arc::new(Tally::new(site.gateways.len(), developers.len()));
    let pace = Pace {
        calls_per_second: rate,
        start: Duration::ZERO,
        span,
        connections: scenario.load.connections,
    };
    drive(site, developers, pace, Clock::start(), &tally).await;
    tally
}

/// The search for wallets of one policy.
struct Lane {
    overspend: Overspend,
    developers: Arc<[Developer]>,
    search: Search,
    trials: Vec<Trial>,
}

/// Which rate is tried next.
#[derive(Debug)]
struct Search {
    first: u64,
    best: u64,
    worst: Option<u64>,
}

// === impl Lane ===

impl Lane {
    fn into_curve(mut self) -> Curve {
        self.trials.sort_by_key(|trial| trial.calls_per_second);
        Curve { overspend: self.overspend, sustained: self.search.best, trials: self.trials }
    }
}

// === impl Search ===

impl Search {
    fn new(first: u64) -> Self {
        Self { first, best: 0, worst: None }
    }

    fn next(&self) -> Option<u64> {
        match self.worst {
            None if self.best == 0 => Some(self.first),
            None => Some(self.best.saturating_mul(2)).filter(|rate| *rate <= RATE_MAX),
            Some(worst) => {
                let gap = worst - self.best;
                (gap > (worst / GAP_SHARE).max(1)).then(|| self.best + gap / 2)
            }
        }
    }

    fn note(&mut self, rate: u64, is_sustained: bool) {
        if is_sustained {
            self.best = self.best.max(rate);
        } else {
            self.worst = Some(self.worst.map_or(rate, |worst| worst.min(rate)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_ends_near_the_highest_rate_that_keeps() {
        for (first, limit) in [(100, 7_321), (1_000, 900), (500, 499), (1, 1), (1_000, RATE_MAX)] {
            let mut search = Search::new(first);
            let mut trials = 0;
            while let Some(rate) = search.next() {
                search.note(rate, rate <= limit);
                trials += 1;
                assert!(trials <= TRIALS_MAX, "{first} to {limit}");
            }
            let best = search.best;
            assert!(best <= limit, "{best} of {limit}");
            let is_near = best * 2 > RATE_MAX || best + (best / 8).max(1) >= limit;
            assert!(is_near, "{best} of {limit}");
        }
    }
}
