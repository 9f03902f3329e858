//! The `loadtest` program: reads arguments, runs a scenario, writes its report, and says whether the promise held.
//!
//! Exit codes: 0 everything that is promised held, 1 it did not or the run failed, 2 wrong arguments.

#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tollgate_loadtest::live::Live;
use tollgate_loadtest::overspend::{self, Place, binary_beside};
use tollgate_loadtest::scenario::Scenario;
use tollgate_loadtest::throughput::{self, Limits};

/// Drives Tollgate from outside, breaks parts of it, and counts every call against every nano.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Spend wallets beyond zero while parts die, and compare what was charged with what was answered
    Overspend(RunArgs),
    /// Find the highest rate that keeps its limits, and the latency at every rate
    Throughput(ThroughputArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Scenario file: see deploy/scenarios/
    scenario: PathBuf,
    /// Where the report goes
    #[arg(long, value_name = "DIR", default_value = "target/loadtest")]
    report: PathBuf,
    /// The tollgate binary [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    tollgate: Option<PathBuf>,
    /// Keep ledgers, spend files and logs here [default: a folder that is removed]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ThroughputArgs {
    #[command(flatten)]
    run: RunArgs,
    /// 99 of a hundred calls are answered so soon after they were due
    #[arg(long, value_name = "MS", default_value_t = 50)]
    p99_limit_ms: u64,
    /// Calls of a thousand that may go wrong
    #[arg(long, value_name = "N", default_value_t = 1)]
    failures_per_mille: u64,
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("loadtest: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// Whether everything that is promised held.
fn run(command: &Command) -> Result<bool, Box<dyn Error>> {
    let args = match command {
        Command::Overspend(args) => args,
        Command::Throughput(args) => &args.run,
    };
    let scenario = Scenario::load(&args.scenario)?;
    let scratch = tempfile::tempdir()?;
    let binary = match &args.tollgate {
        Some(binary) => binary.clone(),
        None => binary_beside(&std::env::current_exe()?),
    };
    let folder = args.data_dir.clone().unwrap_or_else(|| scratch.path().to_owned());
    let place = Place { binary, folder };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // Dropped by an interrupt, a run kills what it started.
        tokio::select! {
            done = work(command, &scenario, &place, &args.report) => done,
            interrupted = interrupted() => {
                interrupted?;
                Err("interrupted".into())
            }
        }
    })
}

async fn work(
    command: &Command,
    scenario: &Scenario,
    place: &Place,
    folder: &Path,
) -> Result<bool, Box<dyn Error>> {
    match command {
        Command::Overspend(_) => {
            let report = overspend::run(scenario, place, &mut Live::on_stderr()).await?;
            report.write(folder)?;
            for run in &report.runs {
                println!("{}", run.line());
            }
            println!("report: {}", folder.join("report.html").display());
            Ok(report.is_kept())
        }
        Command::Throughput(args) => {
            let limits = Limits {
                p99: Duration::from_millis(args.p99_limit_ms),
                failures_per_mille: args.failures_per_mille,
            };
            let found = throughput::search(scenario, limits, place, |overspend, trial| {
                eprintln!(
                    "{:>10} {:>8} calls/s  p50 {:>7} µs  p99 {:>8} µs  failed {:>5}  {}",
                    overspend.as_str(),
                    trial.calls_per_second,
                    trial.latency.p50_us,
                    trial.latency.p99_us,
                    trial.failed,
                    if trial.is_sustained { "kept" } else { "too much" },
                );
            })
            .await?;
            found.write(folder)?;
            println!("{}", found.sentence());
            println!("report: {}", folder.join("throughput.html").display());
            Ok(found.curves.iter().all(|curve| curve.sustained > 0))
        }
    }
}

/// Returns when somebody wants the program to end.
async fn interrupted() -> std::io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = term.recv() => Ok(()),
        done = tokio::signal::ctrl_c() => done,
    }
}

/// An error with everything that caused it.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
