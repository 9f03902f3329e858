//! Apps and consumer keys, and what gateways are told of them.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tollgate_ledger_store::catalogue::Caller;
use tollgate_ledger_store::catalogue::records::Approval;
use tollgate_metering::UnixMillis;

use crate::harness::{ADA, NOON, Server};

async fn resolve(server: &Server, key: &str) -> Option<Caller> {
    let sha256 = Sha256::digest(key.as_bytes()).into();
    server.catalogue.resolve(&sha256, UnixMillis(NOON)).await.unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test]
async fn an_app_comes_with_a_key() {
    let server = Server::start_with_ada().await;
    server.add_plan("weather", "").await;
    let apps = format!("{ADA}/apps");
    let body = r#"{"name":"shop","apiProducts":["weather"],"keyExpiresIn":"60000"}"#;
    let made = server.post(&apps, body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let credential = &made.json["credentials"][0];
    let on_key = json!([{"apiproduct": "weather", "status": "approved"}]);
    assert_eq!((&made.json["status"], &credential["apiProducts"]), (&json!("approved"), &on_key));
    assert_eq!(credential["issuedAt"], NOON.to_string());
    assert_eq!(credential["expiresAt"], (NOON + 60_000).to_string());
    let key = text(&credential["consumerKey"]);
    let caller = resolve(&server, key).await.unwrap();
    assert_eq!(caller.developer_email, "ada@example.com");
    assert_eq!(caller.products[0].plans.len(), 1);

    let id = made.json["appId"].clone();
    assert_eq!(server.get(&apps).await.json, json!({"app": [{"appId": id, "name": "shop"}]}));
    let expanded = server.get(&format!("{apps}?expand=true")).await;
    let mut shown_later = made.json.clone();
    shown_later["credentials"][0]["consumerSecret"] = json!("****");
    assert_eq!(expanded.json["app"][0], shown_later);
    assert_eq!(server.get(ADA).await.json["apps"], json!(["shop"]));
    let again = server.post(&apps, r#"{"name":"shop"}"#).await;
    assert_eq!(again.status, 409);
    assert!(again.message().contains("app shop already exists"), "{again:?}");

    let app = format!("{apps}/shop");
    let revoked = server.post(&format!("{app}?action=revoke"), "").await;
    assert_eq!(revoked.status, 204);
    assert_eq!(resolve(&server, key).await.unwrap().app_status, Approval::Revoked);
    let same = server.put(&app, r#"{"apiProducts":["weather"],"callbackUrl":"http://x"}"#).await;
    assert_eq!(same.json["credentials"].as_array().unwrap().len(), 1, "no product is new");
    server.post("/v1/organizations/acme/apiproducts", r#"{"name":"maps"}"#).await;
    let more = server.post(&app, r#"{"apiProducts":["weather","maps"]}"#).await;
    assert_eq!(more.json["credentials"][1]["apiProducts"][0]["apiproduct"], "maps");
    assert_eq!(server.delete(&app).await.status, 200);
    assert!(resolve(&server, key).await.is_none());
}

#[tokio::test]
async fn a_key_can_be_brought_along() {
    let server = Server::start_with_ada().await;
    server.add_plan("weather", "").await;
    server.post(&format!("{ADA}/apps"), r#"{"name":"shop"}"#).await;
    for (path, key) in [("keys", "key-1"), ("keys/create", "key_2")] {
        let body = format!(r#"{{"consumerKey":"{key}","consumerSecret":"s-{key}"}}"#);
        let made = server.post(&format!("{ADA}/apps/shop/{path}"), &body).await;
        assert_eq!((made.status, &made.json["consumerKey"]), (201, &json!(key)), "{made:?}");
        assert_eq!(
            (&made.json["status"], &made.json["expiresAt"]),
            (&json!("approved"), &json!("-1"))
        );
        let again = server.post(&format!("{ADA}/apps/shop/{path}"), &body).await;
        assert_eq!(again.status, 409);
        assert!(!again.message().contains(key), "an error shows a key");
    }
    let key = format!("{ADA}/apps/shop/keys/key-1");
    let body = r#"{"apiProducts":["weather"],"attributes":[{"name":"a","value":"b"}]}"#;
    let attached = server.post(&key, body).await;
    assert_eq!(attached.json["apiProducts"][0]["apiproduct"], "weather", "{attached:?}");
    assert_eq!(server.get(&key).await.json, attached.json);
    assert_eq!(attached.json["consumerSecret"], "****");

    let product = format!("{key}/apiproducts/weather");
    assert_eq!(server.post(&format!("{product}?action=revoke"), "").await.status, 204);
    assert_eq!(server.get(&key).await.json["apiProducts"][0]["status"], "revoked");
    assert_eq!(server.post(&format!("{key}?action=revoke"), "").await.status, 204);
    assert_eq!(resolve(&server, "key-1").await.unwrap().key_status, Approval::Revoked);
    assert_eq!(server.delete(&product).await.json["apiProducts"], json!([]));
    assert_eq!(server.delete(&product).await.status, 404);
    assert_eq!(server.delete(&key).await.status, 200);
    let gone = server.delete(&key).await;
    assert_eq!(gone.status, 404);
    assert_eq!(gone.reason(), "keymanagement.service.InvalidClientIdForGivenApp");
}

#[tokio::test]
async fn a_secret_is_shown_once_and_stored_as_a_hash() {
    let server = Server::start_with_ada().await;
    server.post("/v1/organizations/acme/apiproducts", r#"{"name":"maps"}"#).await;
    let made = server.post(&format!("{ADA}/apps"), r#"{"name":"shop"}"#).await;
    let more = server.put(&format!("{ADA}/apps/shop"), r#"{"apiProducts":["maps"]}"#).await;
    let brought = r#"{"consumerKey":"key-1","consumerSecret":"a-secret-brought-along"}"#;
    let brought = server.post(&format!("{ADA}/apps/shop/keys"), brought).await;
    let shown = [
        &made.json["credentials"][0],
        // An update that makes a key shows the secret of that one alone.
        &more.json["credentials"][1],
        &brought.json,
    ];
    assert_eq!(more.json["credentials"][0]["consumerSecret"], "****");
    let stored = server.stored();
    let holds = |text: &str| stored.windows(text.len()).any(|window| window == text.as_bytes());
    for credential in shown {
        let (key, secret) = (text(&credential["consumerKey"]), text(&credential["consumerSecret"]));
        assert!(secret.len() > 8, "{credential}");
        let again = server.get(&format!("{ADA}/apps/shop/keys/{key}")).await;
        assert_eq!(
            (text(&again.json["consumerKey"]), &again.json["consumerSecret"]),
            (key, &json!("****"))
        );
        assert!(holds(key) && !holds(secret), "{credential}");
    }
    let mask = r#"{"consumerKey":"key-2","consumerSecret":"****"}"#;
    let refused = server.post(&format!("{ADA}/apps/shop/keys"), mask).await;
    assert_eq!(refused.status, 400, "what stands for a secret is taken for one");
}
