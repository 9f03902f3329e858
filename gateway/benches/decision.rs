//! Measures the admission decision and the memory of a cached wallet; prints, asserts nothing.
//!
//! A decision is key → caller → product → plan → wallet → hold, the SHA-256 of the key included; a settle is the end of the
//! hold with its store to the spend file. Keys are called in an order that caches cannot guess. A round
//! takes 64 holds, then ends them, so that both are timed apart; as many rounds as fit into a second a thread. The median
//! round counts, the fastest is shown beside it.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]
#![allow(clippy::disallowed_methods, reason = "a benchmark measures with the machine's clock")]

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use tollgate_gateway::Metered;
use tollgate_gateway::admission::{Admission, CallHead, CallHold, Decision, Multiplier};
use tollgate_gateway::clock::SystemClock;
use tollgate_gateway::config::Proxy;
use tollgate_gateway::metered::Offline;
use tollgate_metering::WalletId;
use uuid::Uuid;

/// Holds taken before they are ended: a round, short enough that most see no other process.
const OPEN: usize = 64;
/// How long a thread measures.
const SPAN: Duration = Duration::from_secs(1);

/// Nanoseconds a call of one round.
#[derive(Debug, Clone, Copy)]
struct Round {
    decide_ns: u128,
    settle_ns: u128,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    let _entered = runtime.enter();
    println!(
        "{:>9} {:>7} {:>12} {:>9} {:>12} {:>9}",
        "wallets", "threads", "decide", "fastest", "settle", "fastest"
    );
    for wallets in [1, 1_000, 1_000_000] {
        let dir = tempfile::tempdir().expect("a folder for the spend file");
        let clock = Arc::new(SystemClock::start());
        let offline = Offline::new(dir.path(), clock).expect("wallets without balance-sync");
        let keys = fill(&offline, wallets);
        for threads in [1, 2] {
            let (decide, settle) = measure(&offline.0, &keys, threads);
            println!(
                "{wallets:>9} {threads:>7} {:>9} ns {:>6} ns {:>9} ns {:>6} ns",
                median(&decide),
                decide.first().copied().unwrap_or(0),
                median(&settle),
                settle.first().copied().unwrap_or(0),
            );
        }
    }
}

/// Adds wallets and callers, and opens each wallet's register; prints what a wallet takes.
fn fill(offline: &Offline, wallets: u64) -> Vec<String> {
    let ids: Vec<_> =
        (0..wallets).map(|number| WalletId(Uuid::from_u128(spread(number)))).collect();
    let keys: Vec<_> = (0..wallets).map(|number| format!("key-{number:020}")).collect();
    for (key, wallet) in keys.iter().zip(&ids) {
        offline.add_caller(key, *wallet);
    }
    let before = resident_bytes();
    let proxy = Proxy::new("weather", "http://127.0.0.1:1");
    for (key, wallet) in keys.iter().zip(&ids) {
        offline.add_wallet(*wallet);
        decide(&offline.0, &proxy, key).settle(Multiplier::ONE);
    }
    offline.report();
    let after = resident_bytes();
    if wallets >= 100_000 {
        let each = after.saturating_sub(before) / wallets;
        println!("bytes per cached wallet, with its place in the map: {each}");
    }
    keys
}

fn measure(metered: &Arc<Metered>, keys: &[String], threads: usize) -> (Vec<u128>, Vec<u128>) {
    let barrier = Barrier::new(threads);
    let rounds: Vec<Round> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads as u64)
            .map(|thread| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    rounds(metered, keys, thread)
                })
            })
            .collect();
        running.into_iter().flat_map(|thread| thread.join().expect("a thread measures")).collect()
    });
    let sorted = |of: fn(&Round) -> u128| {
        let mut all: Vec<_> = rounds.iter().map(of).collect();
        all.sort_unstable();
        all
    };
    (sorted(|round| round.decide_ns), sorted(|round| round.settle_ns))
}

fn rounds(metered: &Metered, keys: &[String], thread: u64) -> Vec<Round> {
    let proxy = Proxy::new("weather", "http://127.0.0.1:1");
    let begun = Instant::now();
    let mut place = thread;
    let mut holds = Vec::with_capacity(OPEN);
    let mut rounds = Vec::new();
    while begun.elapsed() < SPAN {
        let at = Instant::now();
        for _ in 0..OPEN {
            place = place
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let key = &keys[((place >> 33) % keys.len() as u64) as usize];
            holds.push(decide(metered, &proxy, key));
        }
        let held = Instant::now();
        holds.drain(..).for_each(|hold| hold.settle(Multiplier::ONE));
        let ended = Instant::now();
        let each = |span: Duration| span.as_nanos() / OPEN as u128;
        rounds.push(Round { decide_ns: each(held - at), settle_ns: each(ended - held) });
    }
    rounds
}

fn decide(metered: &Metered, proxy: &Proxy, key: &str) -> impl CallHold + use<> {
    let method = &http::Method::GET;
    let consumer_key = Some(key);
    let head =
        CallHead { proxy, proxy_index: 0, method, path: "/hello", consumer_key, failed: None };
    match metered.decide(&head) {
        Decision::Admit(hold) => hold,
        Decision::Shadow { .. }
        | Decision::Unpriced
        | Decision::Refuse(_)
        | Decision::Missing(_) => {
            panic!("everything is in memory")
        }
    }
}

fn median(sorted: &[u128]) -> u128 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// An id whose bits look like those of a generated one.
fn spread(number: u64) -> u128 {
    let mixed = (u128::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    mixed ^ (mixed >> 61)
}

/// Memory of the process that is no file's: the spend file's pages are left out.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}
