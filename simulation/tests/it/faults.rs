//! Each rule that is broken on purpose is found.

use tollgate_simulation::runner::{Seeds, first_failure};
use tollgate_simulation::schedule::Scenario;
use tollgate_simulation::{Fault, run};

/// How a fault is found.
enum By {
    /// In so many seeds.
    Chance,
    /// By a directed schedule, which passes without the fault.
    Schedule(Scenario),
}

const SEEDS: Seeds = Seeds { first: 1, count: 200 };

/// Every fault is here, or this does not compile.
fn how(fault: Fault) -> By {
    match fault {
        Fault::ServerTimestamp
        | Fault::RecoveredOverLive
        | Fault::FoldDeletesRow
        | Fault::ClosingDropsLate
        | Fault::ClosingReprices
        | Fault::HorizonPastUnclosed
        | Fault::HorizonPastUnfolded
        | Fault::RegistersFirst
        | Fault::WrongClockServes
        | Fault::BlindRetry
        | Fault::RestoreUntold
        | Fault::DurableAcrossStreams
        | Fault::BillingAtSettle
        | Fault::PeriodAtSettle
        | Fault::OwnUnitsAsOthers
        | Fault::MergeByArrival
        | Fault::AgeFromArrival
        | Fault::HoldsUnreported
        | Fault::AdmitBeforeDurable
        | Fault::CeilingBeforeWritten
        | Fault::NoEpoch
        | Fault::HeldFreed
        | Fault::FloorBlind
        | Fault::SettleTwice
        | Fault::HoldOutlivesCall => By::Chance,
        Fault::RecoveredBeforeSynced => By::Schedule(Scenario::TwiceDead),
        Fault::PurgeWithoutFence | Fault::WriteWithoutAge => By::Schedule(Scenario::Ages),
        Fault::GrantLapses => By::Schedule(Scenario::CutOff),
        Fault::ModeWithoutWait => By::Schedule(Scenario::TurnsStrict),
        Fault::RetireWithoutCut => By::Schedule(Scenario::Retired),
        Fault::PurgeAtHorizon => By::Schedule(Scenario::LateHousekeeping),
    }
}

#[test]
fn each_broken_rule_is_found() {
    let mut missed = Vec::new();
    for fault in Fault::ALL {
        let found = match how(*fault) {
            By::Chance => first_failure(SEEDS, Some(*fault)).map(|(_, violation)| violation),
            By::Schedule(scenario) => {
                let schedule = scenario.schedule();
                assert_eq!(run(&schedule, None).violation, None, "{scenario} without a fault");
                run(&schedule, Some(*fault)).violation
            }
        };
        if found.is_none() {
            missed.push(fault.as_str());
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
