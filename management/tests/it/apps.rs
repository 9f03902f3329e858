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
    let more = server.put(&app, r#"{"apiProducts":["weather","maps"]}"#).await;
    assert_eq!(more.json["credentials"][1]["apiProducts"][0]["apiproduct"], "maps");
    assert_eq!(more.json["apiProducts"], json!(["weather", "maps"]));
    // Another key, whatever the others have: for a rotation, or with products of its own.
    let rotated = server.post(&app, r#"{"keyExpiresIn":"1000"}"#).await;
    assert_eq!((rotated.status, &rotated.json["status"]), (200, &json!("revoked")));
    let third = &rotated.json["credentials"][2];
    assert_eq!(third["apiProducts"].as_array().unwrap().len(), 2, "{rotated:?}");
    assert_eq!(third["expiresAt"], (NOON + 1000).to_string());
    let own = server.post(&app, r#"{"apiProducts":["weather"],"callbackUrl":"http://y"}"#).await;
    let fourth = &own.json["credentials"][3];
    assert_eq!((&fourth["apiProducts"], &fourth["expiresAt"]), (&on_key, &json!("-1")));
    assert_eq!(own.json["callbackUrl"], "http://y");
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

#[tokio::test]
async fn a_key_expires_after_its_seconds() {
    let server = Server::start_with_ada().await;
    server.post(&format!("{ADA}/apps"), r#"{"name":"shop"}"#).await;
    let body = r#"{"consumerKey":"k","consumerSecret":"s","expiresInSeconds":"90"}"#;
    let made = server.post(&format!("{ADA}/apps/shop/keys"), body).await;
    assert_eq!(made.json["expiresAt"], (NOON + 90_000).to_string(), "{made:?}");
    assert_eq!(
        resolve(&server, "k").await.unwrap().key_expires_at,
        Some(UnixMillis(NOON + 90_000))
    );
}

#[tokio::test]
async fn a_manual_product_waits_on_the_key() {
    let server = Server::start_with_ada().await;
    let product = r#"{"name":"maps","approvalType":"manual"}"#;
    server.post("/v1/organizations/acme/apiproducts", product).await;
    let body = r#"{"name":"shop","apiProducts":["maps"]}"#;
    let made = server.post(&format!("{ADA}/apps"), body).await;
    let credential = &made.json["credentials"][0];
    assert_eq!(credential["apiProducts"][0]["status"], "pending");
    let key = text(&credential["consumerKey"]);
    assert_eq!(resolve(&server, key).await.unwrap().products[0].approval, Approval::Pending);
    let path = format!("{ADA}/apps/shop/keys/{key}/apiproducts/maps?action=approve");
    assert_eq!(server.post(&path, "").await.status, 204);
    assert_eq!(resolve(&server, key).await.unwrap().products[0].approval, Approval::Approved);
}

#[tokio::test]
async fn a_developers_apps_are_listed() {
    let server = Server::start_with_ada().await;
    let apps = format!("{ADA}/apps");
    for name in ["c", "a", "b"] {
        server.post(&apps, &json!({"name": name}).to_string()).await;
    }
    let page = server.get(&format!("{apps}?count=2&startKey=b")).await;
    let names = |reply: &Value| -> Vec<String> {
        let apps = reply["app"].as_array().unwrap();
        apps.iter().map(|app| text(&app["name"]).to_owned()).collect()
    };
    assert_eq!(names(&page.json), ["b", "c"]);
    assert!(page.json["app"][0].get("status").is_none(), "{page:?}");
    let whole = server.get(&format!("{apps}?expand=true&count=1&startKey=b")).await;
    assert_eq!(whole.json["app"], json!([server.get(&format!("{apps}/b")).await.json]));
    let shallow = server.get(&format!("{apps}?shallowExpand=true")).await;
    assert_eq!(names(&shallow.json), ["a", "b", "c"]);
    assert_eq!(shallow.json["app"][0]["status"], "approved");
    assert!(shallow.json["app"][0].get("credentials").is_none(), "{shallow:?}");
}

const APPS: &str = "/v1/organizations/acme/apps";

#[tokio::test]
async fn apps_are_found_without_their_owner() {
    let server = Server::start_with_ada().await;
    server.add_plan("weather", "").await;
    let shop =
        r#"{"name":"shop","apiProducts":["weather"],"attributes":[{"name":"a","value":"b"}]}"#;
    let shop = server.post(&format!("{ADA}/apps"), shop).await.json;
    let till = server.post(&format!("{ADA}/apps"), r#"{"name":"till"}"#).await.json;
    assert_eq!(server.post(&format!("{ADA}/apps/till?action=revoke"), "").await.status, 204);
    let (shop_id, till_id) = (text(&shop["appId"]), text(&till["appId"]));

    let found = server.get(&format!("{APPS}/{shop_id}")).await;
    let mut want = shop.clone();
    want["developerEmail"] = json!("ada@example.com");
    want["credentials"][0]["consumerSecret"] = json!("****");
    want["apiProducts"] = json!([{"apiproduct": "weather", "status": "approved"}]);
    assert_eq!((found.status, &found.json), (200, &want));
    for id in ["none", "6ba7b810-9dad-41d1-80b4-00c04fd430c8"] {
        let none = server.get(&format!("{APPS}/{id}")).await;
        assert_eq!((none.status, none.reason()), (404, "developer.service.AppDoesNotExist"));
    }

    let key = text(&shop["credentials"][0]["consumerKey"]);
    let both = [shop_id, till_id];
    let rows: [(String, &[&str]); 16] = [
        (String::new(), &[shop_id]),
        ("status=revoked".to_owned(), &[till_id]),
        (format!("ids={shop_id},{till_id}"), &both),
        ("apiProduct=weather".to_owned(), &[shop_id]),
        ("apiProduct=maps".to_owned(), &[]),
        ("keyStatus=approved".to_owned(), &[shop_id]),
        ("keyStatus=revoked".to_owned(), &[]),
        ("apptype=developer".to_owned(), &[shop_id]),
        ("apptype=company".to_owned(), &[]),
        ("filter=developerEmail=ada@example.com".to_owned(), &both),
        ("filter=developerEmail%3Dbob@example.com".to_owned(), &[]),
        ("filter=appName=till%20AND%20status=revoked".to_owned(), &[till_id]),
        (format!("filter=consumerKey={key}"), &[shop_id]),
        (format!("filter=appId={till_id}"), &[till_id]),
        ("filter=appType=AppGroup".to_owned(), &[]),
        ("filter=appType=Developer%20AND%20apiProduct=weather".to_owned(), &[shop_id]),
    ];
    for (query, want) in rows {
        let listed = server.get(&format!("{APPS}?{query}")).await;
        let ids = listed.json["app"].as_array().cloned().unwrap_or_default();
        let mut ids: Vec<&str> = ids.iter().map(|app| text(&app["appId"])).collect();
        let mut want = want.to_vec();
        ids.sort_unstable();
        want.sort_unstable();
        assert_eq!(ids, want, "{query}: {listed:?}");
    }
    let whole = server.get(&format!("{APPS}?expand=true")).await;
    assert_eq!(whole.json, json!({"app": [want]}));
    let without = server.get(&format!("{APPS}?expand=true&includeCred=false")).await;
    want.as_object_mut().unwrap().remove("credentials");
    assert_eq!(without.json, json!({"app": [want]}));
    for query in ["filter=size=3", "filter=status", "status=gone", "apptype=robot", "rows=x"] {
        let reply = server.get(&format!("{APPS}?{query}")).await;
        assert_eq!((reply.status, reply.error_status()), (400, "INVALID_ARGUMENT"), "{query}");
    }
    server.delete(&format!("{ADA}/apps/shop")).await;
    assert_eq!(server.get(&format!("{APPS}/{shop_id}")).await.status, 404);
    assert_eq!(server.get(APPS).await.json, json!({}));
}

#[tokio::test]
async fn apps_are_listed_page_by_page() {
    let server = Server::start_with_ada().await;
    let mut ids = Vec::new();
    for name in 0..7 {
        let body = json!({"name": format!("app-{name}")}).to_string();
        let made = server.post(&format!("{ADA}/apps"), &body).await;
        ids.push(text(&made.json["appId"]).to_owned());
        if name % 3 == 0 {
            server.post(&format!("{ADA}/apps/app-{name}?action=revoke"), "").await;
        }
    }
    ids.sort();
    let list = async |query: String| -> (Vec<String>, Value) {
        let reply = server.get(&format!("{APPS}?{query}")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let apps = reply.json["app"].as_array().cloned().unwrap_or_default();
        let ids = apps.iter().map(|app| text(&app["appId"]).to_owned()).collect();
        (ids, reply.json["nextPageToken"].clone())
    };
    let all = ids.join(",");
    let (first, next) = list(format!("ids={all}&pageSize=3")).await;
    assert_eq!((first.as_slice(), text(&next)), (&ids[..3], ids[3].as_str()));
    let (second, next) = list(format!("ids={all}&rows=3&pageToken={}", text(&next))).await;
    assert_eq!((second.as_slice(), text(&next)), (&ids[3..6], ids[6].as_str()));
    let (third, next) = list(format!("ids={all}&pageSize=3&startKey={}", text(&next))).await;
    assert_eq!((third.as_slice(), &next), (&ids[6..], &Value::Null));
    // Pages of what a filter leaves: nothing is skipped and nothing comes twice.
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let (mut page, next) = list(format!("status=approved&pageSize=2&pageToken={token}")).await;
        found.append(&mut page);
        match next.as_str() {
            Some(next) => next.clone_into(&mut token),
            None => break,
        }
    }
    let (approved, _) = list(String::new()).await;
    assert_eq!((found.len(), &found), (4, &approved));
}
