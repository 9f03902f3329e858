//! The commands of Apigee's documentation, run by a shell as they are given: the host is replaced
//! and the variables are set, nothing else.

use std::process::Command;

use hyper::Method;
use serde_json::{Value, json};

use crate::support::api::Portal;
use crate::support::process::{standalone, texts};

const PREPAID_BALANCES: &str = include_str!("documents/prepaid-balances.txt");

/// A command of the documentation, and what it answers there.
struct Sample {
    command: String,
    answer: Value,
}

/// The sample of this name.
fn sample(name: &str) -> Sample {
    let start = format!("\n== {name}\n");
    let text = PREPAID_BALANCES.split_once(&start).expect("there is such a sample").1;
    let text = text.split("\n== ").next().unwrap();
    let (command, answer) = text.split_once("\n-- answers\n").unwrap();
    // Answers are given with the comma that commands are given with.
    let answer = answer.replace(",\n}", "\n}");
    Sample { command: command.to_owned(), answer: serde_json::from_str(&answer).unwrap() }
}

/// Runs a command for a developer and returns what it answered and what the document says.
fn run(portal: &Portal, developer: &str, name: &str) -> (Value, Value) {
    let Sample { command, answer } = sample(name);
    let command = command.replace("https://apigee.googleapis.com", &portal.url);
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &command])
        .env("TOKEN", &portal.token)
        .env("YOUR_GOOGLE_PROJECT_ID", &portal.organization)
        .env("DEVELOPER_EMAIL_ID", developer)
        .output()
        .expect("bash and curl are installed");
    let (said, errors) = texts(&output);
    assert!(output.status.success(), "{command}\n{errors}");
    let got = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    (got, answer)
}

/// Fails unless `got` has the documented wallets: each with the balance and every key, whatever
/// their order. Times are those of the credits; as every 64-bit number they are strings, which one
/// sample writes as a number.
fn are_wallets(got: &Value, documented: &Value) {
    let wallets = got["wallets"].as_array().unwrap();
    let wanted = documented["wallets"].as_array().unwrap();
    assert_eq!(wallets.len(), wanted.len(), "{got}");
    for want in wanted {
        let same = |wallet: &&Value| wallet["balance"] == want["balance"];
        let found = wallets.iter().find(same);
        let found = found.unwrap_or_else(|| panic!("no wallet is {want}: {got}"));
        let keys =
            |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
        assert_eq!(keys(found), keys(want));
        let time: u64 = found["lastCreditTime"].as_str().unwrap().parse().unwrap();
        assert!(time > 1_600_000_000_000, "milliseconds since 1970: {time}");
    }
}

async fn add_developer(portal: &Portal, email: &str) {
    let developer = json!({"email": email, "firstName": "Ada", "lastName": "L", "userName": email});
    portal.must(Method::POST, "/developers", &developer).await;
    let prepaid = json!({"billingType": "PREPAID"});
    let config = format!("/developers/{email}/monetizationConfig");
    portal.must(Method::PUT, &config, &prepaid).await;
}

async fn credit(portal: &Portal, email: &str, currency: &str, units: &str, nanos: i32) {
    let body = json!({
        "transactionAmount": {"currencyCode": currency, "units": units, "nanos": nanos},
        "transactionId": format!("{email}-{currency}"),
    });
    portal.must(Method::POST, &format!("/developers/{email}/balance:credit"), &body).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_about_prepaid_balances_answers_what_is_documented() {
    let dir = tempfile::tempdir().unwrap();
    let process = standalone(dir.path(), &[]);
    let portal = Portal::of_demo(&process);

    let switched = "switched@example.com";
    add_developer(&portal, switched).await;
    for name in ["view-config", "update-config"] {
        let (got, documented) = run(&portal, switched, name);
        assert_eq!(got, documented, "{name}");
    }

    // 150.50 + 150.21 = 300.71.
    let credited = "credited@example.com";
    add_developer(&portal, credited).await;
    credit(&portal, credited, "USD", "150", 500_000_000).await;
    credit(&portal, credited, "INR", "10000", 600_000_000).await;
    // The portal repeats a credit that it is not sure of: it counts once.
    for name in ["view-balance", "credit", "credit"] {
        let (got, documented) = run(&portal, credited, name);
        are_wallets(&got, &documented);
    }

    // 200 - 50 = 150, and 150 + 50.1 = 200.1.
    let adjusted = "adjusted@example.com";
    add_developer(&portal, adjusted).await;
    credit(&portal, adjusted, "USD", "200", 0).await;
    for name in ["lower", "raise"] {
        let (got, documented) = run(&portal, adjusted, name);
        are_wallets(&got, &documented);
    }
    assert!(process.stop().success());
}
