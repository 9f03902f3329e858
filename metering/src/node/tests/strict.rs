//! Strict wallets under any order of events: calls never take the balance below the floor.
//!
//! Three gateways and two nodes over one ledger. Streams break, nodes restart, reads are old,
//! commits race, fail, and apply without an answer; gateways crash and come back or are retired;
//! money is paid in and debited meanwhile. After every step the balance by what gateways have
//! really counted is looked at.

use proptest::prelude::*;

use self::world::{GATEWAYS, NODES, Step, World};
use crate::account::Overspend;
use crate::money::Money;

mod world;

fn step() -> impl Strategy<Value = Step> {
    let (gateway, node) = (0..GATEWAYS, 0..NODES);
    prop_oneof![
        8 => gateway.clone().prop_map(Step::Call),
        5 => (gateway.clone(), 0..=200u64).prop_map(|(place, units)| Step::Settle(place, units)),
        2 => gateway.clone().prop_map(Step::Release),
        8 => gateway.clone().prop_map(Step::Report),
        8 => gateway.clone().prop_map(Step::Deliver),
        8 => gateway.clone().prop_map(Step::Hear),
        1 => gateway.clone().prop_map(Step::Move),
        1 => gateway.clone().prop_map(Step::Crash),
        1 => (0..2usize).prop_map(Step::Found),
        1 => (0..2usize).prop_map(Step::Retire),
        6 => node.clone().prop_map(Step::BeginWrite),
        6 => (node.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(node, applied, answered)| Step::EndWrite(node, applied, answered)),
        8 => node.clone().prop_map(Step::BeginRead),
        8 => node.clone().prop_map(Step::EndRead),
        8 => (node.clone(), prop::bool::weighted(0.9), prop::bool::weighted(0.9))
            .prop_map(|(node, applied, answered)| Step::Commit(node, applied, answered)),
        8 => node.clone().prop_map(Step::Tell),
        1 => node.clone().prop_map(Step::Restart),
        4 => (1..4_000u64).prop_map(Step::Wait),
        1 => (1..300i64).prop_map(Step::Credit),
        1 => (1..300i64).prop_map(Step::Debit),
        1 => (0..200i64).prop_map(Step::Limit),
        1 => prop::sample::select(Overspend::ALL.to_vec()).prop_map(Step::Switch),
        4 => (gateway.clone(), node.clone()).prop_map(|(place, node)| Step::Ask(place, node)),
        4 => (gateway, node.clone()).prop_map(|(place, node)| Step::Answer(place, node)),
        4 => node.prop_map(Step::Settled),
    ]
}

/// The last call of a grant was answered after its wallet's owner had died: nobody noted that it
/// was settled, so its money stayed reserved, and no debit could take it.
#[test]
fn what_was_settled_after_the_owner_died_is_not_reserved() -> Result<(), TestCaseError> {
    let mut world = World::new();
    for _ in 0..2 {
        for step in [Step::Report(2), Step::Deliver(2), Step::BeginRead(0), Step::EndRead(0)] {
            world.run(step)?;
        }
        world.run(Step::Commit(0, true, true))?;
        for step in [Step::Tell(0), Step::Hear(2), Step::Call(2)] {
            world.run(step)?;
        }
    }
    world.run(Step::Restart(0))?;
    world.run(Step::Settle(2, 0))?;
    world.quiet()?;
    prop_assert_eq!(world.account.reserved().unwrap(), Money::ZERO);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn calls_never_take_a_strict_wallet_below_its_floor(
        steps in prop::collection::vec(step(), 1..400),
    ) {
        let mut world = World::new();
        for step in steps {
            world.run(step)?;
        }
        world.quiet()?;
        prop_assert_eq!(world.account.reserved().unwrap(), Money::ZERO);
    }
}
