//! Overspend policies and overdraft limits, and debits that ask what is reserved.

use serde_json::{Value, json};
use tollgate_ledger_store::catalogue::wallet_id;
use tollgate_ledger_store::{Commit, Ledger};
use tollgate_metering::account::{Ceiling, Stamp};
use tollgate_metering::{Account, Incarnation, Money, UnixMillis, WalletId};
use uuid::Uuid;

use crate::harness::{ADA, ADMIN, NOON, READER, Reply, Server, plan_body};

const EUR: &str = "/v1/organizations/acme/developers/ada@example.com/wallets/EUR";
const BUY: &str = r#"{"apiproduct":"weather"}"#;

// === impl Server ===

impl Server {
    async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.call("PATCH", path, ADMIN, "", Some(&body.to_string())).await
    }

    async fn ada_eur(&self) -> WalletId {
        let ada = self.catalogue.developer("acme", "ada@example.com").await.unwrap();
        wallet_id(ada.id, "EUR".parse().unwrap())
    }

    async fn account(&self) -> Account {
        let wallet = self.ada_eur().await;
        self.sqlite.read(wallet).await.unwrap().unwrap().account
    }

    /// Ends a change of the policy as if every gateway had acknowledged it.
    async fn settle(&self) {
        let mut change = self.account().await.change();
        change.header.mode.is_changing = false;
        assert_eq!(self.sqlite.commit(&change).await.unwrap(), Commit::Applied);
    }

    /// Grants a gateway so much of the wallet.
    async fn grant(&self, amount: &str) {
        let draw: Money = amount.parse().unwrap();
        let account = self.account().await;
        let mut change = account.change();
        let stamp = Stamp { mode: account.header.mode.counter, epoch: 1, counter: 1 };
        let settled = Money::ZERO;
        let ceiling = Ceiling { stamp, draw, most: draw, settled, is_retired: false };
        let gateway = Incarnation { born: UnixMillis(NOON), id: Uuid::from_u128(7) };
        change.ceilings.insert(gateway, Some(ceiling));
        assert_eq!(self.sqlite.commit(&change).await.unwrap(), Commit::Applied);
    }

    /// Ada with a strict wallet of 10 EUR, of which gateways may spend 8.
    async fn start_with_reserved() -> Server {
        let server = Server::start_with_ada().await;
        let made = server.patch(EUR, &json!({"overspend": "strict"})).await;
        assert_eq!(made.status, 200, "{made:?}");
        server.credit("EUR", "10", "t-1").await;
        server.grant("8").await;
        server
    }
}

fn eur(units: i64) -> Value {
    match units {
        0 => json!({"currencyCode": "EUR"}),
        units => json!({"currencyCode": "EUR", "units": units.to_string()}),
    }
}

#[tokio::test]
async fn a_wallet_is_opened_under_the_policy_that_is_set() {
    let server = Server::start_with_ada().await;
    assert_eq!(server.get(EUR).await.status, 400, "there is no wallet yet");
    assert_eq!(server.get(&format!("{ADA}/wallets")).await.json, json!({}));
    let limit = json!({"units": "5"});
    let set = json!({"overspend": "strict", "overdraftLimit": limit});
    for _ in 0..2 {
        let reply = server.patch(EUR, &set).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let want = json!({
            "currencyCode": "EUR", "overspend": "strict", "effectiveOverspend": "strict",
            "isChanging": false, "overdraftLimit": eur(5), "creditLimit": null, "balance": eur(0), "reserved": eur(0),
        });
        assert_eq!(reply.json, want, "nobody has to acknowledge what nobody knows");
    }
    let listed = server.get(&format!("{ADA}/wallets")).await.json;
    assert_eq!(listed["wallets"][0], server.get(EUR).await.json);
    // What was read can be sent back, as Apigee's clients do.
    let read = server.get(EUR).await.json;
    assert_eq!(server.patch(EUR, &read).await.json, read);
    let (read, written) = (
        server.call("GET", EUR, READER, "", None).await,
        server.call("PATCH", EUR, READER, "", Some("{}")).await,
    );
    assert_eq!((read.status, written.status), (200, 403));
}

#[tokio::test]
async fn a_policy_of_an_open_wallet_changes_and_is_inherited_again() {
    let server = Server::start_with_ada().await;
    server.credit("EUR", "10", "t-1").await;
    let set = server.patch(EUR, &json!({"overspend": "strict"})).await.json;
    let said = (&set["overspend"], &set["effectiveOverspend"], &set["isChanging"]);
    assert_eq!(said, (&json!("strict"), &json!("strict"), &json!(true)));
    let counter = server.account().await.header.mode.counter;
    // Absent is not null: it stays.
    let kept = server.patch(EUR, &json!({"overdraftLimit": {"units": 1}})).await.json;
    assert_eq!((&kept["overspend"], &kept["overdraftLimit"]), (&json!("strict"), &eur(1)));
    assert_eq!(server.account().await.header.mode.counter, counter, "one change was begun");
    server.settle().await;
    let inherited = server.patch(EUR, &json!({"overspend": null})).await.json;
    let said = (&inherited["overspend"], &inherited["effectiveOverspend"]);
    assert_eq!(said, (&Value::Null, &json!("optimistic")));
}

#[tokio::test]
async fn a_credit_limit_is_set_kept_and_taken_away() {
    let server = Server::start_with_ada().await;
    let shown = async |body: Value| server.patch(EUR, &body).await.json["creditLimit"].clone();
    assert_eq!(shown(json!({"creditLimit": {"units": "3"}})).await, eur(3));
    assert_eq!(shown(json!({"overspend": "optimistic"})).await, eur(3), "absent: it stays");
    let other = EUR.replace("EUR", "USD");
    server.patch(&other, &json!({"creditLimit": {"units": 7}})).await;
    assert_eq!(shown(json!({"overspend": null})).await, eur(3), "each currency has its own");
    assert_eq!(shown(json!({"creditLimit": {"units": "0"}})).await, eur(0), "nothing may be owed");
    assert_eq!(shown(json!({"creditLimit": null})).await, Value::Null, "null: none");
    assert_eq!(server.get(&other).await.json["creditLimit"]["units"], "7");
}

#[tokio::test]
async fn wider_policies_reach_wallets_with_the_request_that_moves_them() {
    let server = Server::start_with_ada().await;
    server.credit("EUR", "10", "t-1").await;
    let effective = async || server.get(EUR).await.json["effectiveOverspend"].clone();
    let says = |policy: &str| json!([{"name": "tollgate.overspend", "value": policy}]);
    let products = "/v1/organizations/acme/apiproducts";
    let safe = json!({"name": "safe", "attributes": says("strict")});
    assert_eq!(server.post(products, &safe.to_string()).await.status, 201);
    assert_eq!(effective().await, "optimistic");
    let made =
        server.post(&format!("{ADA}/apps"), r#"{"name":"shop","apiProducts":["safe"]}"#).await;
    assert_eq!(effective().await, "strict", "by a key: {made:?}");
    let key = made.json["credentials"][0]["consumerKey"].as_str().unwrap();
    let on_key = format!("{ADA}/apps/shop/keys/{key}/apiproducts/safe");
    server.post(&format!("{on_key}?action=revoke"), "").await;
    assert_eq!(effective().await, "optimistic");
    server.post(&format!("{on_key}?action=approve"), "").await;
    assert_eq!(effective().await, "strict");
    // An address that changes with the policy is still the same developer.
    let changed = json!({
        "email": "countess@example.com", "firstName": "Ada", "lastName": "L", "userName": "ada",
        "attributes": says("optimistic"),
    });
    let reply = server.put(ADA, &changed.to_string()).await;
    assert_eq!(reply.json["attributes"], says("optimistic"), "{reply:?}");
    let moved = "/v1/organizations/acme/developers/countess@example.com/wallets/EUR";
    assert_eq!(server.get(moved).await.json["effectiveOverspend"], "optimistic");
}

#[tokio::test]
async fn what_is_wrong_in_a_wallet_is_named_and_changes_nothing() {
    let server = Server::start_with_ada().await;
    server.credit("EUR", "10", "t-1").await;
    let before = server.account().await;
    let rows = [
        (EUR, json!({"overspend": "strikt"}), "optimistic or strict"),
        (EUR, json!({"overspend": 1}), "invalid type"),
        (EUR, json!({"overdraftLimit": {"units": "-1"}}), "must not be negative"),
        (EUR, json!({"overdraftLimit": {"currencyCode": "USD", "units": "1"}}), "which is EUR"),
        (EUR, json!({"creditLimit": {"units": "-1"}}), "must not be negative"),
        (EUR, json!({"creditLimit": {"currencyCode": "USD", "units": "1"}}), "which is EUR"),
        (EUR, json!({"creditLimit": 1}), "invalid type"),
        (EUR, json!({"limit": 1}), "unknown field"),
        (&format!("{EUR}?force=maybe"), json!({}), "must be true or false"),
        (&format!("{ADA}/wallets/EURO"), json!({}), "not a currency"),
        (&format!("{ADA}/wallets/ABC"), json!({}), "ISO 4217"),
    ];
    for (path, body, want) in rows {
        let reply = server.patch(path, &body).await;
        assert_eq!((reply.status, reply.error_status()), (400, "INVALID_ARGUMENT"), "{reply:?}");
        assert!(reply.message().contains(want), "{body}: {}", reply.message());
    }
    assert_eq!(server.account().await, before);
    assert_eq!(server.patch(&EUR.replace("ada@", "bob@"), &json!({})).await.status, 404);
}

#[tokio::test]
async fn debits_ask_what_is_reserved() {
    let server = Server::start_with_reserved().await;
    assert_eq!(server.get(EUR).await.json["reserved"], eur(8));
    let adjust = async |units: i64, query: &str, key: &str| {
        let body = json!({"adjustment": {"currencyCode": "EUR", "units": units}}).to_string();
        let path = format!("{ADA}/balance:adjust{query}");
        server.call("POST", &path, ADMIN, &format!("Idempotency-Key: {key}\r\n"), Some(&body)).await
    };
    assert_eq!(adjust(2, "", "covered").await.status, 200, "down to what is reserved");
    let refused = adjust(1, "", "k-1").await;
    assert_eq!(
        (refused.status, refused.error_status()),
        (400, "FAILED_PRECONDITION"),
        "{refused:?}"
    );
    assert_eq!(refused.reason(), "tollgate.wallet.reserved");
    let said = refused.message();
    let told = said.contains("balance would be 7 EUR") && said.contains("spend 8 EUR");
    assert!(told && said.contains("down to 0 EUR") && said.contains("force=true"), "{said}");
    assert_eq!(server.balance("EUR").await.unwrap(), "8");
    assert_eq!(adjust(-1, "", "raise").await.status, 200, "raising asks for nothing");

    assert_eq!(adjust(4, "?force=true", "k-1").await.status, 200);
    // The same id again is the same booking, forced or not.
    for query in ["", "?force=true", "?force=false"] {
        assert_eq!(adjust(4, query, "k-1").await.status, 200, "{query}");
    }
    assert_eq!(server.balance("EUR").await.unwrap(), "5");
    let journal = server.get(&format!("{ADA}/balance:entries")).await.json;
    let entries = journal["entries"].as_array().unwrap();
    let forced: Vec<_> = entries.iter().filter(|entry| entry["isForced"] == true).collect();
    assert_eq!(forced.len(), 1, "{journal}");
    assert_eq!(forced[0]["id"], "adjustment:k-1");
}

#[tokio::test]
async fn a_lower_limit_asks_what_is_reserved_and_changes_nothing_else() {
    let server = Server::start_with_reserved().await;
    assert_eq!(server.patch(EUR, &json!({"overdraftLimit": {"units": "4"}})).await.status, 200);
    server.grant("14").await;
    let lower = json!({"overdraftLimit": {"units": "3"}, "overspend": null});
    let refused = server.patch(EUR, &lower).await;
    assert_eq!(refused.reason(), "tollgate.wallet.reserved", "{refused:?}");
    assert!(refused.message().contains("down to -3 EUR"), "{}", refused.message());
    let kept = server.get(EUR).await.json;
    assert_eq!((&kept["overspend"], &kept["overdraftLimit"]), (&json!("strict"), &eur(4)));
    let forced = server.patch(&format!("{EUR}?force=true"), &lower).await;
    assert_eq!((forced.status, &forced.json["overdraftLimit"]), (200, &eur(3)), "{forced:?}");
}

#[tokio::test]
async fn debits_wait_for_a_change_of_the_policy() {
    let server = Server::start_with_ada().await;
    server.credit("EUR", "10", "t-1").await;
    server.patch(EUR, &json!({"overspend": "strict"})).await;
    let body = json!({"adjustment": {"currencyCode": "EUR", "units": 1}}).to_string();
    let path = format!("{ADA}/balance:adjust");
    let refused = server.post(&path, &body).await;
    assert_eq!((refused.status, refused.error_status()), (409, "ABORTED"), "{refused:?}");
    assert_eq!(refused.reason(), "tollgate.wallet.policy_changing");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(server.post(&format!("{path}?force=true"), &body).await.status, 200);
    server.settle().await;
    assert_eq!(server.post(&path, &body).await.status, 200);
    assert_eq!(server.balance("EUR").await.unwrap(), "8");
}

#[tokio::test]
async fn a_setup_fee_asks_what_is_reserved_and_takes_the_purchase_back() {
    let server = Server::start_with_reserved().await;
    let plan = server.add_plan("weather", r#","setupFee":{"units":"5"}"#).await;
    let path = format!("{ADA}/subscriptions");
    let refused = server.post(&path, BUY).await;
    assert_eq!(refused.reason(), "tollgate.wallet.reserved", "{refused:?}");
    assert_eq!(server.get(&path).await.json, json!({}), "nothing was bought");
    // A purchase that still waited would be taken up at its old fee.
    let plans = format!("/v1/organizations/acme/apiproducts/weather/rateplans/{plan}");
    let cheaper = plan_body("weather", r#","setupFee":{"units":"3"}"#);
    let changed = server.put(&plans, &cheaper).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let wallet = server.ada_eur().await;
    let bought = server.post(&format!("{path}?force=true"), BUY).await;
    assert_eq!(bought.status, 201, "{bought:?}");
    assert_eq!(server.balance("EUR").await.unwrap(), "7");
    let header = server.sqlite.read(wallet).await.unwrap().unwrap().account.header;
    let entries = server.sqlite.entries(header.developer, None, 9).await.unwrap();
    assert!(entries.iter().any(|entry| entry.is_forced && entry.id.starts_with("fee:")));
    // More than there is at all is not a matter of force.
    server.add_plan("maps", r#","setupFee":{"units":"50"}"#).await;
    let refused = server.post(&path, r#"{"apiproduct":"maps"}"#).await;
    assert_eq!(refused.reason(), "mint.service.developer_usage_exceeds_balance", "{refused:?}");
}
