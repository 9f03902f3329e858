//! Tokens that are made and revoked while the server runs.

use serde_json::json;

use crate::harness::{ADA, ADMIN, NOON, Reply, Server};

const TOKENS: &str = "/v1/tokens";

async fn make(server: &Server, body: &str) -> String {
    let made = server.post(TOKENS, body).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json["token"].as_str().unwrap().to_owned()
}

async fn get(server: &Server, path: &str, token: &str) -> Reply {
    server.call("GET", path, token, "", None).await
}

#[tokio::test]
async fn a_token_works_from_when_it_is_made_until_half_a_second_after_it_is_revoked() {
    let server = Server::start_with_ada().await;
    let portal = make(&server, r#"{"name":"shop","role":"portal","organization":"acme"}"#).await;
    assert_eq!(get(&server, &format!("{ADA}/balance"), &portal).await.status, 200);
    let credit = r#"{"transactionAmount":{"currencyCode":"EUR","units":1},"transactionId":"t"}"#;
    let path = format!("{ADA}/balance:credit");
    assert_eq!(server.call("POST", &path, &portal, "", Some(credit)).await.status, 200);
    let entries = server.get(&format!("{ADA}/balance:entries")).await;
    assert_eq!(entries.json["entries"][0]["by"], "shop", "{entries:?}");
    let refused = server.call("DELETE", ADA, &portal, "", None).await;
    assert_eq!(refused.status, 403);
    for part in ["developers.write", "shop", "portal", "organization acme"] {
        assert!(refused.message().contains(part), "{part}: {refused:?}");
    }

    assert_eq!(server.delete(&format!("{TOKENS}/shop")).await.status, 200);
    server.clock.set(NOON + 499);
    assert_eq!(get(&server, &format!("{ADA}/balance"), &portal).await.status, 200);
    server.clock.set(NOON + 500);
    let late = get(&server, &format!("{ADA}/balance"), &portal).await;
    assert_eq!((late.status, late.error_status()), (401, "UNAUTHENTICATED"));
    assert!(late.message().contains("balances.read"), "{late:?}");

    // The name is free again, for another secret.
    let again = make(&server, r#"{"name":"shop","role":"viewer"}"#).await;
    assert_eq!(get(&server, ADA, &portal).await.status, 401);
    assert_eq!(get(&server, ADA, &again).await.status, 200);
}

#[tokio::test]
async fn a_token_is_shown_once_and_stored_as_a_hash() {
    let server = Server::start().await;
    let token = make(&server, r#"{"name":"eve","role":"viewer"}"#).await;
    let secret = token.rsplit('.').next().unwrap();
    assert_eq!((secret.len(), token.as_str()), (64, format!("tgt.eve.{secret}").as_str()));
    let stored = server.stored();
    assert!(!stored.windows(secret.len()).any(|window| window == secret.as_bytes()));
    let shown = json!({
        "name": "eve", "role": "viewer", "createdAt": NOON.to_string(), "createdBy": "admin",
        "expiresAt": "-1",
    });
    assert_eq!(server.get(TOKENS).await.json, json!({"tokens": [shown]}));
    assert_eq!(server.get(&format!("{TOKENS}/eve")).await.json, shown);
    assert_eq!(get(&server, "/v1/organizations", &token).await.status, 200);
    let used = server.get(&format!("{TOKENS}/eve")).await.json["lastUsedAt"].clone();
    assert_eq!(used, NOON.to_string());
    let near = [&token[..token.len() - 1], &format!("{token}0"), "tgt.eve.", "tgt.eve", "tgt.."];
    for wrong in near {
        assert_eq!(get(&server, "/v1/organizations", wrong).await.status, 401, "{wrong}");
    }
}

#[tokio::test]
async fn a_token_that_is_over_is_refused_as_that() {
    let server = Server::start().await;
    let body = format!(r#"{{"name":"brief","role":"viewer","expiresAt":"{}"}}"#, NOON + 1000);
    let token = make(&server, &body).await;
    assert_eq!(get(&server, "/v1/organizations", &token).await.status, 200);
    server.clock.set(NOON + 1000);
    let over = get(&server, "/v1/organizations", &token).await;
    assert_eq!(over.status, 401);
    assert!(over.message().contains("token brief has expired"), "{over:?}");
}

#[tokio::test]
async fn tokens_that_make_no_sense_are_refused() {
    let server = Server::start().await;
    make(&server, r#"{"name":"taken","role":"viewer"}"#).await;
    let rows = [
        (r#"{"role":"viewer"}"#, 400, "name: is required"),
        (r#"{"name":"a.b","role":"viewer"}"#, 400, "name: must have"),
        (r#"{"name":"a"}"#, 400, "role: is required"),
        (r#"{"name":"a","role":"king"}"#, 400, "\"king\" is not a role"),
        (r#"{"name":"a","role":"provider"}"#, 400, "provider needs an organization"),
        (r#"{"name":"a","role":"admin","organization":"acme"}"#, 400, "admin has no organization"),
        (r#"{"name":"a","role":"viewer","organization":"x"}"#, 404, "organization x"),
        (r#"{"name":"a","role":"viewer","expiresAt":"5"}"#, 400, "expiresAt: is over already"),
        (r#"{"name":"taken","role":"viewer"}"#, 409, "token taken already exists"),
    ];
    for (body, status, want) in rows {
        let reply = server.call("POST", TOKENS, ADMIN, "", Some(body)).await;
        assert_eq!(reply.status, status, "{body}: {reply:?}");
        assert!(reply.message().contains(want), "{body}: {}", reply.message());
    }
    assert_eq!(server.delete(&format!("{TOKENS}/none")).await.status, 404);
    assert_eq!(server.get(TOKENS).await.json["tokens"].as_array().unwrap().len(), 1);
}
