//! The real code over a simulated network, in simulated time, one process a seed.
//!
//! Three or four gateways and two balance-sync nodes share a ledger. While callers call, links are cut in one or both directions,
//! lose and hold up messages; machines are killed, vanish, stop and start again; the ledger is slow, away, refuses and loses
//! answers, to one node or to all; the month may end. Then all is mended and it becomes quiet. Checked is what a person would
//! ask: was every answered call charged, once; was nothing charged that did not happen; does a payment count once; do all agree
//! in the end, without anybody restarting anything; did overspend stay within its bound, which on a strict wallet is zero, and
//! were its last cents spent; does nobody admit while the policy changes; is what a retired incarnation kept free again.
//!
//! Real are: tonic and hyper on both sides, sessions, shards, housekeeping and standing of `balance-sync`; exchange, wallets,
//! spend files (on disk, kept over crashes), proxy, pools and hyper connections of `gateway`; `Book`, `Catalogue` and the SQLite
//! ledger. Simulated are: the network (turmoil), time, chance, and the ledger's faults (`ledger`).
//! Not here: a gateway's threads, listeners and TLS (one worker on the simulation's thread instead); the management API; what
//! a power cut does to a disk; a killed process runs its destructors, which a real one does not.
//!
//! One seed replays identically: chance comes from the seed (`randomness`), SQLite and disks are waited for while simulated time
//! stands still. What could tell two runs apart is work of blocking threads that end in another order at the same simulated
//! moment.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod callers;
mod directed;
mod fleet;
mod ground;
mod ledger;
mod modes;
mod network;
mod people;
mod randomness;
mod retirement;
mod scenario;
mod schedule;
mod seeds;
mod time;
mod trace;
mod upstream;

/// Seeds that run where nobody says how many: about two minutes on two cores.
const SEEDS: u64 = 16;

#[test]
fn the_money_is_right_whatever_breaks() {
    seeds::each("the_money_is_right_whatever_breaks", SEEDS, scenario::optimistic);
}

#[test]
fn the_money_is_right_on_a_strict_wallet() {
    seeds::each("the_money_is_right_on_a_strict_wallet", SEEDS / 2, scenario::strict);
}

#[test]
fn the_money_is_right_while_the_policy_changes() {
    seeds::each("the_money_is_right_while_the_policy_changes", SEEDS / 4, scenario::switching);
}

#[test]
fn a_balance_is_as_old_as_what_it_was_read_from() {
    seeds::each("a_balance_is_as_old_as_what_it_was_read_from", 1, directed::stale);
}

#[test]
fn a_policy_waits_for_who_has_not_heard_of_it() {
    seeds::each("a_policy_waits_for_who_has_not_heard_of_it", 1, directed::unheard);
}

#[test]
fn who_is_retired_keeps_nothing_and_charges_nothing() {
    seeds::each("who_is_retired_keeps_nothing_and_charges_nothing", 2, retirement::retire);
}

#[test]
fn one_seed_replays_identically() {
    seeds::twice("one_seed_replays_identically", scenario::optimistic);
}
