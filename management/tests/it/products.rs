//! API products.

use serde_json::json;

use crate::harness::{NOON, Server};

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
