//! One process a seed: time, chance and the simulated world belong to a process.
//!
//! A test of this binary runs it again once for each seed, with the seed in the environment; that process runs the same test and
//! finds the seed there. `SEEDS` and `FIRST_SEED` say how many and which; `SHOW_TRACE` shows what happened also
//! where all is well, and `RUST_LOG` what the code under test says of it.

use std::fmt;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::SimTime;

/// Where a process finds its seed.
const SEED: &str = "TOLLGATE_TURMOIL_SEED";
/// Lines that are shown of the output of a seed that failed.
const SHOWN: usize = 200;
/// A seed takes seconds; one that takes so long hangs.
const PATIENCE: Duration = Duration::from_secs(600);
/// Marks the line with the outcome.
const OUTCOME: &str = "outcome: ";

/// Tests of this binary run their processes one after another.
static TURN: Mutex<()> = Mutex::new(());

/// Runs `run` for each seed, each in a process of its own; in such a process, for its seed. `test` is the test's whole name.
pub(crate) fn each(test: &str, seeds: u64, run: fn(u64) -> Result<String, String>) {
    if let Some(seed) = own() {
        return report(seed, run);
    }
    let _turn = TURN.lock();
    let first = variable("FIRST_SEED").unwrap_or(1);
    let next = AtomicU64::new(first);
    let end = first + variable("SEEDS").unwrap_or(seeds);
    let failed = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    if let Err(why) = outcome(test, seed) {
                        eprintln!("seed {seed} failed\n{why}");
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "seeds that failed: {failed:?}; run one with FIRST_SEED=… SEEDS=1");
}

/// Runs a seed twice, at the same time, and says whether both were the same.
pub(crate) fn twice(test: &str, run: fn(u64) -> Result<String, String>) {
    if let Some(seed) = own() {
        return report(seed, run);
    }
    let _turn = TURN.lock();
    let seed = variable("FIRST_SEED").unwrap_or(1);
    let again = || outcome(test, seed).unwrap_or_else(|why| panic!("seed {seed} failed\n{why}"));
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(again);
        (again(), other.join().unwrap())
    });
    assert_eq!(one, other, "seed {seed} ran in two ways");
}

/// Logs what the code under test says, with simulated times, to standard error.
pub(crate) fn log(time: &SimTime) {
    struct Timer(SimTime);
    impl tracing_subscriber::fmt::time::FormatTime for Timer {
        fn format_time(&self, w: &mut tracing_subscriber::fmt::format::Writer<'_>) -> fmt::Result {
            write!(w, "{:>9.3}", self.0.now().as_secs_f64())
        }
    }
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| "info,turmoil=warn".into()))
        .with_timer(Timer(time.clone()))
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
}

fn own() -> Option<u64> {
    std::env::var_os(SEED)?;
    variable(SEED)
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

#[expect(clippy::print_stdout, reason = "the process that asked reads it")]
fn report(seed: u64, run: fn(u64) -> Result<String, String>) {
    std::thread::spawn(|| {
        std::thread::sleep(PATIENCE);
        eprintln!("the simulation hangs");
        std::process::abort();
    });
    match run(seed) {
        Ok(seen) => println!("{OUTCOME}{seen}"),
        Err(why) => panic!("seed {seed}: {why}"),
    }
}

/// What a process of its own says of the seed, or the end of all that it said where it failed.
fn outcome(test: &str, seed: u64) -> Result<String, String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(SEED, seed.to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let Output { status, stdout, stderr } = output;
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    let told = stdout.lines().find_map(|line| line.split_once(OUTCOME));
    match told {
        Some((_, told)) if status.success() => {
            eprintln!("seed {seed}: {told}");
            Ok(told.to_owned())
        }
        Some(_) | None => {
            let lines: Vec<_> = stderr.lines().chain(stdout.lines()).collect();
            let from = lines.len().saturating_sub(SHOWN);
            Err(format!("{status}\n{}", lines[from..].join("\n")))
        }
    }
}
