//! Every curl of Apigee's page "Managing prepaid account balances", as it stands there; only the
//! host is replaced.

use serde_json::json;

use crate::harness::{ADMIN, NOON, Reply, Server};

const VIEW_CONFIG: &str = r#"curl -H "Authorization: Bearer $TOKEN" \
https://apigee.googleapis.com/v1/organizations/$YOUR_GOOGLE_PROJECT_ID/developers/$DEVELOPER_EMAIL_ID/monetizationConfig"#;

const UPDATE_CONFIG: &str = r#"curl -H "Authorization: Bearer $TOKEN" \
-H "Content-type: application/json" \
-X PUT \
-d '{
"billingType": "POSTPAID",
}' \
https://apigee.googleapis.com/v1/organizations/$YOUR_GOOGLE_PROJECT_ID/developers/$DEVELOPER_EMAIL_ID/monetizationConfig"#;

const VIEW_BALANCE: &str = r#"curl -H "Authorization: Bearer $TOKEN" \
https://apigee.googleapis.com/v1/organizations/$YOUR_GOOGLE_PROJECT_ID/developers/$DEVELOPER_EMAIL_ID/balance"#;

const CREDIT: &str = r#"curl -H "Authorization: Bearer $TOKEN" \
-H "Content-type: application/json" \
-X POST \
-d '{
  "transactionAmount": {
     "currencyCode": "USD",
     "units": "150",
     "nanos": 210000000
  },
  "transactionId": "ab31b63e-f8e8-11eb-9a03-0242ac130003"
}' \
https://apigee.googleapis.com/v1/organizations/$YOUR_GOOGLE_PROJECT_ID/developers/$DEVELOPER_EMAIL_ID/balance:credit"#;

const LOWER: &str = r#"curl -H "Authorization: Bearer $TOKEN" \
-H "Content-type: application/json" \
-X POST \
-d '{
  "adjustment": {
    "units": "50",
    "currencyCode": "USD"
  }
}' \
https://apigee.googleapis.com/v1/organizations/$YOUR_GOOGLE_PROJECT_ID/developers/$DEVELOPER_EMAIL_ID/balance:adjust"#;

const RAISE: &str = r#"curl -H "Authorization: Bearer $TOKEN" \
-H "Content-type: application/json" \
-X POST \
-d '{
  "adjustment": {
    "units": "-50",
    "nanos": "100000000",
    "currencyCode": "USD"
  }
}' \
https://apigee.googleapis.com/v1/organizations/$YOUR_GOOGLE_PROJECT_ID/developers/$DEVELOPER_EMAIL_ID/balance:adjust"#;

#[tokio::test]
async fn the_samples_of_the_billing_type_work() {
    let server = Server::start_with_ada().await;
    let shown = curl(&server, VIEW_CONFIG).await;
    assert_eq!((shown.status, shown.json), (200, json!({"billingType": "PREPAID"})));
    let changed = curl(&server, UPDATE_CONFIG).await;
    assert_eq!((changed.status, changed.json), (200, json!({"billingType": "POSTPAID"})));
    assert_eq!(curl(&server, VIEW_CONFIG).await.json, json!({"billingType": "POSTPAID"}));
}

#[tokio::test]
async fn the_samples_of_view_and_credit_work() {
    let server = Server::start_with_ada().await;
    let empty = curl(&server, VIEW_BALANCE).await;
    assert_eq!((empty.status, empty.json), (200, json!({})));
    credit(&server, "USD", "150", 500_000_000).await;
    server.clock.set(NOON + 1);
    credit(&server, "INR", "10000", 600_000_000).await;
    let inr = json!({
        "balance": {"currencyCode": "INR", "units": "10000", "nanos": 600_000_000},
        "lastCreditTime": (NOON + 1).to_string(),
    });
    let usd = json!({
        "balance": {"currencyCode": "USD", "units": "150", "nanos": 500_000_000},
        "lastCreditTime": NOON.to_string(),
    });
    assert_eq!(curl(&server, VIEW_BALANCE).await.json, json!({"wallets": [inr, usd]}));

    server.clock.set(NOON + 2);
    let credited = curl(&server, CREDIT).await;
    let usd = json!({
        "balance": {"currencyCode": "USD", "units": "300", "nanos": 710_000_000},
        "lastCreditTime": (NOON + 2).to_string(),
    });
    let wallets = json!({"wallets": [inr, usd]});
    assert_eq!((credited.status, &credited.json), (200, &wallets));
    // The portal repeats what it is not sure of: it counts once, and the time stays.
    server.clock.set(NOON + 3);
    let repeated = curl(&server, CREDIT).await;
    assert_eq!((repeated.status, &repeated.json), (200, &wallets));
}

#[tokio::test]
async fn the_samples_of_adjusting_work() {
    let server = Server::start_with_ada().await;
    credit(&server, "USD", "200", 0).await;
    server.clock.set(NOON + 9);
    let usd = |units: &str, nanos: Option<i32>| {
        let mut balance = json!({"currencyCode": "USD", "units": units});
        if let Some(nanos) = nanos {
            balance["nanos"] = nanos.into();
        }
        // Only credits move the time.
        json!({"wallets": [{"balance": balance, "lastCreditTime": NOON.to_string()}]})
    };
    let lowered = curl(&server, LOWER).await;
    assert_eq!((lowered.status, lowered.json), (200, usd("150", None)));
    let raised = curl(&server, RAISE).await;
    assert_eq!((raised.status, raised.json), (200, usd("200", Some(100_000_000))));
}

async fn credit(server: &Server, currency: &str, units: &str, nanos: i32) {
    let body = json!({
        "transactionAmount": {"currencyCode": currency, "units": units, "nanos": nanos},
        "transactionId": format!("{currency}-{units}"),
    });
    let path = format!("{}/balance:credit", crate::harness::ADA);
    let reply = server.post(&path, &body.to_string()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// Does what curl would do with these arguments.
async fn curl(server: &Server, command: &str) -> Reply {
    let command = command
        .replace("$TOKEN", ADMIN)
        .replace("https://apigee.googleapis.com", "")
        .replace("$YOUR_GOOGLE_PROJECT_ID", "acme")
        .replace("$DEVELOPER_EMAIL_ID", "ada@example.com");
    let (mut method, mut path, mut headers, mut body) = (None, None, String::new(), None);
    let mut words = words(&command).into_iter();
    assert_eq!(words.next().as_deref(), Some("curl"));
    while let Some(word) = words.next() {
        match word.as_str() {
            "-H" => headers.push_str(&format!("{}\r\n", words.next().unwrap())),
            "-X" => method = words.next(),
            "-d" => body = words.next().map(|text| text.replace('\n', "")),
            _ => path = Some(word),
        }
    }
    let method = method.unwrap_or_else(|| "GET".to_owned());
    server.call(&method, &path.unwrap(), "", &headers, body.as_deref()).await
}

/// Splits a command as a shell does, as far as the samples need it.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for char in command.replace("\\\n", " ").chars() {
        match (quote, char) {
            (None, '"' | '\'') => quote = Some(char),
            (Some(open), _) if open == char => quote = None,
            (None, ' ' | '\n') => words.push(String::new()),
            _ => words.last_mut().unwrap().push(char),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
