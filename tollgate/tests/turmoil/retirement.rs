//! Incarnations that people retire while their gateways are out of reach, and that come back.
//!
//! Two gateways of a strict wallet lose both nodes and go on under their grants; one of them vanishes with its disk, the other
//! is a zombie. What is reserved for them stays so however long the others starve, until people retire both; then it is
//! spent. The disk is found and the zombie is heard again: what they count beyond their cuts waits for a person, and
//! costs nothing.

use std::time::Duration;

use tollgate_ledger_store::ledger::Registration;
use tollgate_metering::account::Overspend;
use tollgate_metering::{Incarnation, Money};

use crate::fleet::gateway_name;
use crate::ground::{price, worth};
use crate::ledger::Weather;
use crate::scenario::{DRY_MAX, RECOVERY_MAX, Scenario, Terms, run};
use crate::schedule::{Cut, End, Event, NODES, Schedule};

/// The gateway whose disk is lost, and found again.
const LOST: u64 = 0;
/// The gateway that nobody hears of for a while.
const ZOMBIE: u64 = 1;
/// When both lose their links.
const CUT_AT_MS: u64 = 3_000;
/// When the one vanishes: it has answered calls by then that no node knows of.
const VANISHES_AT_MS: u64 = 3_400;
/// For so long the others starve beside reserved money.
const STARVING: Duration = Duration::from_secs(5);

/// An incarnation that is retired, or is going to be.
#[derive(Debug)]
pub(crate) struct Retired {
    gateway: u64,
    registration: Registration,
    /// Calls that succeeded on it, and those that may have, once it takes no more.
    calls: Option<(u64, u64)>,
}

/// Runs a seed.
pub(crate) fn retire(seed: u64) -> Result<String, String> {
    let terms = Terms { gateways: 4, policy: Overspend::Strict, last_cents: 1_000 };
    let cut = |gateway, node| Event::Cut { gateway, node, cut: Cut::Both };
    let events = [
        (500, Event::Credit { cents: 1_500 }),
        (CUT_AT_MS, cut(LOST, 0)),
        (CUT_AT_MS, cut(LOST, 1)),
        (CUT_AT_MS, cut(ZOMBIE, 0)),
        (CUT_AT_MS, cut(ZOMBIE, 1)),
    ];
    run(seed, terms, &Schedule::made(&events, VANISHES_AT_MS), |all| {
        all.lose()?;
        all.starve()?;
        all.give_up()?;
        all.run_dry()?;
        all.come_back()?;
        all.recover()
    })
}

// === impl Scenario ===

impl Scenario {
    /// One gateway vanishes with its disk and starts again on an empty one.
    fn lose(&mut self) -> Result<(), String> {
        for gateway in [LOST, ZOMBIE] {
            let registration = self.ground.registration(&gateway_name(gateway));
            self.retired.push(Retired { gateway, registration, calls: None });
        }
        self.fleet.end_gateway(LOST, End::Vanish);
        self.freeze(LOST);
        self.ground.lose_disk(&gateway_name(LOST));
        self.reach(LOST);
        self.fleet.start_gateway(LOST);
        Ok(())
    }

    /// The others spend what is not reserved, and no time gives them the rest.
    fn starve(&mut self) -> Result<(), String> {
        self.go_on_till(DRY_MAX, Self::is_starved)?;
        let balance = self.ground.balance().1;
        self.go_on_until(self.fleet.sim.elapsed() + STARVING)?;
        self.is_starved()?;
        let left = self.ground.balance().1;
        if left != balance || left < price() {
            return Err(format!("{balance} was kept for who is gone, {left} is left"));
        }
        Ok(())
    }

    /// What is left beside what is reserved for who is gone buys no call.
    fn is_starved(&self) -> Result<(), String> {
        let (reserved, balance) = (self.reserved(), self.ground.balance().1);
        if balance.nanos() - reserved.nanos() >= price().nanos() {
            return Err(format!("{balance} is left, {reserved} of it reserved for who is gone"));
        }
        Ok(())
    }

    /// People retire both.
    fn give_up(&mut self) -> Result<(), String> {
        self.trace.note(|| "who is gone is retired".to_owned());
        let weather = Weather::Flaky { refused: 30, lost: 30 };
        self.happen(Event::Weather { node: None, weather });
        self.retired.iter().for_each(|each| self.people.retire(&each.registration));
        self.go_on_till(RECOVERY_MAX, |all| {
            let is_cut = |each: &Retired| all.ground.cut(each.registration.incarnation).is_some();
            if all.people.has_done() && all.retired.iter().all(is_cut) {
                Ok(())
            } else {
                Err("they are not retired".to_owned())
            }
        })?;
        self.happen(Event::Weather { node: None, weather: Weather::Fair });
        Ok(())
    }

    /// The zombie is heard again, the disk is found: what they counted since is in suspense, to the last call.
    fn come_back(&mut self) -> Result<(), String> {
        self.trace.note(|| "who was gone comes back".to_owned());
        self.freeze(ZOMBIE);
        self.reach(ZOMBIE);
        self.fleet.end_gateway(LOST, End::Kill);
        self.ground.find_disk(&gateway_name(LOST));
        self.fleet.start_gateway(LOST);
        self.go_on_till(RECOVERY_MAX, |all| {
            all.retired.iter().try_for_each(|each| {
                let incarnation = each.registration.incarnation;
                let suspended = all.ground.suspended(Some(incarnation));
                let (least, most) = all.beyond_cut(each);
                if suspended <= 0 || suspended < least || suspended > most {
                    return Err(format!(
                        "{suspended} nanos in suspense of gateway {}, {least} to {most} answered beyond its cut",
                        each.gateway
                    ));
                }
                Ok(())
            })
        })
    }

    /// What was answered that the ledger charges only if a person says so, in nanos, at most.
    pub(crate) fn forgiven(&self) -> i128 {
        self.retired.iter().map(|each| self.beyond_cut(each).1.max(0)).sum()
    }

    /// What an incarnation answered beyond its cut, at least and at most, in nanos; nothing before there is a cut.
    fn beyond_cut(&self, retired: &Retired) -> (i128, i128) {
        let Some(cut) = self.ground.cut(retired.registration.incarnation) else { return (0, 0) };
        let (least, most) = retired.calls.unwrap_or_else(|| self.calls_of(retired.gateway));
        let costs = |calls: u64| i128::from(calls) * price().nanos();
        (costs(least) - worth(cut), costs(most) - worth(cut))
    }

    /// What is reserved for incarnations that are gone.
    fn reserved(&self) -> Money {
        let standing = self.ground.standing();
        let reserved = |incarnation: &Incarnation| {
            let grant = standing.read.account.ceilings.get(incarnation);
            grant.map_or(Money::ZERO, |grant| grant.reserved().expect("a grant is small"))
        };
        let all = self.retired.iter().map(|each| reserved(&each.registration.incarnation));
        all.fold(Money::ZERO, |sum, one| sum.plus(one).expect("grants are small"))
    }

    /// The incarnation takes no more calls: what it answered is what its gateway has answered until now.
    fn freeze(&mut self, gateway: u64) {
        let calls = self.calls_of(gateway);
        let all = self.retired.iter_mut().filter(|each| each.gateway == gateway);
        all.for_each(|each| each.calls = Some(calls));
    }

    /// Calls of a gateway that succeeded, and those that may have.
    fn calls_of(&self, gateway: u64) -> (u64, u64) {
        let place = usize::try_from(gateway).expect("a fleet is small");
        let tally = &self.calls.tallies.borrow()[place];
        let succeeded = tally.succeeded();
        (succeeded, succeeded + tally.open() + tally.unanswered)
    }

    fn reach(&mut self, gateway: u64) {
        (0..NODES).for_each(|node| self.fleet.mend(gateway, node, Cut::Both));
    }
}
