//! What is shipped in `deploy/` speaks of what there is: files, services and secrets.
//!
//! Not here: whether the samples can be used (the tests of the configuration), metrics of the dashboard (`.ci/run`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_compose_file_mounts_the_samples_and_every_file_is_there() {
    let compose = text("deploy/compose.yaml");
    let mounts: BTreeSet<&str> = compose
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ./")?.split(':').next())
        .collect();
    for path in &mounts {
        assert!(root().join("deploy").join(path).exists(), "{path} is mounted and not there");
    }
    // These two are parsed and checked by the tests of the configuration.
    assert!(mounts.contains("config/gateway.toml") && mounts.contains("config/balance-sync.toml"));
}

#[test]
fn the_samples_name_services_and_secrets_of_the_compose_file() {
    let compose = text("deploy/compose.yaml");
    let has_service = |name: &str| compose.contains(&format!("\n  {name}:"));
    for sample in ["deploy/config/gateway.toml", "deploy/config/balance-sync.toml"] {
        let sample = text(sample);
        for line in sample.lines().filter(|line| !line.trim_start().starts_with('#')) {
            for secret in line.split("/run/secrets/").skip(1) {
                let name = secret.split('"').next().unwrap();
                assert!(compose.contains(&format!("\n  {name}: {{ environment:")), "{name}");
            }
            for address in line.split("http://").skip(1) {
                let name = address.split(':').next().unwrap();
                assert!(has_service(name), "{name} of {line:?} is no service");
            }
        }
    }
    for target in text("deploy/prometheus/prometheus.yml").split(['[', ']', ',', ' ', '\n']) {
        if let Some((name, port)) = target.split_once(':')
            && port.parse::<u16>().is_ok()
        {
            assert!(has_service(name), "{target} is no service");
        }
    }
}
