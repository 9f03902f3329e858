//! Reports over real processes: two gateways, two apps, a gateway and a node killed, and every nano of the balance in a line.

use hyper::Method;
use serde_json::{Value, json};

use crate::support::api::nanos;
use crate::support::eventually;
use crate::support::load::{Caller, Load};
use crate::support::parts::{Developer, Site};
use crate::support::upstream::Upstream;

/// The lines of a report, told apart by app.
async fn lines(developer: &Developer) -> Result<Vec<Value>, String> {
    let path = format!("/developers/{}/reports/charges?groupBy=app", developer.portal.developer);
    let answer = developer.portal.send(Method::GET, &path, None).await?;
    let report: Value = serde_json::from_str(&answer.body).map_err(|error| error.to_string())?;
    report["lines"].as_array().cloned().ok_or_else(|| format!("{answer:?}"))
}

/// The sum of a field over the lines of one app, or of all, in nanos.
fn sum(lines: &[Value], app: Option<&str>, field: &str) -> i128 {
    let of_app = lines.iter().filter(|line| app.is_none_or(|app| line["app"] == app));
    of_app.map(|line| line[field].as_str().map_or(0, nanos)).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_apps_are_the_balance_whoever_is_killed() {
    let upstream = Upstream::start().await;
    let site = Site::on_sqlite();
    let node = site.node("node");
    let developer = site.developer(&node, 1_000).await;
    let apps = format!("/developers/{}/apps", developer.portal.developer);
    let other = json!({"name": "other", "apiProducts": ["orders"]});
    let other = developer.portal.must(Method::POST, &apps, &other).await;
    let other = other["credentials"][0]["consumerKey"].as_str().unwrap().to_owned();
    let one = site.gateway("one", &[&node], &upstream.url, "");
    let two = site.gateway("two", &[&node], &upstream.url, "");
    let callers = |key: &str| [Caller::new(one.url(), key), Caller::new(two.url(), key)];
    let shop = Load::start(&callers(&developer.key), 2);
    let others = Load::start(&callers(&other), 2);
    shop.until_succeeded(200).await;
    others.until_succeeded(200).await;
    let restart_one = site.kill_gateway(one);
    let restart_node = site.kill_node(node);
    shop.until_succeeded(shop.succeeded() + 50).await;
    let (shop, others) = (shop.end().await, others.end().await);
    let node = restart_node();
    let one = restart_one();
    // What the killed ones owe arrives, and the lines are the balance all the way.
    let least = i128::from(shop.succeeded() + others.succeeded());
    let most = least + i128::from(shop.in_flight + others.in_flight);
    let charged = eventually("the ledger has what was answered", || async {
        let charged = (nanos("1000") - developer.portal.try_balance().await?) / nanos("0.01");
        if charged >= least { Ok(charged) } else { Err(format!("{charged} of {least} calls")) }
    })
    .await;
    assert!(charged <= most, "{charged} calls are charged, {most} at most were made");
    assert!(one.process.stop().success());
    assert!(two.process.stop().success());
    // A node that ends writes the minutes that are not over.
    assert!(node.process.stop().success());
    let node = site.node("node");
    let developer = Developer {
        portal: crate::support::api::Portal {
            url: node.process.text(&["management"]).to_owned(),
            ..developer.portal
        },
        ..developer
    };
    let told = lines(&developer).await.unwrap();
    let balance = developer.portal.try_balance().await.unwrap();
    assert_eq!(sum(&told, None, "balanceChange"), balance, "{told:?}");
    assert_eq!(sum(&told, None, "units"), charged * nanos("1"), "{told:?}");
    for (app, tally) in [("shop", &shop), ("other", &others)] {
        let calls = sum(&told, Some(app), "units") / nanos("1");
        let made = i128::from(tally.succeeded() + tally.in_flight);
        // A killed gateway and node take some names with them, never most, and never give one too many.
        assert!((1..=made).contains(&calls), "{calls} of {made} calls are of {app}: {told:?}");
    }
    assert!(node.process.stop().success());
}
