//! What others wrote for Stripe, unchanged, against the simulator: its CLI, and its clients for Python and Node.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tollgate_stripe_simulator::{Settings, Simulator};

/// Longest run of one program.
const RUN_MAX: Duration = Duration::from_secs(120);

/// Events that `stripe trigger` makes happen, each by requests that Stripe wrote for it.
#[cfg(target_arch = "x86_64")]
const TRIGGERS: &[&str] = &[
    "charge.captured",
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.failed",
    "charge.refund.updated",
    "charge.refunded",
    "charge.succeeded",
    "customer.created",
    "customer.deleted",
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.trial_will_end",
    "customer.subscription.updated",
    "customer.updated",
    "invoice.created",
    "invoice.deleted",
    "invoice.finalized",
    "invoice.marked_uncollectible",
    "invoice.paid",
    "invoice.payment_action_required",
    "invoice.payment_failed",
    "invoice.payment_succeeded",
    "invoice.sent",
    "invoice.updated",
    "invoice.voided",
    "invoiceitem.created",
    "invoiceitem.deleted",
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.created",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "payment_method.attached",
    "payment_method.detached",
    "payment_method.updated",
    "price.created",
    "price.updated",
    "product.created",
    "product.deleted",
    "product.updated",
    "quote.accepted",
    "quote.canceled",
    "quote.created",
    "quote.finalized",
    "setup_intent.canceled",
    "setup_intent.created",
    "setup_intent.requires_action",
    "setup_intent.setup_failed",
    "setup_intent.succeeded",
];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

fn clients() -> PathBuf {
    let tools = std::env::var_os("TOLLGATE_TOOLS_DIR");
    let tools = tools.map_or_else(|| repository().join(".tools"), PathBuf::from);
    let clients = tools.join("stripe-clients");
    assert!(
        clients.join("installed.txt").exists(),
        "deploy/stripe-clients/install.sh puts Stripe's clients there"
    );
    clients
}

/// Runs a program to its end, and gives what it said.
async fn run(program: &Path, arguments: &[&str], simulator: &Simulator) -> String {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(program)
        .args(arguments)
        .env("HOME", home.path())
        .env("XDG_CONFIG_HOME", home.path())
        .env("STRIPE_CLI_TELEMETRY_OPTOUT", "1")
        .env("STRIPE_CLIENTS", clients())
        .env("SIMULATOR_URL", simulator.url())
        .env("SIMULATOR_KEY", &simulator.keys().secret_test)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(RUN_MAX, output).await.expect("it ends").unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}\n{said}\n{errors}");
    said
}

/// The clients compare a signature's time with the machine's clock, so that this simulator follows it.
async fn in_real_time() -> Simulator {
    Simulator::start(Settings::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn stripes_python_client_works_unchanged() {
    let simulator = in_real_time().await;
    let script = repository().join("billing/simulator/tests/it/official/flow.py");
    let said = run(&clients().join("bin/python"), &[script.to_str().unwrap()], &simulator).await;
    assert!(said.ends_with("all passed\n"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stripes_node_client_works_unchanged() {
    let simulator = in_real_time().await;
    let script = repository().join("billing/simulator/tests/it/official/flow.mjs");
    let said = run(&clients().join("bin/node"), &[script.to_str().unwrap()], &simulator).await;
    assert!(said.ends_with("all passed\n"), "{said}");
}

/// Stripe builds its CLI for more processors than the one whose package is pinned here.
#[cfg(target_arch = "x86_64")]
#[tokio::test(flavor = "multi_thread")]
async fn stripes_cli_triggers_every_event_that_it_knows_of_what_is_here() {
    let cli = clients().join("node_modules/@stripe/cli-linux-x64/bin/stripe");
    let mut missing = Vec::new();
    for trigger in TRIGGERS {
        // A simulator each, so that no event comes from another trigger.
        let simulator = in_real_time().await;
        let key = simulator.keys().secret_test.clone();
        let arguments = ["trigger", trigger, "--api-base", simulator.url(), "--api-key", &key];
        run(&cli, &arguments, &simulator).await;
        let events = simulator.test().objects("event");
        let kinds: BTreeSet<&str> =
            events.iter().filter_map(|event| event["type"].as_str()).collect();
        if !kinds.contains(trigger) {
            missing.push((trigger, format!("{kinds:?}")));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
