//! Organizations and developers.

use serde_json::{Value, json};

use crate::harness::{ADA, NOON, Server};

const DEVELOPERS: &str = "/v1/organizations/acme/developers";

#[tokio::test]
async fn an_organization_shows_whether_monetization_is_on() {
    let server = Server::start().await;
    let path = "/v1/organizations/acme";
    let enabled = |reply: &Value| reply["addonsConfig"]["monetizationConfig"]["enabled"].clone();
    assert_eq!(enabled(&server.get(path).await.json), json!(false));
    let addons = r#"{"addonsConfig":{"monetizationConfig":{"enabled":true}}}"#;
    for verb in [":setAddons", "/:setAddons"] {
        let reply = server.post(&format!("{path}{verb}"), addons).await;
        assert_eq!((reply.status, &reply.json["done"]), (200, &json!(true)), "{reply:?}");
    }
    assert_eq!(enabled(&server.get(path).await.json), json!(true));
    assert_eq!(server.post(&format!("{path}:other"), addons).await.status, 404);
    let names = server.get("/v1/organizations").await;
    assert_eq!(names.json, json!({"organizations": [{"organization": "acme"}]}));
    let made = server.post("/v1/organizations?parent=projects/globex", "{}").await;
    assert_eq!((made.status, &made.json["name"]), (201, &json!("globex")));
    let again = server.post("/v1/organizations", r#"{"name":"globex"}"#).await;
    assert_eq!((again.status, again.error_status()), (409, "ALREADY_EXISTS"));
}

#[tokio::test]
async fn a_developer_has_the_documented_shape() {
    let server = Server::start().await;
    let body = json!({
        "email": "ada@example.com", "firstName": "Ada", "lastName": "L", "userName": "ada",
        "attributes": [{"name": "MINT_COMPANY_ID", "value": "7"}],
    });
    let made = server.post(DEVELOPERS, &body.to_string()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.json["developerId"].as_str().unwrap();
    let want = json!({
        "email": "ada@example.com", "firstName": "Ada", "lastName": "L", "userName": "ada",
        "attributes": [{"name": "MINT_COMPANY_ID", "value": "7"}],
        "developerId": id, "organizationName": "acme", "status": "active",
        "createdAt": NOON.to_string(), "lastModifiedAt": NOON.to_string(),
    });
    assert_eq!(made.json, want);
    // What was got can be put back: read-only fields are not looked at.
    server.clock.set(NOON + 5);
    let put = server.put(ADA, &server.get(ADA).await.json.to_string()).await;
    assert_eq!(put.status, 200, "{put:?}");
    assert_eq!(put.json["lastModifiedAt"], (NOON + 5).to_string());

    assert_eq!(server.get(DEVELOPERS).await.json, json!({"developer": [{"email": body["email"]}]}));
    let expanded = server.get(&format!("{DEVELOPERS}?expand=true&count=5&page=1&size=9")).await;
    assert_eq!(expanded.json["developer"][0]["developerId"], id);
    let by_id = server.get(&format!("{DEVELOPERS}?ids={id}&expand=true")).await;
    assert_eq!(by_id.json["developer"][0]["email"], "ada@example.com");
}

#[tokio::test]
async fn developers_are_listed_by_pages() {
    let server = Server::start().await;
    for name in ["c", "a", "d", "b"] {
        let body = json!({
            "email": format!("{name}@example.com"),
            "firstName": "F", "lastName": "L", "userName": "U",
        });
        assert_eq!(server.post(DEVELOPERS, &body.to_string()).await.status, 201);
    }
    server.delete(&format!("{DEVELOPERS}/b@example.com")).await;
    let page = server.get(&format!("{DEVELOPERS}?count=2&startKey=a@example.com")).await;
    let want = json!({"developer": [{"email": "a@example.com"}, {"email": "c@example.com"}]});
    assert_eq!(page.json, want);
    let rest = server.get(&format!("{DEVELOPERS}?count=2&startKey=c%40example.com")).await;
    let want = json!({"developer": [{"email": "c@example.com"}, {"email": "d@example.com"}]});
    assert_eq!(rest.json, want);
}

#[tokio::test]
async fn actions_answer_without_a_body() {
    let server = Server::start_with_ada().await;
    for (action, status) in [("inactive", "inactive"), ("active", "active")] {
        let reply = server.post(&format!("{ADA}?action={action}"), "").await;
        assert_eq!((reply.status, &reply.json), (204, &Value::Null));
        assert_eq!(server.get(ADA).await.json["status"], status);
    }
    let config = server.get(&format!("{ADA}/monetizationConfig")).await;
    assert_eq!(config.json, json!({"billingType": "PREPAID"}));
    for query in ["", "?action=", "?action=revoked"] {
        assert_eq!(server.post(&format!("{ADA}{query}"), "").await.status, 400, "{query}");
    }
}

/// Apigee once turned a prepaid developer into a postpaid one by any update.
#[tokio::test]
async fn an_update_keeps_the_billing_type() {
    let server = Server::start_with_ada().await;
    let body = r#"{"email":"ada@example.com","firstName":"A","lastName":"B","userName":"c"}"#;
    assert_eq!(server.put(ADA, body).await.status, 200);
    let config = server.get(&format!("{ADA}/monetizationConfig")).await;
    assert_eq!(config.json, json!({"billingType": "PREPAID"}));
}

#[tokio::test]
async fn a_developer_created_again_has_nothing_of_the_first() {
    let server = Server::start_with_ada().await;
    server.credit("EUR", "5", "t-1").await;
    let first = server.get(ADA).await.json["developerId"].clone();
    let deleted = server.delete(ADA).await;
    assert_eq!((deleted.status, &deleted.json["developerId"]), (200, &first));
    let gone = server.get(&format!("{ADA}/balance")).await;
    assert_eq!((gone.status, gone.error_status()), (404, "NOT_FOUND"));
    assert_eq!(gone.reason(), "developer.service.DeveloperIdDoesNotExist");
    assert_eq!(server.credit("EUR", "5", "t-2").await.status, 404);
    server.add_ada().await;
    assert_ne!(server.get(ADA).await.json["developerId"], first);
    assert_eq!(server.balance("EUR").await, None);
    // The same transaction id of another developer.
    assert_eq!(server.credit("EUR", "6", "t-1").await.status, 200);
}

#[tokio::test]
async fn developers_are_found_by_their_app() {
    let server = Server::start_with_ada().await;
    let bob = r#"{"email":"bob@example.com","firstName":"B","lastName":"B","userName":"bob"}"#;
    server.post(DEVELOPERS, bob).await;
    let made = server.post(&format!("{ADA}/apps"), r#"{"name":"shop"}"#).await;
    let ada = json!({"developer": [{"email": "ada@example.com"}]});
    for app in ["shop", made.json["appId"].as_str().unwrap()] {
        assert_eq!(server.get(&format!("{DEVELOPERS}?app={app}")).await.json, ada);
    }
    assert_eq!(server.get(&format!("{DEVELOPERS}?app=none")).await.json, json!({}));
}
