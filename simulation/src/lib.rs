//! A seeded simulator of the metering protocol: the same state machines as in production, driven
//! by dice instead of sockets and timers.
//!
//! The protocol lives in `tollgate-metering` as pure machines. Here everything around them is
//! decided by a seed: time, the network, clocks, crashes, disks, the ledger. A run is a function
//! of its [`Schedule`] and nothing else, so a seed that fails can be run again, shrunk, and read.
//!
//! # Parts
//!
//! * [`schedule`]: what a run is made of. The world that it begins with (`Setup`) and an explicit
//!   list of what is done to it (`Injected`). [`Schedule::draw`] makes one of a seed in one of
//!   three profiles: *calm* (nothing breaks; overspend has its tight bound), *rough* (seconds full
//!   of faults), *long* (days, with busy seconds in between: fence, horizon, months). Directed ones
//!   are in `schedule::Scenario`.
//! * `world`: one queue of events. `network` has ordered streams that delay, are cut one way or
//!   both, and die with what is on its way; repetition and reordering come, as in production, from
//!   streams that follow each other and from several nodes. `ledger` has the semantics of
//!   Cassandra: registers of which the last write timestamp wins, conditional batches, tombstones,
//!   generations; `storage` decides when an operation is applied and what its caller hears, also
//!   that an outcome is unknown and comes about a minute later. `gateway` and `node` do with the
//!   machines what production's hub, cache, sessions, shards and guard do; `book` what people and
//!   housekeeping do.
//! * `world::truth`: what really happened, written where a call is answered, with arithmetic of its
//!   own. `world::checks` compares after every step, `world::quiet` in the end.
//! * [`shrink()`]: takes events out as long as the same rule breaks. [`runner`]: many seeds on all
//!   cores, and a failure as a person reads it.
//!
//! # What must hold
//!
//! The ledger never exceeds the truth, per incarnation and in money, and a register in it never
//! shrinks. A read lies between what was acknowledged when its account was read and the truth. What
//! is called durable is in the ledger; what comes too late is in suspense. Folds, checkpoints, the
//! horizon and purges change no balance; an id is booked once. A gateway believes no less money than
//! there is, and its knowledge is as old as it says. Nothing is admitted before found units are
//! durable; no hold outlives its call; overspend stays within its bound. After quiet the ledger
//! equals the truth to the nano, but for what was declared lost, and all caches agree.
//!
//! Lost is what a power cut took from a spend file before it was reported, or a disk with all of
//! it, or a restore that no file makes good: the truth notes how much may be missing at most.
//!
//! # Broken on purpose
//!
//! [`Fault`] names rules that are broken around the machines, never in them. A test says for each
//! that the simulator finds it: in 200 seeds, or by a directed schedule that passes without it.
//!
//! # How to read a failure
//!
//! `make simulate SEEDS=1 FIRST_SEED=n` prints the rule, the shrunk schedule, and the end of its
//! trace: seconds after the start, then what happened; `g0` is a gateway, `n0` a node, incarnations
//! are `id@birth`. Read from the violation backwards to the last line about the same incarnation or
//! wallet; what is missing there is mostly the answer.
//!
//! Bounds: a run ends by itself, two minutes after its last phase. Not here: the wire, HTTP, real
//! time (`tollgate` runs the real code over a simulated network).

pub mod fault;
pub mod fleet;
pub mod runner;
pub mod schedule;

mod dice;
mod shrink;
mod trace;
mod world;

pub use fault::Fault;
pub use schedule::Schedule;
pub use shrink::shrink;
pub use world::{Costs, Outcome, Violation};

/// Runs a schedule, with a rule broken or none.
#[must_use]
pub fn run(schedule: &Schedule, fault: Option<Fault>) -> Outcome {
    world::World::run(schedule, fault, false)
}

/// Runs a schedule and keeps a line for everything that happens.
#[must_use]
pub fn run_with_lines(schedule: &Schedule, fault: Option<Fault>) -> Outcome {
    world::World::run(schedule, fault, true)
}
