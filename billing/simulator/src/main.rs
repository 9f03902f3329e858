//! The simulator as a process of its own: prints where it listens and the keys of its first account, and serves.

use std::io::Write as _;
use std::net::SocketAddr;

use clap::Parser;
use tollgate_stripe_simulator::{Settings, Simulator};

/// Stands in for Stripe in tests.
#[derive(Debug, Parser)]
#[command(name = "stripe-simulator", version)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Seed of ids, faults and disorder.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Unix time in seconds at which the clock stands; real time without it.
    #[arg(long)]
    frozen_at_s: Option<i64>,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let settings = Settings {
        listen: arguments.listen,
        seed: arguments.seed,
        frozen_at_s: arguments.frozen_at_s,
        ..Settings::default()
    };
    let simulator = Simulator::start(settings).await?;
    let keys = serde_json::json!({ "url": simulator.url(), "keys": simulator.keys() });
    writeln!(std::io::stdout(), "{keys}")?;
    std::future::pending().await
}
