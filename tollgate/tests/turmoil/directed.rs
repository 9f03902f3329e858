//! Schedules made by hand, for what chance seldom brings together.

use std::time::Duration;

use tollgate_metering::account::Overspend;

use crate::fleet::STALENESS_LIMIT;
use crate::ledger::Weather;
use crate::scenario::{Scenario, Terms, run};
use crate::schedule::{Cut, Event, Schedule};

/// The gateway that reaches node 0 alone, whose ledger goes away.
const ISOLATED: u64 = 0;
/// When the ledger of node 0 goes away.
const AWAY_AT_MS: u64 = 4_000;
/// What was asked of the ledger by then is answered by then.
const ANSWERED_WITHIN: Duration = Duration::from_millis(20);

/// A node answers from memory while its ledger is away, and what it says becomes old: the gateway that reaches no other node
/// must stop when the newest read is as old as the staleness limit, however young the messages are that tell of it. The
/// others spend the wallet on the other node meanwhile, and the isolated one never hears that the money is gone.
pub(crate) fn stale(seed: u64) -> Result<String, String> {
    let terms = Terms { gateways: 4, policy: Overspend::Optimistic, last_cents: 2_000 };
    let both = Cut::Both;
    let cut = |gateway, node| Event::Cut { gateway, node, cut: both };
    let mend = |gateway, node| Event::Mend { gateway, node, cut: both };
    let weather = |weather| Event::Weather { node: Some(0), weather };
    let events = [
        (500, Event::Credit { cents: 1_500 }),
        (1_000, cut(ISOLATED, 1)),
        (1_000, cut(1, 0)),
        (1_000, cut(2, 0)),
        (1_000, cut(3, 0)),
        (AWAY_AT_MS, weather(Weather::Away)),
    ];
    run(seed, terms, &Schedule::made(&events, AWAY_AT_MS), |all| {
        let away_at = Duration::from_millis(AWAY_AT_MS);
        all.go_on_till(Duration::from_secs(30), |all| is_dry_for(all, STALENESS_LIMIT * 2))?;
        let youngest = all.calls.tallies.borrow()[0].youngest;
        if youngest <= away_at {
            return Err(format!("the isolated gateway had stopped at {youngest:?}, too early"));
        }
        if youngest > away_at + ANSWERED_WITHIN + STALENESS_LIMIT {
            return Err(format!(
                "the isolated gateway admitted a call that began at {youngest:?}, its node's ledger is away since {away_at:?}"
            ));
        }
        all.happen(weather(Weather::Fair));
        for event in [mend(ISOLATED, 1), mend(1, 0), mend(2, 0), mend(3, 0)] {
            all.happen(event);
        }
        all.recover()
    })
}

/// A gateway that has not heard of a change to strict admits calls for as long as it may trust what it knows, and the ledger hears
/// of them last. The change must wait for it: were it in force at once, the others would spend the same money under grants.
pub(crate) fn unheard(seed: u64) -> Result<String, String> {
    let terms = Terms { gateways: 4, policy: Overspend::Optimistic, last_cents: 1_000 };
    let cut = |node| Event::Cut { gateway: ISOLATED, node, cut: Cut::Both };
    let mend = |node| Event::Mend { gateway: ISOLATED, node, cut: Cut::Both };
    let events = [
        (500, Event::Credit { cents: 900 }),
        (3_000, cut(0)),
        (3_000, cut(1)),
        (3_000, Event::Policy(Overspend::Strict)),
    ];
    run(seed, terms, &Schedule::made(&events, 9_000), |all| {
        if all.modes.is(Overspend::Strict).is_ok() {
            return Err("the change did not wait for who has not heard of it".to_owned());
        }
        all.happen(mend(0));
        all.happen(mend(1));
        all.recover()?;
        all.modes.is(Overspend::Strict)?;
        all.run_dry()
    })
}

/// Whether the ledger has had no money for another call for so long.
fn is_dry_for(all: &Scenario, span: Duration) -> Result<(), String> {
    let now = all.fleet.sim.elapsed();
    match all.dry {
        Some((since, _)) if now >= since + span => Ok(()),
        Some(_) | None => Err("the others have not spent the wallet".to_owned()),
    }
}
