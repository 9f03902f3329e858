//! Reports, statements, explanations: sums equal the ledger, CSV equals JSON, nothing is changed.

use serde_json::{Value, json};
use tollgate_ledger_store::RegisterCell::Live;
use tollgate_ledger_store::book::Book;
use tollgate_ledger_store::catalogue::wallet_id;
use tollgate_ledger_store::ledger::UsageWrite;
use tollgate_ledger_store::{Clock, Ledger, RateSource, RegisterWrite};
use tollgate_metering::{
    AppId, BillingType, Incarnation, Meter, Money, Period, Units, UnixMillis, WalletId,
};
use uuid::Uuid;

use crate::harness::{ADA, ADMIN, NOON, READER, Reply, Server, TestClock};

mod shadow;

const CHARGES: &str = "/v1/organizations/acme/reports/charges";
const DAY: i64 = 86_400_000;
/// 2026-12-02T12:00:00Z.
const DECEMBER: i64 = NOON + 10 * DAY;

fn units(text: &str) -> Units {
    text.parse().unwrap()
}

/// The sum of a field over lines.
fn sum<'a>(lines: impl IntoIterator<Item = &'a Value>, field: &str) -> String {
    let amounts = lines.into_iter().map(|line| line[field].as_str().unwrap());
    let sum = amounts.fold(Money::ZERO, |sum, amount| sum.plus(amount.parse().unwrap()).unwrap());
    sum.to_string()
}

fn lines(reply: &Reply) -> &Vec<Value> {
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json["lines"].as_array().unwrap()
}

/// Lines of a CSV file whose texts have no commas, by the names of its columns, empty ones left out.
fn csv_lines(reply: &Reply) -> Vec<Value> {
    let kind = reply.header("content-type").unwrap();
    assert!(kind.starts_with("text/csv"), "{kind}");
    let mut lines = reply.json.as_str().unwrap().split_terminator("\r\n");
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let line = |line: &str| {
        let fields = names.iter().zip(line.split(',')).filter(|(_, field)| !field.is_empty());
        let value = |name: &str, field: &str| match name {
            "revision" => json!(field.parse::<u32>().unwrap()),
            _ => json!(field),
        };
        Value::Object(
            fields.map(|(name, field)| ((*name).to_owned(), value(name, field))).collect(),
        )
    };
    lines.map(line).collect()
}

/// Ada with 10 EUR, two apps and calls of both on two days and two gateways, of which 3 nobody is known to have made.
struct Used {
    server: Server,
    meter: Meter,
    apps: [AppId; 2],
    plan: String,
}

// === impl Used ===

impl Used {
    async fn start() -> Used {
        let server = Server::start_with_ada().await;
        let plan = server.add_plan("weather", "").await;
        Used::start_on(server, plan).await
    }

    /// Under a plan with these fields of its prices.
    async fn start_priced(prices: &str) -> Used {
        let server = Server::start_with_ada().await;
        let products = "/v1/organizations/acme/apiproducts";
        assert_eq!(server.post(products, r#"{"name":"weather"}"#).await.status, 201);
        let plan = format!(
            r#"{{"apiproduct":"weather","displayName":"standard","billingPeriod":"MONTHLY",
                "currencyCode":"EUR","state":"PUBLISHED","startTime":"{NOON}",{prices}}}"#
        );
        let plan = server.post(&format!("{products}/weather/rateplans"), &plan).await;
        assert_eq!(plan.status, 201, "{plan:?}");
        let plan = plan.json["name"].as_str().unwrap().to_owned();
        Used::start_on(server, plan).await
    }

    async fn start_on(server: Server, plan: String) -> Used {
        server.credit("EUR", "10", "t-1").await;
        let ada = server.catalogue.developer("acme", "ada@example.com").await.unwrap();
        let mut apps = Vec::new();
        for name in ["one", "two"] {
            let body = format!(r#"{{"name":"{name}","apiProducts":["weather"]}}"#);
            assert_eq!(server.post(&format!("{ADA}/apps"), &body).await.status, 201);
            apps.push(AppId(server.catalogue.app("acme", &ada, name).await.unwrap().id));
        }
        let product = server.catalogue.product("acme", "weather").await.unwrap();
        let meter = Meter {
            wallet: wallet_id(ada.id, "EUR".parse().unwrap()),
            product: product.id,
            plan: product.plans[0].id,
            billing: BillingType::Prepaid,
            period: Period::of(UnixMillis(NOON)),
            revision: 1,
        };
        let used = Used { server, meter, apps: [apps[0], apps[1]], plan };
        let [one, two] = used.apps;
        used.count(1, 0, "12", &[(one, "12")]).await;
        used.count(1, 1, "30", &[(one, "20"), (two, "7")]).await;
        used.count(2, 1, "8.5", &[(two, "8.5")]).await;
        used.server.clock.set(NOON + DAY);
        used
    }

    /// What an incarnation had counted so many days after noon, in all and for apps.
    async fn count(&self, by: u128, days: i64, total: &str, apps: &[(AppId, &str)]) {
        let incarnation = Incarnation { born: UnixMillis(NOON), id: Uuid::from_u128(by) };
        let (meter, seq) = (self.meter, (NOON + days * DAY) * 1_000);
        let minute = (NOON + days * DAY) / 60_000;
        let register = RegisterWrite { meter, incarnation, cell: Live, units: units(total), seq };
        self.server.sqlite.write_registers(&[register]).await[0].as_ref().unwrap();
        let row =
            |app, total| UsageWrite { meter, incarnation, app, minute, units: units(total), seq };
        let mut rows = vec![row(None, total)];
        rows.extend(apps.iter().map(|(app, total)| row(Some(*app), total)));
        self.server.sqlite.write_usage(&rows).await.unwrap();
    }

    fn book(&self) -> Book {
        let ledger = std::sync::Arc::clone(&self.server.sqlite) as std::sync::Arc<dyn Ledger>;
        let rates = std::sync::Arc::clone(&self.server.catalogue) as std::sync::Arc<dyn RateSource>;
        let clock: std::sync::Arc<TestClock> = std::sync::Arc::clone(&self.server.clock);
        Book::new(ledger, rates, clock as std::sync::Arc<dyn Clock>)
    }

    async fn balance(&self) -> String {
        self.server.balance("EUR").await.unwrap()
    }

    async fn adjust(&self, amount: &str, key: &str) {
        let body = format!(r#"{{"adjustment":{{"currencyCode":"EUR","nanos":{amount}}}}}"#);
        let headers = format!("Idempotency-Key: {key}\r\n");
        let path = format!("{ADA}/balance:adjust");
        let reply = self.server.call("POST", &path, ADMIN, &headers, Some(&body)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}

#[tokio::test]
async fn charges_are_told_apart_and_add_up_to_the_balance() {
    let used = Used::start().await;
    used.adjust("5", "a-1").await;
    let path = format!("{CHARGES}?month=2026-11&groupBy=developer,app,product,plan,revision,day");
    let report = used.server.get(&path).await;
    let told: Vec<_> = lines(&report)
        .iter()
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            (text("day"), text("type"), text("app"), text("units"), text("balanceChange"))
        })
        .collect();
    let row = |day: &str, kind: &str, app: &str, units: &str, change: &str| {
        let text = str::to_owned;
        (text(day), text(kind), text(app), text(units), text(change))
    };
    let mut want = vec![
        row("2026-11-22", "credit", "", "", "10"),
        row("2026-11-22", "usage", "one", "12", "-0.12"),
        row("2026-11-23", "adjustment", "", "", "-0.000000005"),
        row("2026-11-23", "usage", "one", "8", "-0.08"),
        row("2026-11-23", "usage", "two", "15.5", "-0.155"),
        row("2026-11-23", "usage", "unattributed", "3", "-0.03"),
    ];
    let mut sorted = told;
    sorted.sort();
    want.sort();
    assert_eq!(sorted, want);
    let usage = lines(&report).iter().find(|line| line["type"] == "usage").unwrap();
    let names = [&usage["developer"], &usage["product"], &usage["ratePlan"], &usage["revision"]];
    assert_eq!(names, [&json!("ada@example.com"), &json!("weather"), &json!(used.plan), &json!(1)]);
    assert_eq!(sum(lines(&report), "balanceChange"), used.balance().await);
    let total = json!([{
        "currencyCode": "EUR", "charges": "0.385", "lateCharges": "0", "postpaidCharges": "0",
        "shadowCharges": "0", "shadowRefusedUnits": "0",
        "balanceChange": used.balance().await,
    }]);
    assert_eq!(report.json["totals"], total);

    let csv = used.server.get(&format!("{path}&format=csv")).await;
    assert_eq!(&csv_lines(&csv), lines(&report));
    // One developer's is the same; fewer groups are fewer lines with the same sum.
    let own =
        used.server.get(&format!("{ADA}/reports/charges?from=2026-11-01&to=2026-12-01")).await;
    assert_eq!(own.json["totals"], total);
    assert_eq!(lines(&own).len(), 3);
    let first = format!("{CHARGES}?from=2026-11-22&to=2026-11-23&groupBy=app");
    let first = used.server.get(&first).await;
    assert_eq!(sum(lines(&first), "balanceChange"), "9.88");
}

#[tokio::test]
async fn pages_of_wallets_add_up_and_other_organizations_are_not_seen() {
    let used = Used::start().await;
    let bob = r#"{"email":"bob@example.com","firstName":"B","lastName":"B","userName":"bob"}"#;
    used.server.post("/v1/organizations/acme/developers", bob).await;
    let prepaid = r#"{"billingType":"PREPAID"}"#;
    let bobs = "/v1/organizations/acme/developers/bob@example.com";
    used.server.put(&format!("{bobs}/monetizationConfig"), prepaid).await;
    let credit = r#"{"transactionAmount":{"currencyCode":"EUR","units":"7"},"transactionId":"t"}"#;
    assert_eq!(used.server.post(&format!("{bobs}/balance:credit"), credit).await.status, 200);
    let (mut all, mut start) = (Vec::new(), String::new());
    loop {
        let page = used.server.get(&format!("{CHARGES}?count=1&startKey={start}")).await;
        all.extend(page.json["lines"].as_array().unwrap().clone());
        match page.json["nextStartKey"].as_str() {
            Some(next) => start = next.parse::<WalletId>().unwrap().to_string(),
            None => break,
        }
    }
    assert_eq!(sum(&all, "balanceChange"), "16.615");
    assert_eq!(used.server.post("/v1/organizations", r#"{"name":"other"}"#).await.status, 201);
    let other = used.server.get("/v1/organizations/other/reports/charges").await;
    assert_eq!(lines(&other).len(), 0);
}

#[tokio::test]
async fn statements_of_months_follow_each_other_to_the_nano() {
    let used = Used::start().await;
    used.adjust("-250000000", "a-1").await;
    let statement = |month: &str| format!("{ADA}/statements/EUR?month={month}");
    let november = used.server.get(&statement("2026-11")).await;
    assert_eq!(november.json["opening"], "0");
    assert_eq!(november.json["closing"], json!(used.balance().await), "the current month");
    let parts = ["credits", "adjustments", "fees", "conversions", "charges", "lateCharges"];
    let adds_up = |reply: &Reply| {
        let text = |name: &str| reply.json[name].as_str().unwrap();
        let sum = |values: &[&str]| {
            let add = |sum: Money, value: &&str| sum.plus(value.parse().unwrap()).unwrap();
            values.iter().fold(Money::ZERO, add).to_string()
        };
        let values: Vec<&str> = parts.iter().map(|part| text(part)).collect();
        assert_eq!(sum(&[&[text("opening")], &values[..]].concat()), text("closing"), "{reply:?}");
        assert_eq!(sum(&values), self::sum(lines(reply), "balanceChange"), "{reply:?}");
    };
    adds_up(&november);

    // The month is closed, then somebody was late, on another app.
    used.server.clock.set(DECEMBER - DAY);
    used.book().close_period(used.meter.wallet, used.meter.period, "closing").await.unwrap();
    used.server.clock.set(DECEMBER);
    used.count(2, 10, "10.5", &[(used.apps[0], "2")]).await;
    used.server.credit("EUR", "1", "t-2").await;
    let again = used.server.get(&statement("2026-11")).await;
    assert_eq!(again.json, november.json, "a closed month stays as it was told");
    let december = used.server.get(&statement("2026-12")).await;
    adds_up(&december);
    assert_eq!(december.json["opening"], november.json["closing"]);
    assert_eq!(december.json["closing"], json!(used.balance().await));
    assert_eq!(december.json["lateCharges"], "-0.02");
    let late = lines(&december).iter().find(|line| line["type"] == "late").unwrap();
    assert_eq!((&late["period"], &late["units"]), (&json!("2026-11"), &json!("2")));

    let csv = csv_lines(&used.server.get(&format!("{}&format=csv", statement("2026-12"))).await);
    let [opening, between @ .., closing] = &csv[..] else { panic!("{csv:?}") };
    assert_eq!(&between.to_vec(), lines(&december));
    assert_eq!(opening["amount"], december.json["opening"]);
    assert_eq!(closing["amount"], december.json["closing"]);
}

#[tokio::test]
async fn a_charge_is_explained_and_priced_under_another_plan_without_a_change() {
    let used = Used::start().await;
    let before = used.server.sqlite.read(used.meter.wallet).await.unwrap().unwrap();
    let explained = used.server.get(&format!("{ADA}/explain/EUR")).await;
    let want = json!([{
        "product": "weather", "ratePlan": used.plan, "revision": 1, "billingType": "PREPAID",
        "period": "2026-11", "unitsBefore": "0", "units": "38.5", "rounding": "0",
        "charge": "0.385",
        "bands": [{"part": "band 1", "units": "38.5", "price": "0.01", "amount": "0.385"}],
    }]);
    assert_eq!(explained.json["charges"], want);
    let reprice = async |body: Value| {
        used.server.post(&format!("{ADA}/reprice/EUR?month=2026-11"), &body.to_string()).await
    };
    let banded = json!({"plan": {
        "apiproduct": "weather", "state": "DRAFT", "currencyCode": "EUR",
        "consumptionPricingType": "BANDED", "consumptionPricingRates": [
            {"end": "10", "fee": {"units": "0"}}, {"start": "11", "fee": {"nanos": 20_000_000}},
        ],
    }});
    let repriced = reprice(banded).await;
    assert_eq!(repriced.status, 200, "{repriced:?}");
    let told = ["charge", "repriced", "difference"].map(|name| repriced.json[name].clone());
    assert_eq!(told, [json!("0.385"), json!("0.57"), json!("0.185")]);
    let same = json!({"ratePlan": {"apiproduct": "weather", "name": used.plan}});
    assert_eq!(reprice(same).await.json["difference"], "0");
    for wrong in [json!({}), json!({"ratePlan": {"apiproduct": "weather", "name": "x"}})] {
        assert_eq!(reprice(wrong).await.status, 400);
    }
    let after = used.server.sqlite.read(used.meter.wallet).await.unwrap().unwrap();
    assert_eq!((before.account, before.registers), (after.account, after.registers));
}

/// The sum of what a charge is made of, in 10⁻¹⁸ of a currency unit.
fn exact<'a>(parts: impl IntoIterator<Item = &'a Value>) -> i128 {
    let attos = |part: &Value| {
        let text = part.as_str().unwrap();
        let (whole, places) = text.split_once('.').unwrap_or((text, ""));
        format!("{whole}{places:0<18}").parse::<i128>().unwrap()
    };
    parts.into_iter().map(attos).sum()
}

#[tokio::test]
async fn lines_of_every_model_are_the_charge_and_the_other_plans_charge() {
    // 38.5 units: the bands end at 10 and 30.
    let rows = [
        ("BANDED", &["band 1", "band 2", "band 3"][..], "0.000000078"),
        ("TIERED", &["tier 2", "discounted in tier 3"], "0.00000006"),
        ("STAIRSTEP", &["step 1", "step 2", "step 3"], "0.000000006"),
    ];
    let used = Used::start().await;
    for (model, parts, charge) in rows {
        let prices = format!(
            r#""consumptionPricingType":"{model}","consumptionPricingRates":[
                {{"end":"10","fee":{{"nanos":3}}}},{{"start":"11","end":"30","fee":{{"nanos":2}}}},
                {{"start":"31","fee":{{"nanos":1}}}}]"#
        );
        let named = |bands: &Value| {
            let bands = bands.as_array().unwrap().clone();
            bands.iter().map(|band| band["part"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let adds_up = |told: &Value, charge: &str| {
            let amounts = told["bands"].as_array().unwrap().iter().map(|band| &band["amount"]);
            let sum = exact(amounts.chain([&told["rounding"]]));
            assert_eq!(sum, exact([&told[charge]]), "{model}: {told}");
        };
        let own = Used::start_priced(&prices).await;
        let explained = own.server.get(&format!("{ADA}/explain/EUR")).await;
        let told = &explained.json["charges"][0];
        assert_eq!(told["charge"], charge);
        assert_eq!(named(&told["bands"]), parts);
        adds_up(told, "charge");
        let balance: Money = own.balance().await.parse().unwrap();
        assert_eq!(balance.plus(charge.parse().unwrap()).unwrap().to_string(), "10", "{model}");

        let body = format!(
            r#"{{"plan":{{"apiproduct":"weather","state":"DRAFT","currencyCode":"EUR",{prices}}}}}"#
        );
        let repriced = used.server.post(&format!("{ADA}/reprice/EUR"), &body).await;
        let line = &repriced.json["lines"][0];
        assert_eq!((&line["repriced"], &line["bands"]), (&json!(charge), &told["bands"]));
        adds_up(line, "repriced");
    }
}

#[tokio::test]
async fn what_is_asked_wrongly_is_named_and_who_may_not_is_refused() {
    let used = Used::start().await;
    let rows = [
        ("month=2026-13", "YYYY-MM"),
        ("from=2026-11-31", "YYYY-MM-DD"),
        ("from=2026-11-02&to=2026-11-02", "after from"),
        ("from=2020-01-01&to=2026-11-02", "366 days"),
        ("to=2026-11-02", "is required"),
        ("month=2026-11&from=2026-11-01", "excludes"),
        ("groupBy=colour", "revision"),
        ("format=xml", "json or csv"),
        ("startKey=x", "not the key"),
    ];
    for (query, want) in rows {
        let reply = used.server.get(&format!("{CHARGES}?{query}")).await;
        assert_eq!((reply.status, reply.error_status()), (400, "INVALID_ARGUMENT"), "{reply:?}");
        assert!(reply.message().contains(want), "{query}: {}", reply.message());
    }
    assert_eq!(used.server.get(&format!("{ADA}/statements/USD")).await.status, 400);
    let reader = used.server.call("GET", CHARGES, READER, "", None).await;
    assert_eq!(reader.status, 403, "{reader:?}");
}

/// Keys of pages named wallets of other organizations, whose pages were empty besides.
#[tokio::test]
async fn a_page_of_charges_is_of_its_own_organizations_wallets() {
    let server = Server::start_with_ada().await;
    assert_eq!(server.post("/v1/organizations", r#"{"name":"other"}"#).await.status, 201);
    let bob = r#"{"email":"bob@example.com","firstName":"B","lastName":"B","userName":"bob"}"#;
    assert_eq!(server.post("/v1/organizations/other/developers", bob).await.status, 201);
    let currencies = ["AUD", "BRL", "CHF", "DKK", "EUR", "GBP"];
    for currency in currencies {
        server.credit(currency, "1", currency).await;
        let body = json!({
            "transactionAmount": {"currencyCode": currency, "units": "7"}, "transactionId": currency,
        });
        let path = "/v1/organizations/other/developers/bob@example.com/balance:credit";
        assert_eq!(server.post(path, &body.to_string()).await.status, 200);
    }
    let ada = server.catalogue.developer("acme", "ada@example.com").await.unwrap().id;
    let own = currencies.map(|currency| wallet_id(ada, currency.parse().unwrap()).to_string());
    let (mut paged, mut start, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = server.get(&format!("{CHARGES}?count=2&startKey={start}")).await;
        pages += 1;
        paged.extend(lines(&page).iter().map(|line| line["currencyCode"].clone()));
        match page.json["nextStartKey"].as_str() {
            Some(next) => start = next.to_owned(),
            None => break,
        }
        assert!(own.contains(&start), "{start} is somebody else's wallet");
        assert_eq!(lines(&page).len(), 2, "{page:?}");
    }
    paged.sort_by_key(Value::to_string);
    assert_eq!((paged, pages), (currencies.map(Value::from).to_vec(), 4));
}
