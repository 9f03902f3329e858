//! Runs the simulator from the command line.
#![expect(clippy::print_stdout, reason = "a command line speaks on its standard output")]

use std::io::{IsTerminal, stdout};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use tollgate_simulation::fleet::{Fleet, FleetCosts, Pacing};
use tollgate_simulation::runner::{Seeds, Summary, explain, run_seeds};
use tollgate_simulation::schedule::Scenario;
use tollgate_simulation::{Fault, Outcome, Schedule, run};

/// Seeds that are run where neither a count nor a time is given.
const SEEDS: u64 = 1_000;

/// Without a terminal a line is printed this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Runs the metering protocol under seeded faults.
#[derive(Debug, Parser)]
#[command(name = "simulate", version)]
struct Args {
    /// How many seeds.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Run for so long, however many seeds that are.
    #[arg(long, conflicts_with = "seeds")]
    for_seconds: Option<u64>,
    /// Break a rule on purpose.
    #[arg(long)]
    fault: Option<Fault>,
    /// Run a directed schedule instead of seeds.
    #[arg(long)]
    scenario: Option<Scenario>,
    /// Count what a fleet costs, each with fixed and with adaptive intervals.
    #[arg(long, value_enum)]
    costs: Option<CostsOf>,
    /// Threads; one a core where none are given.
    #[arg(long)]
    threads: Option<usize>,
    /// Name the rules that can be broken, and the directed schedules.
    #[arg(long)]
    list: bool,
}

/// A fleet whose costs are counted.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum CostsOf {
    /// One wallet, a hundred gateways, a million calls a second.
    HotWallet,
    /// Ten thousand wallets on sixteen gateways, ten calls a second each; rich, then running dry.
    ManyWallets,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(of) = args.costs {
        count_costs(of);
        return ExitCode::SUCCESS;
    }
    if args.list {
        list();
        return ExitCode::SUCCESS;
    }
    match args.scenario {
        Some(scenario) => run_scenario(scenario, args.fault),
        None => run_drawn(&args),
    }
}

fn list() {
    println!("rules that --fault breaks:");
    Fault::ALL.iter().for_each(|fault| println!("  {fault}"));
    println!("directed schedules of --scenario:");
    Scenario::ALL.iter().for_each(|scenario| println!("  {scenario}"));
}

fn count_costs(of: CostsOf) {
    let (gateways, wallets, calls_per_second, span_s, balances) = match of {
        CostsOf::HotWallet => (100, 1, 1_000_000, 4, [10_000_000, 60_000]),
        CostsOf::ManyWallets => (16, 10_000, 10, 10, [1_000, 1]),
    };
    for balance in balances {
        for pacing in [Pacing::Fixed, Pacing::Adaptive] {
            let span = Duration::from_secs(span_s);
            let fleet = Fleet { gateways, wallets, calls_per_second, balance, span, pacing };
            let FleetCosts { rows, lines, snapshots, calls, overspent } = fleet.run();
            println!(
                "{wallets} wallets with {balance} each, {gateways} gateways, {pacing:?}: {calls} calls/s, \
                 {rows} ledger rows/s, {lines} report lines/s, {snapshots} snapshots/s, {overspent} overspent"
            );
        }
    }
}

fn run_scenario(scenario: Scenario, fault: Option<Fault>) -> ExitCode {
    let schedule = scenario.schedule();
    let Outcome { violation, hash, events, costs, .. } = run(&schedule, fault);
    println!("{scenario}: {events} events, trace {hash:016x}, {costs:?}");
    if violation.is_none() {
        return ExitCode::SUCCESS;
    }
    println!("{}", explain(&schedule, fault));
    ExitCode::FAILURE
}

fn run_drawn(args: &Args) -> ExitCode {
    let count = match (args.seeds, args.for_seconds) {
        (Some(seeds), _) => seeds,
        (None, Some(_)) => u64::MAX - args.first_seed,
        (None, None) => SEEDS,
    };
    let threads = args.threads.or_else(|| available_parallelism().ok().map(usize::from));
    let began = now();
    let limit = args.for_seconds.map(Duration::from_secs);
    let is_over = || limit.is_some_and(|limit| now() - began >= limit);
    let seeds = Seeds { first: args.first_seed, count };
    let bar = bar(args.for_seconds.map_or(count, |_| 0));
    let said = Mutex::new(began);
    let progress = || {
        bar.inc(1);
        let mut said = said.lock().expect("no thread panics with the lock");
        if !stdout().is_terminal() && now() - *said >= LINE_EVERY {
            *said = now();
            println!("{} seeds in {} s", bar.position(), (now() - began).as_secs());
        }
    };
    let summary = run_seeds(seeds, args.fault, threads.unwrap_or(1), &is_over, &progress);
    bar.finish_and_clear();
    tell(&summary, now() - began, args.fault)
}

fn tell(summary: &Summary, took: Duration, fault: Option<Fault>) -> ExitCode {
    let Summary { seeds, events, costs, failures } = summary;
    println!("{seeds} seeds, {events} events in {:.1} s; {costs:?}", took.as_secs_f64());
    let Some((seed, _)) = failures.first() else {
        println!("no rule was broken");
        return ExitCode::SUCCESS;
    };
    for (seed, violation) in failures {
        println!("seed {seed}: {}: {}", violation.rule, violation.found);
    }
    println!("\n{}", explain(&Schedule::draw(*seed), fault));
    println!("run it again: make simulate SEEDS=1 FIRST_SEED={seed}");
    ExitCode::FAILURE
}

fn bar(count: u64) -> ProgressBar {
    if !stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, text) = match count {
        0 => (ProgressBar::new_spinner(), "{spinner} {pos} seeds, {per_sec}, {elapsed}"),
        count => (ProgressBar::new(count), "{wide_bar} {pos}/{len} seeds, {per_sec}, {eta} left"),
    };
    bar.with_style(ProgressStyle::with_template(text).expect("the template is well formed"))
}

#[expect(clippy::disallowed_methods, reason = "the one clock here tells how long runs take")]
fn now() -> Instant {
    Instant::now()
}
