//! Draws a schedule from a seed.

use std::time::Duration;

use tollgate_metering::{Money, UnixMillis};

use super::{
    Death, GatewaySetup, Injected, Phase, Profile, Schedule, Setup, Timed, Trouble, WalletSetup,
    Way,
};
use crate::dice::Dice;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// The end of this month is near every run.
const MONTH_END: i64 = 1_796_083_200_000;

// === impl Schedule ===

impl Schedule {
    /// The schedule of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Schedule {
        let mut dice = Dice::new(seed, "schedule", 0);
        let profile = dice.one(&[
            Profile::Calm,
            Profile::Rough,
            Profile::Rough,
            Profile::Rough,
            Profile::Long,
            Profile::Long,
        ]);
        let setup = setup(profile, &mut dice);
        let events = events(&setup, &mut dice);
        Schedule { seed, setup, events }
    }
}

pub(super) fn money(nanos: u64) -> Money {
    Money::from_nanos(i128::from(nanos)).expect("amounts of a schedule are small")
}

fn setup(profile: Profile, dice: &mut Dice) -> Setup {
    let is_calm = profile == Profile::Calm;
    let phases = phases(profile, dice);
    let before_end = match profile {
        Profile::Calm | Profile::Rough => dice.scale((SECOND, 10 * DAY)),
        Profile::Long => dice.scale((HOUR, 20 * DAY)),
    };
    let skew = |dice: &mut Dice, most: u64| {
        let ms = i64::try_from(dice.number(0, most)).unwrap_or(0);
        if dice.happens(500) { ms } else { -ms }
    };
    let gateway = |dice: &mut Dice| GatewaySetup {
        skew_ms: if dice.happens(800) { skew(dice, 2_000) } else { skew(dice, 86_400_000) },
        drift_ppm: skew(dice, 100),
        gap: dice.scale((15 * MS, 200 * MS)),
    };
    let gateways = (0..dice.number(2, 4)).map(|_| gateway(dice)).collect();
    let nodes = (0..dice.number(1, 3)).map(|_| skew(dice, 20_000)).collect();
    let is_strict = dice.happens(400);
    let wallet = |dice: &mut Dice| WalletSetup {
        is_strict,
        credit: money(dice.number(1, 200) * dice.one(&[100_000_000, 1_000_000_000])),
        overdraft: if dice.happens(300) {
            money(dice.number(1, 3_000_000_000))
        } else {
            Money::ZERO
        },
    };
    let wallets = (0..dice.number(1, 2)).map(|_| wallet(dice)).collect();
    let prices = (0..3).map(|_| prices(dice)).collect();
    let units_max = 5_000;
    let units = match dice.number(0, 2) {
        0 => vec![1_000],
        1 => vec![1_000, 2_500, 500],
        _ => vec![1_000, 1_000, 4_999, 5_500, 0],
    };
    let tick = dice.span((50 * MS, 200 * MS));
    let persist = dice.span((tick, SECOND));
    let staleness = if is_calm { 60 * SECOND } else { dice.span((2 * SECOND, 15 * SECOND)) };
    let slowest = if is_calm { 40 * MS } else { 150 * MS };
    Setup {
        profile,
        start: UnixMillis(MONTH_END).minus(before_end),
        gateways,
        nodes,
        wallets,
        prices,
        units,
        units_max,
        sync: dice.span((50 * MS, 200 * MS)),
        tick,
        persist,
        read: dice.span((tick, SECOND)),
        staleness,
        hold_life: dice.span((20 * SECOND, 60 * SECOND)),
        keepalive: dice.span((500 * MS, 4 * SECOND)),
        delay: (MS, dice.span((2 * MS, slowest))),
        latency: (MS, dice.span((5 * MS, slowest))),
        call: (5 * MS, dice.scale((20 * MS, 3 * SECOND))),
        trouble: if is_calm { 0 } else { dice.one(&[0, 5, 50]) },
        phases,
    }
}

fn prices(dice: &mut Dice) -> Vec<(Option<u64>, Money)> {
    let price = |dice: &mut Dice| money(dice.number(1, 30) * 10_000_000 + dice.number(0, 3));
    match dice.number(0, 3) {
        0 => vec![(Some(dice.number(1, 40)), Money::ZERO), (None, price(dice))],
        1 => {
            let first = dice.number(1, 30);
            let ends = [Some(first), Some(first + dice.number(1, 60)), None];
            ends.into_iter().map(|end| (end, price(dice))).collect()
        }
        _ => vec![(None, price(dice))],
    }
}

fn phases(profile: Profile, dice: &mut Dice) -> Vec<Phase> {
    let mut until = Duration::ZERO;
    let mut phases = Vec::new();
    let mut busy = |phases: &mut Vec<Phase>, span: Duration, pace: Option<Duration>| {
        until += span;
        phases.push(Phase { until, pace });
    };
    match profile {
        Profile::Calm | Profile::Rough => {
            busy(&mut phases, dice.span((3 * SECOND, 9 * SECOND)), None);
        }
        Profile::Long => {
            for _ in 0..dice.number(1, 3) {
                busy(&mut phases, dice.span((SECOND, 3 * SECOND)), None);
                let idle = dice.scale((60 * SECOND, 14 * DAY));
                busy(&mut phases, idle, Some((idle / 12).clamp(10 * SECOND, 6 * HOUR)));
            }
            busy(&mut phases, dice.span((SECOND, 2 * SECOND)), None);
        }
    }
    phases
}

fn events(setup: &Setup, dice: &mut Dice) -> Vec<Timed> {
    let count = match setup.profile {
        Profile::Calm => dice.number(0, 5),
        Profile::Rough => dice.number(3, 25),
        Profile::Long => dice.number(4, 30),
    };
    let mut events: Vec<Timed> = (0..count)
        .map(|_| {
            let at = moment(setup, dice);
            let what = match setup.profile {
                Profile::Calm => credit(setup, dice),
                Profile::Rough | Profile::Long => injected(setup, dice),
            };
            Timed { at, what }
        })
        .collect();
    if setup.profile != Profile::Calm && dice.happens(200) {
        restore(setup, dice, &mut events);
    }
    events.sort_by_key(|event| event.at);
    events
}

/// Backup and restore come in pairs, and not later than files are kept.
fn restore(setup: &Setup, dice: &mut Dice, events: &mut Vec<Timed>) {
    let (one, other) = (moment(setup, dice), moment(setup, dice));
    events.push(Timed { at: one.min(other), what: Injected::Backup });
    events.push(Timed { at: one.max(other), what: Injected::Restore });
}

/// Half of what happens happens while gateways are busy.
fn moment(setup: &Setup, dice: &mut Dice) -> Duration {
    let place = dice.place(setup.phases.len());
    let before = place.checked_sub(1).map_or(Duration::ZERO, |before| setup.phases[before].until);
    dice.span((before, setup.phases[place].until))
}

fn credit(setup: &Setup, dice: &mut Dice) -> Injected {
    let w = dice.place(setup.wallets.len());
    let amount = money(dice.number(1, 5_000_000_000));
    Injected::Credit { w, amount, callers: dice.one(&[1, 1, 2]) }
}

fn injected(setup: &Setup, dice: &mut Dice) -> Injected {
    let g = dice.place(setup.gateways.len());
    let n = dice.place(setup.nodes.len());
    let w = dice.place(setup.wallets.len());
    let is_long = setup.profile == Profile::Long;
    let short = |dice: &mut Dice| dice.scale((50 * MS, 8 * SECOND));
    let away = |dice: &mut Dice| {
        if is_long { dice.scale((SECOND, 13 * DAY)) } else { dice.scale((50 * MS, 30 * SECOND)) }
    };
    let amount = |dice: &mut Dice| money(dice.number(1, 2_000_000_000));
    match dice.number(0, 29) {
        0..=2 => {
            let way = dice.one(&[Way::Up, Way::Down, Way::Both]);
            Injected::Cut { g, n, way, lasts: short(dice) }
        }
        3..=4 => Injected::Break { g, n },
        5 => Injected::Delay { g, n, by: dice.scale((20 * MS, SECOND)), lasts: short(dice) },
        6..=10 => {
            let death =
                dice.one(&[Death::Kill, Death::Kill, Death::Power, Death::Power, Death::Disk]);
            Injected::Die { g, death, returns_after: away(dice) }
        }
        11..=13 => Injected::Pause { g, lasts: away(dice) },
        14 => {
            let ms = i64::try_from(dice.number(1, 200_000)).unwrap_or(0);
            Injected::Set { g, by_ms: if dice.happens(500) { ms } else { -ms } }
        }
        15..=16 => Injected::Rotate { g },
        17 => Injected::NodeDie { n, returns_after: away(dice) },
        18 => Injected::NodePause { n, lasts: away(dice) },
        19 => {
            let ms = i64::try_from(dice.number(61_000, 900_000_000)).unwrap_or(0);
            let off_ms = if dice.happens(500) { ms } else { -ms };
            Injected::NodeClock { n, off_ms, lasts: short(dice) }
        }
        20 => Injected::NodeCut { n, lasts: short(dice) },
        21..=22 => {
            let trouble = dice.one(&[Trouble::Slow, Trouble::Down, Trouble::Unknown]);
            Injected::Ledger { trouble, lasts: short(dice) }
        }
        23..=24 => credit(setup, dice),
        25 => Injected::Adjust { w, amount: amount(dice) },
        26 => Injected::Fee { w, amount: amount(dice) },
        27 => Injected::Limit { w, limit: amount(dice) },
        28 => Injected::Publish,
        _ => match dice.number(0, 4) {
            0 => Injected::Billing { w },
            1 => Injected::Policy { w, is_strict: dice.happens(700) },
            2 => Injected::Retire { g },
            _ => Injected::Resolve { w, is_charged: dice.happens(500) },
        },
    }
}

#[cfg(test)]
mod tests {
    use tollgate_metering::Period;

    use super::*;

    #[test]
    fn a_run_is_near_the_end_of_a_month() {
        let end = Period::of(UnixMillis(MONTH_END));
        assert_eq!(end.start(), UnixMillis(MONTH_END));
    }
}
