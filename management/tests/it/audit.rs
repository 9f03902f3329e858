//! Every change leaves an entry: who, what, before, after, and how it ended.

use serde_json::{Value, json};

use crate::harness::{ADA, ADMIN, NOON, READER, Server};

const AUDIT: &str = "/v1/organizations/acme/audit";

async fn entries(server: &Server, query: &str) -> Vec<Value> {
    let reply = server.get(&format!("{AUDIT}?{query}")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json["entries"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_change_is_logged_with_what_was_before_and_after() {
    let server = Server::start_with_ada().await;
    let named = r#"{"email":"ada@example.com","firstName":"Ada","lastName":"K","userName":"ada"}"#;
    let id = "X-Request-Id: req-7\r\n";
    let changed = server.call("PUT", ADA, ADMIN, id, Some(named)).await;
    assert_eq!((changed.status, changed.header("x-request-id")), (200, Some("req-7")));
    let found = entries(&server, "resource=developers").await;
    let last = found.last().unwrap();
    let who = json!({"actor": "admin", "role": "admin", "method": "PUT", "resource": ADA});
    for (field, want) in who.as_object().unwrap() {
        assert_eq!(last[field], *want, "{last}");
    }
    assert_eq!((&last["requestId"], &last["time"]), (&json!("req-7"), &json!(NOON.to_string())));
    assert_eq!((&last["outcome"], &last["status"]), (&json!("DONE"), &json!(200)));
    assert_eq!(
        (&last["before"]["lastName"], &last["after"]["lastName"]),
        (&json!("L"), &json!("K"))
    );

    // What is made has nothing before, what is deleted nothing after.
    let made = &found[0];
    assert_eq!((&made["method"], &made["before"]), (&json!("POST"), &Value::Null), "{made}");
    assert_eq!(made["after"]["email"], "ada@example.com");
    assert_eq!(server.delete(ADA).await.status, 200);
    let deleted = entries(&server, "resource=developers").await.pop().unwrap();
    assert_eq!((&deleted["method"], &deleted["after"]), (&json!("DELETE"), &Value::Null));
    assert_eq!(deleted["before"]["lastName"], "K");
    // Organizations and tokens belong to none.
    let apart = server.get("/v1/audit").await;
    assert_eq!(apart.json["entries"][0]["resource"], "/v1/organizations");
}

#[tokio::test]
async fn money_is_logged_with_the_balance_and_refusals_with_their_status() {
    let server = Server::start_with_ada().await;
    assert_eq!(server.credit("EUR", "10", "t-1").await.status, 200);
    assert_eq!(server.credit("EUR", "7", "t-1").await.status, 409);
    // Nobody unknown, and nobody who may not, leaves anything.
    let body = Some("{}");
    assert_eq!(
        server.call("POST", &format!("{ADA}/balance:credit"), "", "", body).await.status,
        401
    );
    assert_eq!(
        server.call("POST", &format!("{ADA}/balance:credit"), READER, "", body).await.status,
        403
    );
    let found = entries(&server, "resource=balance:credit").await;
    assert_eq!(found.len(), 2, "{found:?}");
    let balance = |value: &Value| value["wallets"][0]["balance"]["units"].clone();
    assert_eq!(
        (balance(&found[0]["before"]), balance(&found[0]["after"])),
        (Value::Null, json!("10"))
    );
    assert_eq!((&found[1]["outcome"], &found[1]["status"]), (&json!("REFUSED"), &json!(409)));
    assert_eq!(balance(&found[1]["before"]), json!("10"));
}

/// An app with the name of a collection had no before and after, nor had a verb behind an encoded
/// colon.
#[tokio::test]
async fn the_route_says_what_a_change_is_about() {
    let server = Server::start_with_ada().await;
    server.add_plan("weather", "").await;
    assert_eq!(server.post(&format!("{ADA}/apps"), r#"{"name":"keys"}"#).await.status, 201);
    assert_eq!(server.post(&format!("{ADA}/apps/keys?action=revoke"), "").await.status, 204);
    let last = entries(&server, "resource=apps/keys").await.pop().unwrap();
    let statuses = (&last["before"]["status"], &last["after"]["status"]);
    assert_eq!(statuses, (&json!("approved"), &json!("revoked")), "{last}");

    let buy = r#"{"apiproduct":"weather"}"#;
    let bought = server.post(&format!("{ADA}/subscriptions"), buy).await;
    let id = bought.json["name"].as_str().unwrap().to_owned();
    server.clock.set(NOON + 1);
    for verb in ["%3Aexpire", ":expire", "/:expire"] {
        let path = format!("{ADA}/subscriptions/{id}{verb}");
        assert_eq!(server.post(&path, "").await.status, 200, "{verb}");
        let last = entries(&server, "resource=subscriptions").await.pop().unwrap();
        assert_eq!(last["resource"], path, "{last}");
        let (before, after) = (&last["before"], &last["after"]);
        assert_eq!(before["name"], id, "{last}");
        assert_eq!(before.get("endTime").is_some(), verb != "%3Aexpire", "{last}");
        assert_eq!(after["endTime"], (NOON + 1).to_string(), "{last}");
    }
}

#[tokio::test]
async fn secrets_are_in_no_entry() {
    let server = Server::start_with_ada().await;
    let made = server.post(&format!("{ADA}/apps"), r#"{"name":"shop"}"#).await;
    let secret = made.json["credentials"][0]["consumerSecret"].as_str().unwrap().to_owned();
    let token = server.post("/v1/tokens", r#"{"name":"eve","role":"viewer"}"#).await;
    let token = token.json["token"].as_str().unwrap().to_owned();
    let query = "?action=revoke&access_token=ya29.x&key=AIza.y";
    assert_eq!(server.post(&format!("{ADA}/apps/shop{query}"), "").await.status, 204);
    let all =
        server.get(AUDIT).await.json.to_string() + &server.get("/v1/audit").await.json.to_string();
    assert!(all.contains("\"shop\"") && all.contains("\"eve\"") && all.contains("****"), "{all}");
    assert!(!all.contains(&secret) && !all.contains(&token), "{all}");
    assert!(all.contains("action=revoke&access_token=****&key=****"), "{all}");
    assert!(!all.contains("ya29.x") && !all.contains("AIza.y"), "{all}");
}

#[tokio::test]
async fn no_organization_has_the_name_of_what_belongs_to_none() {
    let server = Server::start_with_ada().await;
    assert_eq!(server.post("/v1/organizations", r#"{"name":"-"}"#).await.status, 400);
    assert_eq!(server.get("/v1/organizations/-/audit").await.status, 404);
}

#[tokio::test]
async fn the_log_is_read_by_time_actor_and_resource_page_by_page() {
    let server = Server::start_with_ada().await;
    let token = r#"{"name":"eve","role":"provider","organization":"acme"}"#;
    let token = server.post("/v1/tokens", token).await.json["token"].as_str().unwrap().to_owned();
    for hour in 1..=5 {
        server.clock.set(NOON + hour * 3_600_000);
        let body = format!(r#"{{"name":"p-{hour}"}}"#);
        let path = "/v1/organizations/acme/apiproducts";
        assert_eq!(server.call("POST", path, &token, "", Some(&body)).await.status, 201);
    }
    let names = |found: &[Value]| -> Vec<String> {
        found.iter().map(|entry| entry["after"]["name"].as_str().unwrap_or("").to_owned()).collect()
    };
    assert_eq!(names(&entries(&server, "actor=eve").await), ["p-1", "p-2", "p-3", "p-4", "p-5"]);
    let (from, until) = (NOON + 2 * 3_600_000, NOON + 4 * 3_600_000);
    let between = entries(&server, &format!("startTime={from}&endTime={until}")).await;
    assert_eq!(names(&between), ["p-2", "p-3"]);
    assert!(entries(&server, "actor=nobody").await.is_empty());
    let (mut paged, mut start) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("{AUDIT}?actor=eve&count=2&startKey={start}")).await;
        paged.extend(page.json["entries"].as_array().unwrap().clone());
        match page.json["nextStartKey"].as_str() {
            Some(next) => start = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(names(&paged), ["p-1", "p-2", "p-3", "p-4", "p-5"]);
    // Whoever is bound to an organization reads its log alone.
    assert_eq!(server.call("GET", AUDIT, &token, "", None).await.status, 200);
    assert_eq!(server.call("GET", "/v1/audit", &token, "", None).await.status, 403);
    // What belongs to none names everybody's tokens, which only an admin may list.
    let viewer = server.post("/v1/tokens", r#"{"name":"vic","role":"viewer"}"#).await;
    let viewer = viewer.json["token"].as_str().unwrap();
    assert_eq!(server.call("GET", AUDIT, viewer, "", None).await.status, 200);
    assert_eq!(server.call("GET", "/v1/audit", viewer, "", None).await.status, 403);
    let wrong = server.get(&format!("{AUDIT}?startTime=noon")).await;
    assert_eq!(wrong.status, 400, "{wrong:?}");
}
