//! Every command that the start prints does what it says, pasted as it is.

use std::path::Path;
use std::process::Command;

use crate::support::api::{Portal, nanos};
use crate::support::eventually;
use crate::support::process::{Tollgate, standalone};

/// The commands behind the guide's comments, in order.
async fn commands(process: &Tollgate) -> Vec<(String, String)> {
    let said = eventually("the guide is printed", || async {
        let said = process.stderr();
        if said.contains("# Top up") && said.ends_with("'\n") { Ok(said) } else { Err(said) }
    })
    .await;
    let mut found = Vec::new();
    for block in said.split("\n\n") {
        let (what, lines): (Vec<&str>, Vec<&str>) =
            block.lines().partition(|line| line.starts_with("# "));
        if !what.is_empty() && !lines.is_empty() {
            found.push((what.join(" "), lines.join("\n")));
        }
    }
    found
}

fn command_for<'a>(commands: &'a [(String, String)], what: &str) -> &'a str {
    let found = commands.iter().find(|(comment, _)| comment.contains(what));
    &found.unwrap_or_else(|| panic!("{what:?} is not among {commands:?}")).1
}

fn paste(text: &str, dir: &Path) -> String {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", text])
        .current_dir(dir)
        .output()
        .unwrap();
    let (said, errors) = crate::support::process::texts(&output);
    assert!(output.status.success(), "{text}\n{said}\n{errors}");
    said
}

/// How many lines `uniq -c` counted for a status.
fn counted(said: &str, status: &str) -> u64 {
    let rows = said.lines().filter_map(|line| line.trim().split_once(' '));
    rows.filter(|(_, name)| *name == status).map(|(count, _)| count.parse::<u64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_one_gateway_spend_the_wallet_and_top_it_up() {
    let dir = tempfile::tempdir().unwrap();
    // A place that a shell would take for several words.
    let data = dir.path().join("my data");
    let process = standalone(&data, &[]);
    let portal = Portal::of_demo(&process);
    let commands = commands(&process).await;
    let call = command_for(&commands, "A call that costs 0.01 EUR");
    assert!(paste(call, dir.path()).contains("200 OK"));
    portal.balance_becomes(nanos("0.99")).await;
    let balance = paste(command_for(&commands, "The balance, before and after"), dir.path());
    assert!(balance.contains("990000000"), "{balance}");
    let over_grpc = command_for(&commands, "The same over gRPC");
    for line in over_grpc.lines() {
        // A watch goes on until it is interrupted.
        let line = if line.contains(" watch ") {
            format!("timeout 2 {line} || [ $? = 124 ]")
        } else {
            line.to_owned()
        };
        let said = paste(&line, dir.path());
        assert!(said.contains("0.99"), "{line}: {said}");
    }
    assert!(command_for(&commands, "grpcurl").contains("tollgate.v1.Balances/GetBalance"));

    let said = paste(command_for(&commands, "Spend the wallet"), dir.path());
    assert_eq!(counted(&said, "200"), 99, "{said}");
    assert_eq!(counted(&said, "402"), 51, "{said}");
    portal.balance_becomes(0).await;
    paste(command_for(&commands, "Top up"), dir.path());
    portal.balance_becomes(nanos("5")).await;
    eventually("calls pass again", || async {
        let said = paste(call, dir.path());
        if said.contains("200 OK") { Ok(()) } else { Err(said) }
    })
    .await;
    assert!(process.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_two_gateways_take_the_wallet_below_zero_and_pay_the_debt() {
    let dir = tempfile::tempdir().unwrap();
    let process = standalone(dir.path(), &["--gateways", "2"]);
    let portal = Portal::of_demo(&process);
    let commands = commands(&process).await;
    let mut credited = nanos("1");
    let (mut passed, mut debt) = (0, 0);
    // On a machine that is busy enough the gateways keep up with the calls; then the loop is pasted again.
    for _ in 0..10 {
        let said = paste(command_for(&commands, "Spend the wallet"), dir.path());
        passed += i128::from(counted(&said, "200"));
        assert_eq!(counted(&said, "200") + counted(&said, "402"), 300, "{said}");
        debt = passed * nanos("0.01") - credited;
        portal.balance_becomes(-debt).await;
        if debt > 0 {
            break;
        }
        assert_eq!(
            portal.credit(1, &format!("again-{passed}")).await.unwrap().status.as_u16(),
            200
        );
        credited += nanos("1");
    }
    assert!(debt > 0, "more calls passed than the wallet paid for");
    let told =
        paste(command_for(&commands, "The same over gRPC").lines().next().unwrap(), dir.path());
    assert!(told.contains("gateway-1") && told.contains("gateway-2"), "{told}");
    paste(command_for(&commands, "Top up"), dir.path());
    portal.balance_becomes(nanos("5") - debt).await;
    assert!(process.stop().success());
}
