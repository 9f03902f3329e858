//! The conformance suite of HTTP/2 against the port that serves both versions.

use std::path::Path;
use std::process::Command;

use crate::harness::*;

/// Cases that fail are in `deploy/h2spec/expected-failures.txt`, each with its reason.
#[tokio::test]
async fn h2spec_passes_but_for_the_listed_cases() {
    let upstream = Upstream::ok("hello").await;
    let gateway = Gateway::start(vec![open_proxy(upstream.address)]).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/h2spec/run.sh");
    let mut command = Command::new(script);
    command.arg(gateway.address.to_string());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.contains("145 tests, 144 passed, 0 skipped, 1 failed"), "{said}");
}
