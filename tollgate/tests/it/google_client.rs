//! Google's own client for Python, unchanged, against a real process.

use std::path::Path;
use std::process::Command;

use crate::support::api::Portal;
use crate::support::process::{standalone, texts};

#[tokio::test(flavor = "multi_thread")]
async fn googles_python_client_works_unchanged() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let tools = std::env::var_os("TOLLGATE_TOOLS_DIR");
    let tools = tools.map_or_else(|| repository.join(".tools"), Into::into);
    let python = tools.join("google-client/bin/python");
    assert!(python.exists(), "deploy/google-client/install.sh puts Google's client there");
    let dir = tempfile::tempdir().unwrap();
    let process = standalone(dir.path(), &[]);
    let portal = Portal::of_demo(&process);
    let script = repository.join("tollgate/tests/it/google_client/client.py");
    let output = Command::new(python)
        .arg(script)
        .env("TOLLGATE_URL", &portal.url)
        .env("TOLLGATE_TOKEN", &portal.token)
        .env("TOLLGATE_ORGANIZATION", &portal.organization)
        .output()
        .unwrap();
    let (said, errors) = texts(&output);
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.ends_with("all passed\n"), "{said}");
    assert!(process.stop().success());
}
