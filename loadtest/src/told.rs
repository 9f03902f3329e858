//! The bound on overspend as the service told it, against how deep the wallet was when it was told.
//!
//! A bound that grew because of what it should bound would prove nothing. So only what was told before a wallet was at its
//! deepest counts (test: `what_is_told_of_the_deepest_point_comes_too_late`), and what was told before it went below zero at
//! all is kept apart, so that a report can say when the bound rose in between. Depth is taken when the answer is there, from
//! callers' counts and from the ledger, whichever is deeper: an answer that was long on its way counts as a late one.
//!
//! Bounds: a look every [`LOOK_INTERVAL`](crate::watcher::LOOK_INTERVAL) of the run. Not here: the bound by the formula
//! ([`bound`](crate::bound)).

use std::time::Duration;

use crate::bound::Source;
use crate::nanos::Nanos;
use crate::scenario::Overspend;

/// What was told so shortly before a wallet ran dry was in force when it did.
const NEAR: Duration = Duration::from_millis(300);

/// What the service told of a wallet, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// When the answer was there.
    pub at: Duration,
    /// How far the wallet was below zero by then; negative: above.
    pub depth: Nanos,
    /// The bound.
    pub bound: Nanos,
    /// Whether it is promised; else it was measured, and zero means that it was not yet.
    pub is_promised: bool,
}

/// All that was told of one wallet, in order of arrival.
#[derive(Debug, Clone, Default)]
pub struct History {
    looks: Vec<Told>,
}

/// One time that a wallet had no money for another call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Episode {
    /// How far the wallet went below zero.
    pub depth: Nanos,
    /// The greatest bound that was told before it went there; none: the service had not measured.
    pub before: Option<Nanos>,
    /// The same, until the wallet was at its deepest.
    pub in_force: Option<Nanos>,
}

/// What the wallets of a run are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The bound of all wallets together.
    pub bound: Nanos,
    /// Where it comes from.
    pub source: Source,
    /// What was told of it before anything was below zero; none: the service had not measured.
    pub before: Option<Nanos>,
    /// What was told of it until wallets were at their deepest; none: the service had not measured.
    pub told: Option<Nanos>,
    /// Whether a wallet went beyond what was told of it. What is measured is no promise, so this is said, and the formula, which
    /// knows how old knowledge really was, decides.
    pub is_beyond_told: bool,
    /// Whether all of it is within the bound.
    pub is_within: bool,
    /// Whether strict wallets were promised zero, and always.
    pub is_promised: bool,
}

// === impl Held ===

impl Held {
    /// Compares what was overspent with what was told, or with the formula where that is not enough.
    #[must_use]
    pub fn against(
        overspend: Overspend,
        told: &[History],
        price: Nanos,
        overspent: Nanos,
        by_formula: Nanos,
    ) -> Self {
        let wallets: Vec<Vec<Episode>> = told.iter().map(|told| told.episodes(price)).collect();
        let sum = |of: fn(&Episode) -> Option<Nanos>| -> Option<Nanos> {
            let greatest = |episodes: &Vec<Episode>| {
                let all: Option<Vec<Nanos>> = episodes.iter().map(of).collect();
                all.map(|all| all.into_iter().max().unwrap_or_default())
            };
            wallets.iter().map(greatest).sum()
        };
        let in_force = sum(|episode| episode.in_force);
        let is_beyond = |it: &Episode| it.in_force.is_some_and(|bound| it.depth > bound);
        let is_beyond_told = wallets.iter().flatten().any(is_beyond)
            || in_force.is_some_and(|bound| overspent > bound);
        let (bound, source) = match (overspend, in_force) {
            (Overspend::Strict, _) => (Nanos::ZERO, Source::Service),
            (Overspend::Optimistic, Some(bound)) if !is_beyond_told => (bound, Source::Service),
            (Overspend::Optimistic, Some(_) | None) => (by_formula, Source::Formula),
        };
        let is_promised = match overspend {
            Overspend::Strict => told.iter().all(History::is_always_promised_zero),
            Overspend::Optimistic => true,
        };
        Self {
            bound,
            source,
            before: sum(|episode| episode.before),
            told: in_force,
            is_beyond_told,
            is_within: overspent <= bound,
            is_promised,
        }
    }
}

// === impl History ===

impl History {
    /// Notes what was told.
    pub fn note(&mut self, told: Told) {
        self.looks.push(told);
    }

    /// Whether something was told, and every time a promise of zero.
    #[must_use]
    pub fn is_always_promised_zero(&self) -> bool {
        let is_zero = |told: &Told| told.is_promised && told.bound == Nanos::ZERO;
        !self.looks.is_empty() && self.looks.iter().all(is_zero)
    }

    /// Every time that the wallet had no money for another call at `price`.
    #[must_use]
    pub fn episodes(&self, price: Nanos) -> Vec<Episode> {
        let is_dry = |told: &Told| told.depth + price > Nanos::ZERO;
        let mut episodes = Vec::new();
        let mut next = 0;
        while let Some(begin) = self.looks[next..].iter().position(is_dry).map(|at| next + at) {
            let length = self.looks[begin..].iter().position(|told| !is_dry(told));
            let end = length.map_or(self.looks.len(), |length| begin + length);
            episodes.push(self.episode(begin, end));
            next = end;
        }
        episodes
    }

    fn episode(&self, begin: usize, end: usize) -> Episode {
        let deepest = self.looks[begin..end].iter().map(|told| told.depth).max();
        let depth = deepest.unwrap_or_default().positive();
        let since = self.looks[begin].at.saturating_sub(NEAR);
        // Of a pause between looks the last one before it is what was in force.
        let first = self.looks[..begin].iter().position(|told| told.at >= since);
        let first = first.unwrap_or(begin.saturating_sub(1));
        let near = &self.looks[first..end];
        let greatest = |until: &dyn Fn(&Told) -> bool| {
            let told = near.iter().take_while(|told| until(told));
            told.filter(|told| told.is_promised || told.bound > Nanos::ZERO)
                .map(|told| told.bound)
                .max()
        };
        Episode {
            depth,
            before: greatest(&|told| told.depth <= Nanos::ZERO),
            in_force: greatest(&|told| told.depth < depth || depth == Nanos::ZERO),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CENT: Nanos = Nanos(10_000_000);

    /// Cents below zero and the bound in cents, every 50 ms.
    fn history(looks: &[(i128, i128)], is_promised: bool) -> History {
        let mut history = History::default();
        for (index, (depth, bound)) in looks.iter().enumerate() {
            history.note(Told {
                at: Duration::from_millis(50) * u32::try_from(index).unwrap(),
                depth: Nanos(depth * CENT.0),
                bound: Nanos(bound * CENT.0),
                is_promised,
            });
        }
        history
    }

    fn cents(amount: Nanos) -> i128 {
        amount.0 / CENT.0
    }

    fn episodes(looks: &[(i128, i128)]) -> Vec<(i128, Option<i128>, Option<i128>)> {
        let all = history(looks, false).episodes(CENT);
        all.iter()
            .map(|it| (cents(it.depth), it.before.map(cents), it.in_force.map(cents)))
            .collect()
    }

    #[test]
    fn what_is_told_of_the_deepest_point_comes_too_late() {
        let looks = [(-20, 30), (-5, 31), (4, 35), (9, 99), (9, 99)];
        assert_eq!(episodes(&looks), [(9, Some(31), Some(35))]);
        let jump = [(-5, 31), (9, 99), (9, 99)];
        assert_eq!(episodes(&jump), [(9, Some(31), Some(31))]);
    }

    #[test]
    fn what_was_told_long_before_is_not_in_force() {
        let mut looks = vec![(-500, 4_800); 20];
        looks.extend([(-40, 12); 6]);
        looks.extend([(3, 12), (7, 13)]);
        assert_eq!(episodes(&looks), [(7, Some(12), Some(12))]);
    }

    #[test]
    fn each_time_that_a_wallet_is_dry_counts_alone() {
        let mut looks = vec![(-9, 5), (2, 5), (3, 40), (3, 40)];
        looks.extend([(-900, 20); 10]);
        looks.extend([(-1, 8), (0, 8), (0, 0), (-700, 9)]);
        assert_eq!(episodes(&looks), [(3, Some(5), Some(5)), (0, Some(20), Some(20))]);
    }

    #[test]
    fn zero_that_is_not_promised_was_not_measured() {
        assert_eq!(episodes(&[(-9, 0), (1, 0), (3, 7)]), [(3, None, None)]);
        assert_eq!(episodes(&[(3, 7)]), [(3, None, None)]);
        assert_eq!(episodes(&[(-100, 7)]), []);
    }

    #[test]
    fn a_wallet_does_not_live_on_anothers_bound() {
        let (modest, greedy) = ([(-9, 50), (1, 50)], [(-9, 4), (6, 4)]);
        let against = |histories: &[History], overspent: u64| {
            let held = Held::against(
                Overspend::Optimistic,
                histories,
                CENT,
                CENT.times(overspent),
                CENT.times(70),
            );
            (cents(held.bound), held.source, held.is_beyond_told, held.is_within)
        };
        let (modest, greedy) = (history(&modest, false), history(&greedy, false));
        let unmeasured = history(&[(-9, 0), (6, 0)], false);
        let rows = [
            (vec![modest.clone()], 1, (50, Source::Service, false, true)),
            (vec![modest.clone()], 51, (70, Source::Formula, true, true)),
            (vec![modest.clone()], 71, (70, Source::Formula, true, false)),
            (vec![modest.clone(), greedy], 7, (70, Source::Formula, true, true)),
            (vec![modest, unmeasured], 7, (70, Source::Formula, false, true)),
        ];
        for (histories, overspent, want) in rows {
            assert_eq!(against(&histories, overspent), want, "{histories:?}");
        }
    }

    #[test]
    fn a_strict_wallet_is_held_against_zero_whatever_it_is_told() {
        let against = |history: History, overspent: u64| {
            let overspent = CENT.times(overspent);
            let held =
                Held::against(Overspend::Strict, &[history], CENT, overspent, CENT.times(70));
            (held.bound, held.is_within, held.is_promised)
        };
        let looks = [(-9, 0), (0, 0)];
        assert_eq!(against(history(&looks, true), 0), (Nanos::ZERO, true, true));
        assert_eq!(against(history(&looks, true), 1), (Nanos::ZERO, false, true));
        assert_eq!(against(history(&looks, false), 0), (Nanos::ZERO, true, false));
        assert_eq!(against(history(&[(-9, 5), (1, 5)], true), 1), (Nanos::ZERO, false, false));
        assert_eq!(against(History::default(), 0), (Nanos::ZERO, true, false));
    }
}
