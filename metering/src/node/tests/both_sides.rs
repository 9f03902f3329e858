//! Both machines against each other: gateways decide calls by [`Wallet`], nodes tell them by
//! [`NodeWallet`], over streams that delay, break and start again.
//!
//! A stream keeps its order, as TCP does; streams overtake each other, break at any time with all
//! that was on its way, and everything is sent again on the next. Gateways rotate and crash, nodes
//! restart, writes have unknown outcomes, the ledger folds and is topped up.
//! Checked after every step: no gateway believes in less money than there is, by the credits that
//! it knows of: nothing is subtracted twice. Checked in the end: every gateway, every node and the
//! ledger agree to the nano, and every call that was settled is charged once.

use super::*;

mod gateway;
mod world;

use world::World;

const GATEWAYS: usize = 3;
const NODES: usize = 2;

/// One step; numbers are of a gateway, a node.
#[derive(Clone, Copy, Debug)]
enum Step {
    Call(usize),
    Settle(usize),
    Release(usize),
    Send(usize, usize),
    Deliver(usize, usize),
    Tell(usize),
    Hear(usize, usize),
    Break(usize, usize),
    Rotate(usize),
    Crash(usize),
    BeginWrite(usize),
    EndWrite(usize, bool, bool),
    BeginRead(usize),
    EndRead(usize),
    Restart(usize),
    Fold(usize),
    Credit,
}

fn step() -> impl Strategy<Value = Step> {
    let (gateway, node) = (0..GATEWAYS, 0..NODES);
    let link = (0..GATEWAYS, 0..NODES);
    let pair = |make: fn(usize, usize) -> Step| move |(gateway, node)| make(gateway, node);
    prop_oneof![
        8 => gateway.clone().prop_map(Step::Call),
        6 => gateway.clone().prop_map(Step::Settle),
        1 => gateway.clone().prop_map(Step::Release),
        8 => link.clone().prop_map(pair(Step::Send)),
        8 => link.clone().prop_map(pair(Step::Deliver)),
        6 => node.clone().prop_map(Step::Tell),
        8 => link.clone().prop_map(pair(Step::Hear)),
        1 => link.prop_map(pair(Step::Break)),
        1 => gateway.clone().prop_map(Step::Rotate),
        1 => gateway.clone().prop_map(Step::Crash),
        5 => node.clone().prop_map(Step::BeginWrite),
        5 => (node.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(node, applied, answered)| Step::EndWrite(node, applied, answered)),
        5 => node.clone().prop_map(Step::BeginRead),
        5 => node.clone().prop_map(Step::EndRead),
        1 => node.prop_map(Step::Restart),
        1 => gateway.prop_map(Step::Fold),
        1 => Just(Step::Credit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn gateways_nodes_and_ledger_agree_in_the_end(steps in prop::collection::vec(step(), 1..250)) {
        let mut world = World::new();
        for step in steps {
            world.run(step)?;
        }
        world.finish()?;
        world.check_agreement()?;
    }
}
