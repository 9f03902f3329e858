//! What all shards together have, for gauges.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tollgate_metering::{Currency, Money};

use super::Shard;
use super::exposure::shown;
use crate::metrics::Metrics;

/// How often the gauges are set.
const INTERVAL: Duration = Duration::from_secs(1);

/// What one shard has.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShardGauges {
    pub(crate) wallets: usize,
    pub(crate) dirty_registers: usize,
    pub(crate) overdraft_wallets: usize,
    pub(crate) overdraft: BTreeMap<Currency, Money>,
    /// Sum and greatest of the bounds on overspend.
    pub(crate) exposure: BTreeMap<Currency, (Money, Money)>,
}

/// What each shard has.
#[derive(Debug, Default)]
pub(crate) struct Gauges(Mutex<BTreeMap<usize, ShardGauges>>);

// === impl Gauges ===

impl Gauges {
    fn set(&self, shard: usize, gauges: ShardGauges, metrics: &Metrics) {
        let mut shards = self.0.lock();
        shards.insert(shard, gauges);
        let sum = |count: fn(&ShardGauges) -> usize| {
            i64::try_from(shards.values().map(count).sum::<usize>()).unwrap_or(i64::MAX)
        };
        metrics.wallets.set(sum(|each| each.wallets));
        metrics.dirty_registers.set(sum(|each| each.dirty_registers));
        metrics.overdraft_wallets.set(sum(|each| each.overdraft_wallets));
        let mut overdraft: BTreeMap<Currency, Money> = BTreeMap::new();
        for (currency, debt) in shards.values().flat_map(|each| &each.overdraft) {
            let total = overdraft.entry(*currency).or_default();
            *total = total.plus(*debt).unwrap_or(Money::MAX);
        }
        for (currency, total) in overdraft {
            metrics.overdraft_total.with_label_values(&[currency.as_str()]).set(shown(total));
        }
        let mut exposure: BTreeMap<Currency, (Money, Money)> = BTreeMap::new();
        for (currency, (sum, greatest)) in shards.values().flat_map(|each| &each.exposure) {
            let all = exposure.entry(*currency).or_default();
            *all = (all.0.plus(*sum).unwrap_or(Money::MAX), all.1.max(*greatest));
        }
        for (currency, (sum, greatest)) in exposure {
            let label = [currency.as_str()];
            metrics.exposure_total.with_label_values(&label).set(shown(sum));
            metrics.exposure_largest.with_label_values(&label).set(shown(greatest));
        }
    }
}

// === impl Shard ===

impl Shard {
    pub(super) fn gauge(&mut self, now: Duration) {
        if now < self.gauges_at {
            return;
        }
        self.gauges_at = now + INTERVAL;
        self.gauges.wallets = self.wallets.len();
        self.gauges.overdraft_wallets = 0;
        // A currency whose debts are paid stays, with nothing: its gauge must fall to zero.
        self.gauges.overdraft.values_mut().for_each(|debt| *debt = Money::ZERO);
        self.gauges.exposure.values_mut().for_each(|bounds| *bounds = Default::default());
        for entry in self.wallets.values() {
            if let Some(account) = entry.machine.account() {
                let most = entry.watched.bound.most;
                let bounds = self.gauges.exposure.entry(account.header.currency).or_default();
                *bounds = (bounds.0.plus(most).unwrap_or(Money::MAX), bounds.1.max(most));
            }
            if let Some(account) = entry.machine.account()
                && !entry.overdraft.is_zero()
            {
                self.gauges.overdraft_wallets += 1;
                let debt = self.gauges.overdraft.entry(account.header.currency).or_default();
                *debt = debt.plus(entry.overdraft).unwrap_or(Money::MAX);
            }
        }
        let node = &self.node;
        node.gauges.set(self.index, self.gauges.clone(), &node.metrics);
    }
}
