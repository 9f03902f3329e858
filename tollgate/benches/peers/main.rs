//! Measures CPU per proxied call of the gateway against nginx and nginx + Lua + Redis.
//!
//! Servers run on one core, load and upstream on another. Machines drift, so all peers run in
//! turn, round after round, and what is quoted is the median of the ratios within a round. The
//! CPU is the server processes' own accounting (user and system time), not the wall clock.
//! User instructions per call, which do not drift, are counted by callgrind.
//!
//! `make bench` runs it; `ROUNDS`, `SPAN_S` and `CONNECTIONS` set how long and how hard.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::float_arithmetic,
    reason = "a measuring program: it stops at what goes wrong, prints, and its ratios are not money"
)]

mod instructions;
mod load;
mod servers;

use std::time::Duration;

use servers::{Peer, Servers};

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} must be a whole number, not {text:?}"))
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    // `cargo test --benches` passes --test, `cargo bench` passes --bench: only the latter measures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let rounds = setting("ROUNDS", 7);
    let span = Duration::from_secs(setting("SPAN_S", 3));
    let connections = setting("CONNECTIONS", 32);
    let servers = Servers::start();
    let mut rows: Vec<[f64; Peer::ALL.len()]> = Vec::new();
    println!("CPU per call in µs; {rounds} rounds of {span:?} a peer, {connections} connections");
    for round in 0..=rounds {
        let mut row = [0.0; Peer::ALL.len()];
        for offset in 0..Peer::ALL.len() {
            // Each round starts with another peer, so that none always follows the same one.
            let index = (offset + usize::try_from(round).unwrap()) % Peer::ALL.len();
            row[index] = servers.cpu_per_call(Peer::ALL[index], span, connections);
        }
        let cells: Vec<String> = Peer::ALL
            .iter()
            .zip(row)
            .map(|(peer, cpu)| format!("{} {cpu:.2}", peer.name()))
            .collect();
        // The first round warms caches and pools and does not count.
        println!(
            "round {round}{}: {}",
            if round == 0 { " (warm-up)" } else { "" },
            cells.join(", ")
        );
        if round > 0 {
            rows.push(row);
        }
    }
    let column = |peer: Peer| rows.iter().map(|row| row[peer as usize]).collect::<Vec<f64>>();
    let ratio = |of: Peer, to: Peer| {
        median(rows.iter().map(|row| row[of as usize] / row[to as usize]).collect())
    };
    for peer in Peer::ALL {
        println!("{:<20} {:>8.2} µs (median)", peer.name(), median(column(peer)));
    }
    println!("metered / nginx             {:.3}  (aim ≤ 1.1)", ratio(Peer::Metered, Peer::Nginx));
    println!("metered / nginx+Lua+Redis   {:.3}  (aim ≤ 0.4)", ratio(Peer::Metered, Peer::Lua));
    println!(
        "metered / unmetered         {:.3}  (aim ≤ 1.05)",
        ratio(Peer::Metered, Peer::Unmetered)
    );
    servers.print_ledger_rows(connections);
    drop(servers);
    instructions::print();
}
