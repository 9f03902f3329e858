//! Scenario files: the samples can be run, and a mistake is told with its key.

use std::path::Path;

use tollgate_loadtest::scenario::Scenario;

const GOOD: &str = r#"title = "t"
[fleet]
gateways = 2
nodes = 2
[wallets]
overspend = ["optimistic"]
price = "0.01"
currency = "EUR"
credit = "1"
[load]
calls_per_second = 100
span_ms = 1000
"#;

fn message(text: &str) -> String {
    Scenario::parse("s.toml", text).map_or_else(|error| error.to_string(), |_| String::new())
}

#[test]
fn the_program_ends_with_an_error_that_names_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.toml");
    std::fs::write(&file, GOOD.replace("credit = \"1\"", "credit = \"0\"")).unwrap();
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_loadtest"));
    let output = program.arg("overspend").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("s.toml: wallets.credit: must be above 0"), "{said}");
}

#[test]
fn every_sample_can_be_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/scenarios");
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let scenario = Scenario::load(&path).unwrap_or_else(|error| panic!("{error}"));
        assert!(!scenario.title.is_empty(), "{}", path.display());
        count += 1;
    }
    assert!(count >= 4, "{count} samples");
}

#[test]
fn a_mistake_is_told_with_its_key() {
    let step = |text: &str| format!("{GOOD}[[step]]\n{text}\n");
    let other = |from: &str, to: &str| GOOD.replace(from, to);
    let fleet = "[fleet]\ngateways = 2\nnodes = 2\n";
    let rows = [
        (GOOD.to_owned(), ""),
        (other("span_ms", "span"), "s.toml:12: unknown field `span`"),
        (
            other("1000", "\"1 s\""),
            "s.toml:12: span_ms: invalid type: string \"1 s\", expected u64",
        ),
        (other("\"0.01\"", "\"1 cent\""), "s.toml:7: price: \"1 cent\" is not a decimal"),
        (other("\"0.01\"", "0.01"), "s.toml:7: price: invalid type: floating point"),
        (other("\"0.01\"", "\"0\""), "s.toml: wallets.price: must be above 0"),
        (other("credit = \"1\"", "credit = \"-1\""), "s.toml: wallets.credit: must be above 0"),
        (other("EUR", "euro"), "s.toml: wallets.currency: is not three capital letters"),
        (other("\"optimistic\"", "\"lax\""), "s.toml:6: overspend: unknown variant `lax`"),
        (other("[\"optimistic\"]", "[]"), "s.toml: wallets.overspend: 0 is not between 1 and 2"),
        (other("= 100\n", "= 0\n"), "s.toml: load.calls_per_second: 0 is not between 1 and"),
        (
            other("gateways = 2", "gateways = 17"),
            "s.toml: fleet.gateways: 17 is not between 1 and 16",
        ),
        (other(fleet, ""), "s.toml: fleet: needs either [fleet] or [target]"),
        (step("at_ms = 1"), "s.toml: step[0].at_ms: needs exactly one of kill"),
        (
            step("at_ms = 1\nkill = \"node-1\"\ntop_up = \"1\""),
            "s.toml: step[0].at_ms: needs exactly one of",
        ),
        (
            step("at_ms = 1\nkill = \"node-3\""),
            "s.toml: step[0].kill: \"node-3\" is no part of the fleet",
        ),
        (
            step("at_ms = 1\nkill = \"node-1\""),
            "s.toml: step: node-1 is killed and never restarted",
        ),
        (step("at_ms = 1\nrestart = \"node-1\""), "s.toml: step[0].restart: node-1 was not killed"),
        (step("at_ms = 1000\ntop_up = \"1\""), "s.toml: step[0].at_ms: is not before load.span_ms"),
        (step("at_ms = 1\ntop_up = \"0\""), "s.toml: step[0].top_up: must be above 0"),
        (step("at_ms = 1\ncut = \"gateway-1\""), "s.toml: step[0].cut: needs a gateway and a node"),
        (
            step("at_ms = 1\ncut = \"node-1 gateway-1\""),
            "s.toml: step[0].cut: names the gateway first",
        ),
        (
            step("at_ms = 1\ntop_up = \"1\"\nway = \"both\""),
            "s.toml: step[0].way: belongs to a cut",
        ),
        (
            step("at_ms = 9\ntop_up = \"1\"\n[[step]]\nat_ms = 8\ntop_up = \"1\""),
            "s.toml: step[1].at_ms: is before the step above it",
        ),
    ];
    for (text, want) in rows {
        let got = message(&text);
        let is_right = if want.is_empty() { got.is_empty() } else { got.starts_with(want) };
        assert!(is_right, "{got:?}, not {want:?}, for:\n{text}");
    }
}
