//! How far calls may take each wallet below its floor, and how far they did.
//!
//! The bound itself is `metering::exposure`; here is what it is measured from, looked at whenever
//! the wallet is: registers for the pace of the fastest gateway, and the most that lay above the
//! floor within the age of knowledge, since a gateway may still go by that. A wallet that comes
//! back to its floor has its deepest point counted.
//! Bounds: a sum an incarnation with registers. Not here: what is forgotten with an idle wallet.

use std::time::Duration;

use tollgate_metering::exposure::{
    self, Circumstances, Delays, Exposure, Fastest, Standing, dearest, free_tiers, spent_by,
};
use tollgate_metering::node::FENCE;
use tollgate_metering::node::need::{self, Bounds};
use tollgate_metering::{Money, Period, UnixMillis};

use super::{Entry, Worth};
use crate::node::Node;
use crate::settings::ExposureTerms;

/// What is remembered of one wallet.
#[derive(Debug, Default)]
pub(super) struct Watched {
    fastest: Fastest,
    free_tiers: Money,
    dearest: Money,
    /// The most above the floor in this age of knowledge and in the one before it.
    peaks: [Money; 2],
    peaks_since: Duration,
    looked_at: Duration,
    deepest: Money,
    /// The bound at the newest look.
    pub(super) bound: Exposure,
}

// === impl Entry ===

impl Entry {
    /// Notes where the wallet stands.
    pub(super) fn watch(&mut self, node: &Node, worth: &Worth, now: Duration) {
        let above = above_floor(worth);
        let age = delays(self, node, above).age(Circumstances::default());
        let is_shared = self.is_shared(now);
        let watched = &mut self.watched;
        if now.saturating_sub(watched.peaks_since) >= age {
            watched.peaks.swap(0, 1);
            (watched.peaks[0], watched.peaks_since) = (above, now);
        }
        watched.peaks[0] = watched.peaks[0].max(above);
        watched.looked_at = now;
        if watched.fastest.is_due(now)
            && let Some(account) = self.machine.account()
        {
            let (registers, running) = (self.machine.registers(), Period::of(node.now()));
            // Prices that are not at hand are met again at the balance, which says so.
            let measured = node.prices.with(|rates| {
                Some((
                    spent_by(registers, rates).ok()?,
                    free_tiers(account, registers, rates, running).ok()?,
                    dearest(registers, rates, node.settings.exposure.multiplier_max).ok()?,
                ))
            });
            if let Some((spent, free, dearest)) = measured {
                watched.fastest.look(spent, now);
                (watched.free_tiers, watched.dearest) = (free, dearest);
            }
        }
        let below = above.debt();
        if below.is_zero() && !watched.deepest.is_zero() {
            let deepest = std::mem::take(&mut watched.deepest);
            let currency = worth.header.currency;
            node.metrics.overspend.with_label_values(&[currency.as_str()]).observe(shown(deepest));
        }
        watched.deepest = watched.deepest.max(below);
        self.watched.bound = self.exposure(node, worth, is_shared, now);
    }

    /// The bound that holds now.
    pub(super) fn exposure(
        &self,
        node: &Node,
        worth: &Worth,
        is_shared: bool,
        now: Duration,
    ) -> Exposure {
        let (settings, watched) = (&node.settings.exposure, &self.watched);
        let above = above_floor(worth).max(watched.peaks[0]).max(watched.peaks[1]);
        let standing = Standing {
            gateways: self.gateways(node.now()),
            fastest: watched.fastest.pace(),
            above_floor: above,
            free_tiers: watched.free_tiers,
            dearest: watched.dearest,
            uncovered: exposure::uncovered(worth.held, settings.multiplier_max),
        };
        let is_stale = now.saturating_sub(watched.looked_at) > settings.staleness_limit / 2;
        let age = delays(self, node, above).age(Circumstances { is_shared, is_stale });
        exposure::exposure(worth.header.mode, &standing, age)
    }

    /// Gateways that are known to use the wallet; while nobody has measured, all that may.
    fn gateways(&self, now: UnixMillis) -> u32 {
        let subscribed = u32::try_from(self.machine.gateways()).unwrap_or(u32::MAX);
        let counting = if self.watched.fastest.pace().is_some() {
            self.watched.fastest.gateways()
        } else {
            let all = self.machine.registers().keys().map(|(_, incarnation)| *incarnation);
            let is_alive = |born: UnixMillis| now.since(born) <= FENCE;
            let alive = all.filter(|each| is_alive(each.born) && !self.ended.contains(&each.id));
            let alive: std::collections::BTreeSet<_> = alive.collect();
            u32::try_from(alive.len()).unwrap_or(u32::MAX)
        };
        counting.max(subscribed)
    }
}

/// The wallet's delays: gateways report it, and nodes write it and tell of it, by the same rule as
/// this node.
fn delays(entry: &Entry, node: &Node, above: Money) -> Delays {
    let settings = &node.settings.exposure;
    let (tick, gateways) = (node.settings.tick, entry.machine.subscribers().count());
    let bounds = bounds(settings, tick, gateways);
    // A register and a hold a gateway.
    let persists = tick.max(need::rows_interval(gateways * 2));
    let slowest = node.settings.persist_interval.max(persists);
    Delays {
        sync_interval: entry.burn.interval(above, bounds),
        one_way: settings.one_way,
        persist_interval: entry.burn.interval(above, Bounds { fastest: persists, slowest }),
        ledger_write: settings.ledger_write,
        staleness_limit: settings.staleness_limit,
    }
}

/// How soon and how late gateways report a wallet that so many of them use, and nodes tell of it.
fn bounds(terms: &ExposureTerms, tick: Duration, gateways: usize) -> Bounds {
    let fastest = terms.sync_interval_min.max(tick).max(need::pushes_interval(gateways));
    Bounds { fastest, slowest: terms.sync_interval_max.max(fastest) }
}

fn above_floor(worth: &Worth) -> Money {
    worth.balance.plus(worth.header.overdraft_limit).unwrap_or(worth.balance)
}

/// A metric is a float; nothing reads money from it.
pub(super) fn shown(amount: Money) -> f64 {
    amount.to_string().parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_sooner_than_gateways_report_and_nodes_push() {
        let ms = Duration::from_millis;
        // The gateways' bounds, a tick, gateways of the wallet, and what that comes to.
        let rows = [
            ((20, 2_000), 20, 4, (20, 2_000)),
            ((100, 100), 20, 4, (100, 100)),
            ((20, 2_000), 50, 4, (50, 2_000)),
            ((20, 2_000), 20, 100, (50, 2_000)),
            ((20, 20), 20, 100, (50, 50)),
        ];
        for ((min, max), tick, gateways, (fastest, slowest)) in rows {
            let (sync_interval_min, sync_interval_max) = (ms(min), ms(max));
            let terms =
                ExposureTerms { sync_interval_min, sync_interval_max, ..ExposureTerms::default() };
            let want = Bounds { fastest: ms(fastest), slowest: ms(slowest) };
            assert_eq!(bounds(&terms, ms(tick), gateways), want, "{min} {max} {tick} {gateways}");
        }
    }
}
