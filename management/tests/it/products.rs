//! API products.

use serde_json::json;
use sha2::{Digest, Sha256};
use tollgate_metering::UnixMillis;

use crate::harness::{ADA, NOON, Server};

const PRODUCTS: &str = "/v1/organizations/acme/apiproducts";

#[tokio::test]
async fn a_product_has_the_documented_shape() {
    let server = Server::start().await;
    let body = json!({
        "name": "weather", "displayName": "Weather", "description": "d", "approvalType": "manual",
        "apiResources": ["/", "/forecast/*", "/**"], "environments": ["prod"],
        "proxies": ["weather-v1"], "scopes": ["read"], "quota": "10", "quotaInterval": "1",
        "quotaTimeUnit": "minute", "attributes": [{"name": "access", "value": "public"}],
    });
    let made = server.post(PRODUCTS, &body.to_string()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let mut want = body.clone();
    want["createdAt"] = NOON.to_string().into();
    want["lastModifiedAt"] = NOON.to_string().into();
    assert_eq!(made.json, want);
    let path = format!("{PRODUCTS}/weather");
    assert_eq!(server.get(&path).await.json, want);
    assert_eq!(server.get(PRODUCTS).await.json, json!({"apiProduct": [{"name": "weather"}]}));
    let put = server.put(&path, r#"{"displayName":"W"}"#).await;
    assert_eq!((put.status, put.json.get("proxies")), (200, None), "a PUT replaces: {put:?}");
    assert_eq!(put.json["approvalType"], "auto");
    assert_eq!(server.delete(&path).await.status, 200);
    assert_eq!(server.get(PRODUCTS).await.json, json!({}));
}

#[tokio::test]
async fn operations_come_back_as_they_were_sent() {
    let server = Server::start().await;
    let group = json!({
        "operationConfigs": [
            {"apiSource": "orders", "operations": [{"resource": "/a", "methods": ["GET"]}],
             "attributes": [{"name": "a", "value": "b"}],
             "quota": {}},
            {"apiSource": "bills", "operations": [{"resource": "/b/**"}]},
        ],
        "operationConfigType": "proxy",
    });
    let body = json!({"name": "suite", "operationGroup": group});
    let made = server.post(PRODUCTS, &body.to_string()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let mut want = group;
    want["operationConfigs"][0].as_object_mut().unwrap().remove("quota");
    assert_eq!(made.json["operationGroup"], want);
}

#[tokio::test]
async fn products_are_listed_by_attribute_and_space() {
    let server = Server::start().await;
    for (name, level, space) in
        [("a", "public", "blue"), ("b", "private", "red"), ("c", "public", "")]
    {
        let body = json!({
            "name": name, "space": space, "attributes": [{"name": "access", "value": level}],
        });
        assert_eq!(server.post(PRODUCTS, &body.to_string()).await.status, 201);
    }
    let check = async |rows: &[(&str, &[&str])]| {
        for (query, want) in rows {
            let reply = server.get(&format!("{PRODUCTS}?{query}")).await;
            let list = reply.json["apiProduct"].as_array().cloned().unwrap_or_default();
            let names: Vec<_> = list.iter().map(|product| product["name"].clone()).collect();
            assert_eq!(names, *want, "{query}");
        }
    };
    check(&[
        ("attributename=access", &["a", "b", "c"]),
        ("attributename=access&attributevalue=public", &["a", "c"]),
        ("attributename=access&attributevalue=public&startKey=b&expand=true", &["c"]),
        ("attributename=access&attributevalue=public&count=1", &["a"]),
        ("attributename=none", &[]),
        ("space=red", &["b"]),
        ("count=2&startKey=b", &["b", "c"]),
    ])
    .await;
    for (verb, space) in [(":move", "blue"), ("/:move", "")] {
        let body = json!({"space": space}).to_string();
        let moved = server.post(&format!("{PRODUCTS}/b{verb}"), &body).await;
        assert_eq!((moved.status, moved.json["space"].as_str().unwrap_or_default()), (200, space));
    }
    check(&[("space=red", &[]), ("space=blue", &["a"])]).await;
    assert_eq!(server.post(&format!("{PRODUCTS}/b:copy"), "{}").await.status, 404);
}

#[tokio::test]
async fn other_groups_grant_what_a_path_tells() {
    let server = Server::start_with_ada().await;
    let body = json!({
        "name": "suite",
        "graphqlOperationGroup": {"operationConfigs": [{"apiSource": "graph", "operations": [
            {"operation": "heroes", "operationTypes": ["query"]}]}]},
        "grpcOperationGroup": {"operationConfigs": [
            {"apiSource": "pets", "service": "pets.Pets", "methods": ["List"]},
            {"apiSource": "zoo", "service": "zoo.Zoo"}]},
        "llmOperationGroup": {"operationConfigs": [{"apiSource": "models", "llmOperations": [
            {"resource": "/chat", "methods": ["POST"], "model": "m-1"}]}]},
        "payloadOperationGroup": {"operationConfigs": [
            {"apiSource": "tools", "operations": [{"operation": "tools/list"}]}]},
    });
    let made = server.post(PRODUCTS, &body.to_string()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let app = r#"{"name":"shop","apiProducts":["suite"]}"#;
    let app = server.post(&format!("{ADA}/apps"), app).await;
    let key = app.json["credentials"][0]["consumerKey"].as_str().unwrap();
    let sha256 = Sha256::digest(key.as_bytes()).into();
    let caller = server.catalogue.resolve(&sha256, UnixMillis(NOON)).await.unwrap().unwrap();
    let granted: Vec<_> = caller
        .products
        .iter()
        .map(|on| (on.proxies[0].as_str(), on.operations[0].resource.as_str()))
        .collect();
    let want = [
        ("graph", "/**"),
        ("models", "/chat"),
        ("pets", "/pets.Pets/List"),
        ("tools", "/**"),
        ("zoo", "/zoo.Zoo/*"),
    ];
    assert_eq!(granted, want);
    assert_eq!(caller.products[1].operations[0].methods, ["POST"]);
}
