//! What happened in shadow mode is told apart, in no sum that the ledger has.

use super::*;

/// Beside 38.5 units that were paid: 7 in shadow mode, and 20 that would have been refused.
async fn tried() -> Used {
    let mut used = Used::start().await;
    let ([one, _], paid) = (used.apps, used.meter);
    for (billing, total) in [(BillingType::Shadow, "7"), (BillingType::ShadowRefused, "20")] {
        used.meter = Meter { billing, ..paid };
        used.count(1, 0, total, &[(one, total)]).await;
    }
    used.meter = paid;
    used
}

#[tokio::test]
async fn shadow_lines_stand_apart_and_the_balance_is_what_it_was() {
    let used = tried().await;
    assert_eq!(used.balance().await, "9.615");
    let path = format!("{CHARGES}?month=2026-11&groupBy=app,product");
    let report = used.server.get(&path).await;
    let told: Vec<_> = lines(&report)
        .iter()
        .filter(|line| line["billingType"].as_str().unwrap().starts_with("SHADOW"))
        .map(|line| {
            ["billingType", "app", "units", "amount", "balanceChange"].map(|name| &line[name])
        })
        .collect();
    let want = [["SHADOW", "one", "7", "0.07", "0"], ["SHADOW_REFUSED", "one", "20", "0", "0"]];
    assert_eq!(json!(told), json!(want));
    let total = &report.json["totals"][0];
    let sums = ["charges", "shadowCharges", "shadowRefusedUnits", "balanceChange"];
    assert_eq!(json!(sums.map(|sum| &total[sum])), json!(["0.385", "0.07", "20", "9.615"]));

    let statement = used.server.get(&format!("{ADA}/statements/EUR?month=2026-11")).await;
    assert_eq!(sum(lines(&statement), "balanceChange"), "9.615");
    let sums = ["charges", "postpaidCharges", "shadowCharges", "shadowRefusedUnits", "closing"];
    let want = ["-0.385", "0", "0.07", "20", "9.615"];
    assert_eq!(json!(sums.map(|sum| &statement.json[sum])), json!(want));
}

#[tokio::test]
async fn what_was_used_in_shadow_mode_is_explained_and_repriced_in_no_sum() {
    let used = tried().await;
    let explained = used.server.get(&format!("{ADA}/explain/EUR?month=2026-11")).await;
    let told = explained.json["charges"].as_array().unwrap().iter();
    let told: Vec<_> = told.map(|line| ["billingType", "charge"].map(|name| &line[name])).collect();
    assert_eq!(json!(told), json!([["PREPAID", "0.385"], ["SHADOW", "0.07"]]));
    let body = format!(r#"{{"ratePlan":{{"apiproduct":"weather","name":"{}"}}}}"#, used.plan);
    let repriced = used.server.post(&format!("{ADA}/reprice/EUR?month=2026-11"), &body).await;
    assert_eq!(repriced.json["lines"].as_array().unwrap().len(), 2, "{repriced:?}");
    assert_eq!(
        (&repriced.json["charge"], &repriced.json["repriced"]),
        (&json!("0.385"), &json!("0.385"))
    );
}

#[tokio::test]
async fn a_plan_enters_shadow_mode_by_its_field_and_stays_where_nobody_says_so() {
    let server = Server::start_with_ada().await;
    let id = server.add_plan("weather", "").await;
    let path = format!("/v1/organizations/acme/apiproducts/weather/rateplans/{id}");
    let mut plan = server.get(&path).await.json;
    assert_eq!(plan.get("shadow"), None, "clients of Apigee see their own shape");
    let mut put = async |shadow: Option<Value>| {
        match shadow {
            Some(shadow) => plan["shadow"] = shadow,
            None => drop(plan.as_object_mut().unwrap().remove("shadow")),
        }
        server.put(&path, &plan.to_string()).await
    };
    for (said, want) in [(Some(json!(true)), true), (None, true), (Some(json!(false)), false)] {
        let reply = put(said.clone()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.json["shadow"] == json!(true), want, "{said:?}");
    }
    assert_eq!(put(Some(json!("yes"))).await.status, 400);
}

/// A purchase that the balance does not cover is refused, but not of a plan that nobody pays.
#[tokio::test]
async fn a_purchase_in_shadow_mode_needs_no_money_and_its_fee_is_told_apart() {
    let server = Server::start_with_ada().await;
    let products = "/v1/organizations/acme/apiproducts";
    assert_eq!(server.post(products, r#"{"name":"weather"}"#).await.status, 201);
    let plan = |shadow: bool| {
        format!(
            r#"{{"apiproduct":"weather","displayName":"standard","billingPeriod":"MONTHLY",
                "currencyCode":"EUR","state":"PUBLISHED","startTime":"{NOON}","shadow":{shadow},
                "setupFee":{{"currencyCode":"EUR","units":"500"}}}}"#
        )
    };
    let plans = format!("{products}/weather/rateplans");
    let made = server.post(&plans, &plan(false)).await;
    let path = format!("{plans}/{}", made.json["name"].as_str().unwrap());
    let buy =
        async || server.post(&format!("{ADA}/subscriptions"), r#"{"apiproduct":"weather"}"#).await;
    assert_ne!(buy().await.status, 201);
    assert_eq!(server.put(&path, &plan(true)).await.status, 200);
    let bought = buy().await;
    assert_eq!(bought.status, 201, "{bought:?}");
    let statement = server.get(&format!("{ADA}/statements/EUR?month=2026-11")).await;
    let [fee] = &lines(&statement)[..] else { panic!("{statement:?}") };
    let told = ["type", "billingType", "amount", "balanceChange"].map(|name| &fee[name]);
    assert_eq!(json!(told), json!(["fee", "SHADOW", "500", "0"]));
    let sums = ["fees", "shadowCharges", "closing"].map(|name| &statement.json[name]);
    assert_eq!(json!(sums), json!(["0", "500", "0"]));
}
