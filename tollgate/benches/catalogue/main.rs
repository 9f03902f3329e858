//! Loads a large catalogue over the API, lists it page by page, and looks what a restart and a key that nobody used cost.
//!
//! `DEVELOPERS=100000 WORKERS=32 COLD=500 cargo bench --profile local --package tollgate --bench catalogue`

#![allow(clippy::print_stdout, reason = "a benchmark prints")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![allow(clippy::float_arithmetic, reason = "figures for people, no money")]
#![allow(clippy::disallowed_methods, reason = "a benchmark measures with the machine's clock")]

use std::time::Duration;

use self::ground::{Ground, PAGE};

mod ground;

fn variable(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[tokio::main]
async fn main() {
    let developers = variable("DEVELOPERS", 100_000);
    let cold = variable("COLD", 500).min(developers);
    let ground = Ground::start().await;
    println!("an empty process is ready after {:?}", ground.start);
    let loaded = ground.load(developers, variable("WORKERS", 32)).await;
    let seconds: Vec<String> =
        loaded.tenths.iter().map(|tenth| format!("{:.1}", tenth.as_secs_f64())).collect();
    let whole: Duration = loaded.tenths.iter().sum();
    let per_second = 3.0 * developers as f64 / whole.as_secs_f64();
    println!("{developers} developers with two apps each: {whole:.1?}, {per_second:.0} requests/s");
    println!("seconds of each tenth: {}", seconds.join(" "));
    println!("{} MB on disk", ground.bytes() / 1_000_000);

    let listed = ground.list().await;
    assert_eq!(listed.emails.len(), developers);
    show(&format!("pages of {PAGE} developers"), listed.pages);

    let step = developers / cold.max(1);
    let indices: Vec<usize> = (0..cold).map(|nth| nth * step).collect();
    let keys = ground.fund(&indices).await;
    let ground = ground.restart().await;
    println!("started again, the process is ready after {:?}", ground.start);
    show("calls with cold keys", ground.call(&keys).await);
    show("calls with the same keys again", ground.call(&keys).await);
}

fn show(what: &str, mut times: Vec<Duration>) {
    let (first, last) = (times[0], times[times.len() - 1]);
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!(
        "{} {what}: median {:.2?}, p99 {:.2?}, first {first:.2?}, last {last:.2?}",
        times.len(),
        at(50),
        at(99),
    );
}
