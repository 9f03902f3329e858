//! AppGroups: owners of apps that are not people.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tollgate_ledger_store::catalogue::wallet_id;
use tollgate_metering::{BillingType, UnixMillis};

use crate::harness::{ADA, NOON, Server};

const GROUPS: &str = "/v1/organizations/acme/appgroups";
const WORKS: &str = "/v1/organizations/acme/appgroups/works";

async fn server() -> Server {
    let server = Server::start_with_ada().await;
    let made = server.post(GROUPS, r#"{"name":"works","channelId":"shop"}"#).await;
    assert_eq!(made.status, 201, "{made:?}");
    server
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|one| text(&one["name"])).collect()
}

#[tokio::test]
async fn an_app_group_is_made_listed_changed_and_deleted() {
    let server = server().await;
    for (name, uri) in [("b", "u"), ("c", "u")] {
        let body = json!({"name": name, "channelUri": uri}).to_string();
        assert_eq!(server.post(GROUPS, &body).await.status, 201);
    }
    let twice = server.post(GROUPS, r#"{"name":"b"}"#).await;
    assert_eq!((twice.status, twice.reason()), (409, "appgroup.service.AppGroupAlreadyExists"));
    let off = server.put(&format!("{WORKS}?action=inactive"), "").await;
    assert_eq!((off.status, &off.json["status"]), (200, &json!("inactive")));
    let rows: [(&str, &[&str]); 6] = [
        ("", &["b", "c", "works"]),
        ("filter=status=active", &["b", "c"]),
        ("filter=channelId=shop", &["works"]),
        ("filter=channelUri=u%20AND%20status=inactive", &[]),
        ("pageSize=2", &["b", "c"]),
        ("pageSize=2&pageToken=works", &["works"]),
    ];
    for (query, want) in rows {
        let listed = server.get(&format!("{GROUPS}?{query}")).await;
        assert_eq!(names(&listed.json["appGroups"]), want, "{query}");
        let next = listed.json["nextPageToken"].as_str();
        assert_eq!(next, (query == "pageSize=2").then_some("works"), "{query}");
    }
    assert_eq!(server.get(&format!("{GROUPS}?filter=size=3")).await.status, 400);
    let put = server.put(WORKS, r#"{"displayName":"Works"}"#).await;
    assert_eq!(
        (&put.json["displayName"], &put.json["status"]),
        (&json!("Works"), &json!("inactive"))
    );

    // Developers and AppGroups do not find each other.
    let id = text(&put.json["appGroupId"]);
    for path in ["works", id] {
        let none = server.get(&format!("/v1/organizations/acme/developers/{path}")).await;
        assert_eq!(none.reason(), "developer.service.DeveloperIdDoesNotExist", "{path}");
    }
    let none = server.get(&format!("{GROUPS}/ada@example.com/balance")).await;
    assert_eq!((none.status, none.reason()), (404, "appgroup.service.AppGroupDoesNotExist"));
    let people = server.get("/v1/organizations/acme/developers").await;
    assert_eq!(people.json, json!({"developer": [{"email": "ada@example.com"}]}));
    let of_edge = server.get("/v1/mint/organizations/acme/developers?all=true").await;
    assert_eq!((of_edge.status, &of_edge.json["totalRecords"]), (200, &json!(1)), "{of_edge:?}");
    assert_eq!(server.post(&format!("{WORKS}/apps"), r#"{"name":"shop"}"#).await.status, 201);
    let with_app = server.get("/v1/organizations/acme/developers?app=shop").await;
    assert_eq!((with_app.status, &with_app.json), (200, &json!({})), "{with_app:?}");

    assert_eq!(server.delete(WORKS).await.status, 200);
    assert_eq!(server.get(WORKS).await.status, 404);
    let again = server.post(GROUPS, r#"{"name":"works"}"#).await;
    assert_eq!(again.status, 201);
    assert_ne!(text(&again.json["appGroupId"]), id, "one created again is another");
}

#[tokio::test]
async fn an_app_group_has_wallets_and_buys() {
    let server = server().await;
    server.add_plan("weather", r#","setupFee":{"units":"5"}"#).await;
    let config = format!("{WORKS}/monetizationConfig");
    assert_eq!(server.get(&config).await.json, json!({"billingType": "POSTPAID"}));
    for wrong in ["{}", r#"{"billingType":"BILLING_TYPE_UNSPECIFIED"}"#] {
        assert_eq!(server.put(&config, wrong).await.status, 400);
    }
    let prepaid = json!({"billingType": "PREPAID"});
    assert_eq!(server.put(&config, &prepaid.to_string()).await.json, prepaid);

    let balance = format!("{WORKS}/balance");
    assert_eq!(server.get(&balance).await.json, json!({}));
    let buy = r#"{"apiproduct":"weather","startTime":"1"}"#;
    let bought = format!("{WORKS}/subscriptions");
    let poor = server.post(&bought, buy).await;
    assert_eq!(poor.reason(), "keymanagement.service.developer_wallet_does_not_exist");
    let credit = json!({
        "transactionAmount": {"currencyCode": "EUR", "units": "20"}, "transactionId": "t-1",
    });
    for _ in 0..2 {
        let credited = server.post(&format!("{balance}:credit"), &credit.to_string()).await;
        assert_eq!(credited.json["wallets"][0]["balance"]["units"], "20", "{credited:?}");
        assert_eq!(credited.json["wallets"][0]["lastCreditTime"], NOON.to_string());
    }
    let first = server.post(&bought, buy).await;
    assert_eq!((first.status, &first.json["startTime"]), (201, &json!(NOON.to_string())));
    let adjust =
        |units: &str| json!({"adjustment": {"currencyCode": "EUR", "units": units}}).to_string();
    let lowered = server.post(&format!("{balance}:adjust"), &adjust("3")).await;
    assert_eq!(lowered.json["wallets"][0]["balance"]["units"], "12", "20 - 5 - 3");
    let raised = server.post(&format!("{balance}:adjust"), &adjust("-3")).await;
    assert_eq!((raised.status, raised.error_status()), (400, "INVALID_ARGUMENT"));
    assert!(raised.message().contains("credit its balance instead"), "{raised:?}");
    assert_eq!(server.get(&balance).await.json, lowered.json);
    assert_eq!(server.balance("EUR").await, None, "the wallet is the group's");

    let path = format!("{bought}/{}", text(&first.json["name"]));
    assert_eq!(server.get(&path).await.json, first.json);
    server.clock.set(NOON + 10);
    let ended = server.post(&format!("{path}:expire"), "{}").await;
    assert_eq!(ended.json["endTime"], (NOON + 10).to_string());
    let second = server.post(&bought, buy).await.json;
    let page = server.get(&format!("{bought}?pageSize=1")).await.json;
    assert_eq!(page["appGroupSubscriptions"], json!([ended.json]));
    let rest = format!("{bought}?pageSize=1&pageToken={}", text(&page["nextPageToken"]));
    assert_eq!(server.get(&rest).await.json, json!({"appGroupSubscriptions": [second]}));
}

#[tokio::test]
async fn a_gateway_is_told_of_an_app_groups_key_as_of_any_other() {
    let server = server().await;
    server.add_plan("weather", "").await;
    server.put(&format!("{WORKS}/monetizationConfig"), r#"{"billingType":"PREPAID"}"#).await;
    let credit = r#"{"transactionAmount":{"currencyCode":"EUR","units":"9"},"transactionId":"t"}"#;
    server.post(&format!("{WORKS}/balance:credit"), credit).await;
    server.post(&format!("{WORKS}/subscriptions"), r#"{"apiproduct":"weather"}"#).await;
    let body = r#"{"name":"shop","apiProducts":["weather"],"keyExpiresIn":"60"}"#;
    let made = server.post(&format!("{WORKS}/apps"), body).await;
    assert_eq!((made.status, &made.json["appGroup"]), (201, &json!("works")), "{made:?}");
    assert_eq!(made.json["credentials"][0]["expiresAt"], (NOON + 60_000).to_string(), "seconds");

    let key = text(&made.json["credentials"][0]["consumerKey"]);
    let sha256 = Sha256::digest(key.as_bytes()).into();
    let resolve = async || server.catalogue.resolve(&sha256, UnixMillis(NOON)).await.unwrap();
    let caller = resolve().await.unwrap();
    assert_eq!((caller.developer_email.as_str(), caller.billing), ("works", BillingType::Prepaid));
    let eur = "EUR".parse().unwrap();
    assert_eq!(caller.wallets.get(&eur), Some(&wallet_id(caller.developer, eur)));
    assert_eq!((caller.products[0].plans.len(), caller.products[0].subscriptions.len()), (1, 1));

    server.put(&format!("{WORKS}?action=inactive"), "").await;
    assert!(!resolve().await.unwrap().is_developer_active);
    server.delete(WORKS).await;
    assert!(resolve().await.is_none());
}

#[tokio::test]
async fn an_app_groups_apps_and_keys_are_managed() {
    let server = server().await;
    server.add_plan("weather", "").await;
    let apps = format!("{WORKS}/apps");
    for name in ["a", "b", "c"] {
        assert_eq!(server.post(&apps, &json!({"name": name}).to_string()).await.status, 201);
    }
    let page = server.get(&format!("{apps}?pageSize=2")).await.json;
    assert_eq!((names(&page["appGroupApps"]), text(&page["nextPageToken"])), (vec!["a", "b"], "c"));
    let rest = server.get(&format!("{apps}?pageToken=c")).await.json;
    assert_eq!((names(&rest["appGroupApps"]), &rest["nextPageToken"]), (vec!["c"], &Value::Null));

    let app = format!("{apps}/a");
    let revoked = server.put(&format!("{app}?action=revoke"), "").await;
    assert_eq!((revoked.status, &revoked.json["status"]), (200, &json!("revoked")));
    let put = server.put(&app, r#"{"callbackUrl":"https://x","apiProducts":["weather"]}"#).await;
    assert_eq!(
        (&put.json["callbackUrl"], &put.json["apiProducts"][0]),
        (&json!("https://x"), &json!("weather"))
    );

    let key = r#"{"consumerKey":"k-1","consumerSecret":"s-1","expiresInSeconds":"60"}"#;
    assert_eq!(server.post(&format!("{app}/keys"), key).await.status, 201);
    let key = format!("{app}/keys/k-1");
    let body = json!({
        "action": "revoke", "apiProducts": ["weather", "weather"],
        "appGroupAppKey": {"scopes": ["read"], "attributes": [{"name": "a", "value": "b"}]},
    });
    let changed = server.post(&key, &body.to_string()).await;
    assert_eq!((changed.status, &changed.json["status"]), (200, &json!("revoked")), "{changed:?}");
    assert_eq!(
        changed.json["apiProducts"],
        json!([{"apiproduct": "weather", "status": "approved"}])
    );
    assert_eq!(
        (&changed.json["scopes"], &changed.json["attributes"][0]["value"]),
        (&json!(["read"]), &json!("b"))
    );
    assert_eq!(server.get(&key).await.json, changed.json);
    let product = format!("{key}/apiproducts/weather");
    assert_eq!(server.post(&format!("{product}?action=revoke"), "").await.status, 204);
    assert_eq!(server.get(&key).await.json["apiProducts"][0]["status"], "revoked");
    assert_eq!(server.delete(&product).await.json["apiProducts"], json!([]));
    assert_eq!(server.delete(&key).await.status, 200);

    // Apps of the organization: by whom they are owned.
    let all = "/v1/organizations/acme/apps";
    server.post(&format!("{ADA}/apps"), r#"{"name":"own"}"#).await;
    let of = async |filter: &str| {
        let reply = server.get(&format!("{all}?expand=true&filter={filter}")).await.json;
        let mut found: Vec<_> = names(&reply["app"]).into_iter().map(str::to_owned).collect();
        found.sort();
        (found, reply["app"][0]["appGroup"].clone())
    };
    let groups = ["a", "b", "c"].map(str::to_owned).to_vec();
    assert_eq!(of("appType=AppGroup").await, (groups.clone(), json!("works")));
    assert_eq!(of("appGroup=works").await, (groups, json!("works")));
    assert_eq!(of("appType=Developer").await, (vec!["own".to_owned()], Value::Null));
    assert_eq!(server.delete(&app).await.status, 200);
    assert_eq!(server.get(&app).await.reason(), "developer.service.AppDoesNotExist");
}
