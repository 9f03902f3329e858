//! Load from outside (wrk) and reading what a process used.

use std::process::Command;
use std::time::Duration;

/// The core that servers run on, and the core of load and upstream.
pub(crate) const SERVER_CORE: &str = "0";
/// See [`SERVER_CORE`].
pub(crate) const LOAD_CORE: &str = "1";

/// Runs wrk against `url` and returns how many calls were answered with success.
///
/// Panics where any call was not: a peer that refuses is not measured.
pub(crate) fn calls(url: &str, key: &str, span: Duration, connections: u64) -> u64 {
    let output = Command::new("taskset")
        .args(["-c", LOAD_CORE, "wrk", "-t1"])
        .arg(format!("-c{connections}"))
        .arg(format!("-d{}s", span.as_secs()))
        .args(["-H", &format!("x-api-key: {key}"), url])
        .output()
        .expect("wrk and taskset are installed by `make bench`");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{url}:\n{text}");
    let line = text.lines().find(|line| line.contains("requests in")).expect("wrk counts requests");
    line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a count")
}

/// User and system time of a process so far, in clock ticks of 10 ms.
pub(crate) fn cpu_ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("process is alive");
    // The name in parentheses may hold spaces; fields 14 and 15 follow it.
    let (_, fields) = stat.rsplit_once(')').expect("a stat line has a name");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Children of a process.
pub(crate) fn children(process: u32) -> Vec<u32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let list = std::fs::read_to_string(path).expect("process is alive");
    list.split_whitespace().map(|id| id.parse().unwrap()).collect()
}
