//! Drawn and directed schedules without a fault.

use tollgate_simulation::runner::{Seeds, first_failure};
use tollgate_simulation::schedule::Scenario;
use tollgate_simulation::{Schedule, run, run_with_lines, shrink};

#[test]
fn no_rule_is_broken() {
    assert_eq!(first_failure(Seeds { first: 1, count: 300 }, None), None);
}

#[test]
fn no_rule_is_broken_in_directed_schedules() {
    for scenario in Scenario::ALL {
        assert_eq!(run(&scenario.schedule(), None).violation, None, "{scenario}");
    }
}

#[test]
fn a_seed_runs_twice_the_same() {
    for seed in 1..40 {
        let schedule = Schedule::draw(seed);
        let (one, other) = (run(&schedule, None), run_with_lines(&schedule, None));
        assert_eq!((one.hash, one.events), (other.hash, other.events), "seed {seed}");
        assert_eq!(one.costs, other.costs, "seed {seed}");
    }
    assert_ne!(run(&Schedule::draw(1), None).hash, run(&Schedule::draw(2), None).hash);
}

#[test]
fn a_shrunk_schedule_breaks_the_same_rule_with_less() {
    let fault = Some(tollgate_simulation::Fault::DurableAcrossStreams);
    let rough = |seed: &u64| {
        let schedule = Schedule::draw(*seed);
        schedule.events.len() > 8 && run(&schedule, fault).violation.is_some()
    };
    let schedule = Schedule::draw((1..100).find(rough).expect("most rough seeds find it"));
    let rule = run(&schedule, fault).violation.map(|violation| violation.rule);
    let small = shrink(&schedule, fault).expect("it breaks a rule");
    assert!(small.events.len() < schedule.events.len());
    assert_eq!(run(&small, fault).violation.map(|violation| violation.rule), rule);
    assert_eq!(shrink(&small, None).map(|_| ()), None, "without the fault nothing is broken");
}
