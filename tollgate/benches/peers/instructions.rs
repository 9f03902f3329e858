//! Counts user instructions per call under callgrind: the same on every machine, loaded or not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use crate::servers::{Ends, ready};

/// Calls of the shorter and the longer run; their difference leaves start and stop out.
const CALLS: [u64; 2] = [2_000, 12_000];

/// Prints the instructions of one metered and one unmetered call.
pub(crate) fn print() {
    for path in ["/", "/unmetered/"] {
        let [short, long] = CALLS.map(|calls| instructions(path, calls));
        let per_call = long.saturating_sub(short) / (CALLS[1] - CALLS[0]);
        println!("{per_call} user instructions per call through {path} (aim ≤ 32,000)");
    }
}

/// User instructions of a gateway that starts, carries `calls` calls one after the other and ends.
fn instructions(path: &str, calls: u64) -> u64 {
    let ends = Ends::start();
    let report = ends.folder().join("callgrind.out");
    let mut gateway = Command::new("valgrind")
        .args(["--tool=callgrind", &format!("--callgrind-out-file={}", report.display())])
        .arg(env!("CARGO_BIN_EXE_tollgate"))
        .args(["gateway", "--config"])
        .arg(ends.gateway_config())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("valgrind is installed by `make bench`");
    let address = ready(&mut gateway)["gateway"].as_str().expect("a gateway").to_owned();
    call(address.trim_start_matches("http://"), path, ends.key(), calls);
    // SIGTERM: the gateway drains and ends by itself, and callgrind writes what it counted.
    let id = gateway.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    gateway.wait().unwrap();
    let text = std::fs::read_to_string(&report).expect("callgrind wrote its report");
    let totals = text
        .lines()
        .find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    totals.and_then(|count| count.trim().parse().ok()).expect("a total")
}

/// Makes `calls` calls one after the other on one connection; each must succeed.
fn call(address: &str, path: &str, key: &str, calls: u64) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nx-api-key: {key}\r\n\r\n");
    for _ in 0..calls {
        stream.write_all(head.as_bytes()).unwrap();
        let mut length = 0;
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        loop {
            line.clear();
            answers.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        answers.read_exact(&mut body).unwrap();
    }
}
