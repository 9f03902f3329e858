//! Attributes as a resource of their own.

use serde_json::json;

use crate::harness::{ADA, Server};

#[tokio::test]
async fn attributes_are_a_resource_of_their_own() {
    let server = Server::start_with_ada().await;
    server.post("/v1/organizations/acme/apiproducts", r#"{"name":"maps"}"#).await;
    server.post(&format!("{ADA}/apps"), r#"{"name":"shop"}"#).await;
    let product = "/v1/organizations/acme/apiproducts/maps".to_owned();
    for owner in [ADA.to_owned(), format!("{ADA}/apps/shop"), product] {
        let path = format!("{owner}/attributes");
        assert_eq!(server.get(&path).await.json, json!({}), "{owner}");
        let two = json!({"attribute": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]});
        let replaced = server.post(&path, &two.to_string()).await;
        assert_eq!((replaced.status, &replaced.json), (200, &two), "{owner}");
        assert_eq!(server.get(&path).await.json, two);
        assert_eq!(server.get(&owner).await.json["attributes"], two["attribute"]);

        let set = server.post(&format!("{path}/b"), r#"{"name":"b","value":"3"}"#).await;
        assert_eq!((set.status, set.json), (200, json!({"name": "b", "value": "3"})));
        let added = server.post(&format!("{path}/c"), r#"{"value":"4"}"#).await;
        assert_eq!(added.json, json!({"name": "c", "value": "4"}));
        let removed = server.delete(&format!("{path}/a")).await;
        assert_eq!((removed.status, removed.json), (200, json!({"name": "a", "value": "1"})));
        let want = json!({"name": "b", "value": "3"});
        assert_eq!(server.get(&format!("{path}/b")).await.json, want);
        let left = json!({"attribute": [want, {"name": "c", "value": "4"}]});
        assert_eq!(server.get(&path).await.json, left);

        for reply in
            [server.get(&format!("{path}/a")).await, server.delete(&format!("{path}/a")).await]
        {
            assert_eq!((reply.status, reply.error_status()), (404, "NOT_FOUND"), "{reply:?}");
        }
        let other = server.post(&format!("{path}/b"), r#"{"name":"c","value":"3"}"#).await;
        assert_eq!(other.status, 400);
        let many: Vec<_> =
            (0..19).map(|at| json!({"name": format!("n{at}"), "value": ""})).collect();
        let many = server.post(&path, &json!({"attribute": many}).to_string()).await;
        assert_eq!(many.status, 400, "{many:?}");
        assert!(many.message().contains("at most 18"), "{}", many.message());
        assert_eq!(server.get(&path).await.json, left, "what is refused changes nothing");
    }
}

#[tokio::test]
async fn a_policy_that_is_set_by_an_attribute_must_be_one() {
    let server = Server::start_with_ada().await;
    let path = format!("{ADA}/attributes/tollgate.overspend");
    assert_eq!(server.post(&path, r#"{"value":"sometimes"}"#).await.status, 400);
    assert_eq!(server.post(&path, r#"{"value":"strict"}"#).await.status, 200);
}
