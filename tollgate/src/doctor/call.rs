//! A paid call from end to end, on a wallet of its own.
//!
//! Everything that the call needs is made for it under a name that nobody else has: a developer, an app, an API product
//! with a rate plan, and a wallet with a credit. Afterwards the wallet is emptied and developer and product are deleted, also
//! where the call failed; the organization stays, since organizations cannot be deleted.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tollgate_gateway::config::{Metering, Proxy};
use tollgate_metering::Money;
use uuid::Uuid;

use super::http::{self, Answer, Ask};
use super::report::Report;
use crate::cli::DoctorArgs;
use crate::config::secret::Secret;

/// The name of these checks.
const CHECK: &str = "paid call";
/// What the wallet begins with in euros, what a unit costs in nanos of one, and what a call leaves.
const WHOLE: &str = "1";
const PRICE_NANOS: i64 = 10_000_000;
const LEFT: &str = "0.99";
/// How long a charge may take to be in the balance: the slowest report of a gateway and a write behind it.
const CHARGED_WAIT: Duration = Duration::from_secs(15);
/// Between two looks at the balance.
const LOOK_WAIT: Duration = Duration::from_millis(100);

/// The management API, and what was made there.
struct Desk<'a> {
    /// `…/v1/organizations`.
    url: String,
    organization: &'a str,
    token: &'a Secret,
    /// The name of everything that is made.
    name: String,
}

/// Makes the call and says whether it cost what it must.
pub(super) async fn check(
    report: &mut Report,
    (management, gateway): (&str, &str),
    token: &Secret,
    proxy: &Proxy,
    args: &DoctorArgs,
) {
    let desk = Desk {
        url: format!("{}/v1/organizations", management.trim_end_matches('/')),
        organization: &args.organization,
        token,
        name: format!("tollgate-doctor-{}", Uuid::new_v4().simple()),
    };
    let subject = format!("{gateway} {}", proxy.name);
    match desk.open(&proxy.name).await {
        Ok(key) => paid(report, &desk, &subject, (gateway, &key), proxy, &args.path).await,
        Err(reason) => {
            let mend = "the management API must answer, and the token be an admin's (--management, --token-file)";
            report.fail(CHECK, &subject, format!("cannot prepare it: {reason}"), mend);
        }
    }
    if let Err(reason) = desk.close().await {
        let mend = "delete what is called tollgate-doctor-… in the doctor's organization by hand";
        report.warn(CHECK, &subject, format!("cannot clean up: {reason}"), mend);
    }
}

/// The call itself, and the balance after it.
async fn paid(
    report: &mut Report,
    desk: &Desk<'_>,
    subject: &str,
    (gateway, key): (&str, &str),
    proxy: &Proxy,
    path: &str,
) {
    let answer = match call(gateway, key, proxy, path).await {
        Ok(answer) => answer,
        Err(reason) => {
            let mend = "see that the gateway runs there (--gateway URL)";
            return report.fail(CHECK, subject, reason, mend);
        }
    };
    let status = answer.status;
    if answer.body.contains("\"fault\"") {
        let body: String = answer.body.split_whitespace().collect::<Vec<_>>().join(" ");
        let found = format!("the gateway refused it with {status}: {body}");
        return report.fail(CHECK, subject, found, "the fault says why; see the gateway's log");
    }
    // What a header of the upstream decides cannot be known here.
    let is_fixed = proxy.success_header.is_none() && proxy.multiplier_header.is_none();
    let must_cost = status.as_u16() < 300;
    let want = if must_cost { LEFT } else { WHOLE };
    let want = want.parse::<Money>().ok();
    let balance = desk.balance_that_is(want, must_cost || !is_fixed).await;
    match balance {
        Ok(balance) if Some(balance) == want && must_cost => {
            let found = format!("{status}, cost 0.01 EUR of 1 EUR: balance {balance} EUR");
            report.ok(CHECK, subject, found);
        }
        Ok(balance) if Some(balance) == want => {
            let mend = "name a path below the proxy that succeeds: --path /healthz";
            let found = format!("the upstream answers {status}, which costs nothing");
            report.warn(CHECK, subject, format!("{found}: balance {balance} EUR"), mend);
        }
        Ok(balance) if !is_fixed => {
            let found = format!("{status}, balance {balance} EUR: the upstream's headers decide");
            report.ok(CHECK, subject, found);
        }
        Ok(balance) => {
            let want = want.map_or_else(String::new, |want| want.to_string());
            let found = format!("{status}, but the balance is {balance} EUR, not {want} EUR");
            let mend = "see that this gateway reports to the ledger of this management API";
            report.fail(CHECK, subject, found, mend);
        }
        Err(reason) => {
            let mend = "see that the management API answers";
            report.fail(CHECK, subject, format!("the balance cannot be read: {reason}"), mend);
        }
    }
}

async fn call(gateway: &str, key: &str, proxy: &Proxy, path: &str) -> Result<Answer, String> {
    let base = proxy.base_path.trim_end_matches('/');
    let mut url = format!("{}{base}{path}", gateway.trim_end_matches('/'));
    let mut headers = Vec::new();
    if proxy.key.header.is_empty() {
        url.push_str(&format!("?{}={key}", proxy.key.query));
    } else {
        headers.push((proxy.key.header.as_str(), key));
    }
    headers.extend(proxy.host.as_deref().map(|host| ("host", host)));
    http::send(Ask { url: &url, headers: &headers, ..Ask::default() }).await
}

// === impl Desk ===

impl Desk<'_> {
    /// Makes everything that a call needs, and answers its key.
    async fn open(&self, proxy: &str) -> Result<String, String> {
        let name = &self.name;
        let made = self.send(&Method::POST, "", &json!({ "name": self.organization })).await?;
        if !made.status.is_success() && made.status != hyper::StatusCode::CONFLICT {
            return Err(told(&made));
        }
        let product = json!({ "name": name, "displayName": name, "proxies": [proxy] });
        self.must(&Method::POST, "/apiproducts", &product).await?;
        let plan = json!({
            "apiproduct": name, "displayName": name, "billingPeriod": "MONTHLY", "currencyCode": "EUR",
            "consumptionPricingType": "FIXED_PER_UNIT", "startTime": "1", "state": "PUBLISHED",
            "consumptionPricingRates": [{ "fee": { "nanos": PRICE_NANOS } }],
        });
        self.must(&Method::POST, &format!("/apiproducts/{name}/rateplans"), &plan).await?;
        let developer = json!({
            "email": self.email(), "firstName": "Tollgate", "lastName": "Doctor", "userName": name,
        });
        self.must(&Method::POST, "/developers", &developer).await?;
        let prepaid = json!({ "billingType": "PREPAID" });
        self.must(&Method::PUT, &self.of_developer("/monetizationConfig"), &prepaid).await?;
        let credit = json!({
            "transactionAmount": { "currencyCode": "EUR", "units": WHOLE },
            "transactionId": name,
        });
        self.must(&Method::POST, &self.of_developer("/balance:credit"), &credit).await?;
        let app = json!({ "name": "doctor", "apiProducts": [name] });
        let app = self.must(&Method::POST, &self.of_developer("/apps"), &app).await?;
        let bought = json!({ "apiproduct": name });
        self.must(&Method::POST, &self.of_developer("/subscriptions"), &bought).await?;
        let key = app["credentials"][0]["consumerKey"].as_str();
        key.map(str::to_owned).ok_or_else(|| "the app has no key".to_owned())
    }

    /// Empties the wallet and deletes what was made. What is not there was not made.
    async fn close(&self) -> Result<(), String> {
        if let Ok(Some(rest)) = self.balance().await
            && !rest.is_zero()
        {
            let (units, nanos) = rest.units_nanos();
            let adjustment = json!({ "adjustment": {
                "currencyCode": "EUR", "units": units.to_string(), "nanos": nanos,
            }});
            self.must(&Method::POST, &self.of_developer("/balance:adjust"), &adjustment).await?;
        }
        for path in [self.of_developer(""), format!("/apiproducts/{}", self.name)] {
            let answer = self.send(&Method::DELETE, &path, &Value::Null).await?;
            if !answer.status.is_success() && answer.status != hyper::StatusCode::NOT_FOUND {
                return Err(told(&answer));
            }
        }
        Ok(())
    }

    /// The balance once it is what it must be, or what it is when it had time enough.
    async fn balance_that_is(&self, want: Option<Money>, is_late: bool) -> Result<Money, String> {
        let until = tokio::time::Instant::now() + CHARGED_WAIT;
        loop {
            let balance = self.balance().await?.ok_or("the wallet is not there")?;
            // A charge that must not come is waited for as little as one that is there.
            if Some(balance) == want || !is_late || tokio::time::Instant::now() >= until {
                return Ok(balance);
            }
            tokio::time::sleep(LOOK_WAIT).await;
        }
    }

    /// The balance in euros, where there is a wallet.
    async fn balance(&self) -> Result<Option<Money>, String> {
        let found = self.must(&Method::GET, &self.of_developer("/balance"), &Value::Null).await?;
        let wallets = found["wallets"].as_array();
        let in_euros = |wallet: &&Value| wallet["balance"]["currencyCode"] == "EUR";
        let Some(wallet) = wallets.and_then(|all| all.iter().find(in_euros)) else {
            return Ok(None);
        };
        let money = &wallet["balance"];
        let units = money["units"].as_str().unwrap_or("0").parse().map_err(|_| "units")?;
        let nanos = i32::try_from(money["nanos"].as_i64().unwrap_or(0)).map_err(|_| "nanos")?;
        Money::from_units_nanos(units, nanos).map(Some).map_err(|error| error.to_string())
    }

    fn email(&self) -> String {
        format!("{}@tollgate.invalid", self.name)
    }

    fn of_developer(&self, path: &str) -> String {
        format!("/developers/{}{path}", self.email())
    }

    async fn must(&self, method: &Method, path: &str, body: &Value) -> Result<Value, String> {
        let answer = self.send(method, path, body).await?;
        if !answer.status.is_success() {
            return Err(told(&answer));
        }
        Ok(serde_json::from_str(&answer.body).unwrap_or(Value::Null))
    }

    /// A request below the organization, or for `""` one that makes it.
    async fn send(&self, method: &Method, path: &str, body: &Value) -> Result<Answer, String> {
        let url = match path {
            "" => self.url.clone(),
            path => format!("{}/{}{path}", self.url, self.organization),
        };
        let bearer = format!("Bearer {}", self.token.expose());
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let ask = Ask {
            url: &url,
            method: Some(method),
            headers: &headers,
            body: &body,
            ..Ask::default()
        };
        http::send(ask).await.map_err(|reason| format!("{method} {url}: {reason}"))
    }
}

/// Whether calls through a proxy are paid, so that one can be tried.
pub(super) fn is_paid(proxy: &Proxy) -> bool {
    proxy.metering == Metering::Metered
}

fn told(answer: &Answer) -> String {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
    let message = body["error"]["message"].as_str().unwrap_or_default();
    format!("{} {message}", answer.status)
}
