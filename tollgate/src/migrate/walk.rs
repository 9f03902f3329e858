//! Takes the steps one after the other, or only looks which are to be taken.

use std::collections::HashSet;
use std::io::{IsTerminal as _, stderr};

use hyper::{Method, StatusCode};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tollgate_metering::Money;

use super::client::{Call, Client};
use super::report::{Outcome, Report};
use super::steps::{Action, Look, Step, Steps};

/// Without a terminal a line is written after so many steps.
const LINE_EVERY: u64 = 1_000;

/// Takes every step; a failure is told and does not end it.
pub(super) async fn walk(
    client: &mut Client<'_>,
    steps: &Steps,
    is_applied: bool,
    report: &mut Report,
) {
    let bar = bar(steps.all.len() as u64);
    for step in &steps.all {
        match take(client, step, is_applied, report).await {
            Ok(Some(outcome)) => report.count(step.kind, outcome),
            Ok(None) => {}
            Err(reason) => report.fail(step.kind, &step.id, reason),
        }
        bar.inc(1);
        if !stderr().is_terminal() && bar.position().is_multiple_of(LINE_EVERY) {
            eprintln!("{} of {} steps", bar.position(), steps.all.len());
        }
    }
    bar.finish_and_clear();
}

async fn take(
    client: &mut Client<'_>,
    step: &Step,
    is_applied: bool,
    report: &mut Report,
) -> Result<Option<Outcome>, String> {
    match &step.action {
        Action::Ensure { look, call } => {
            if is_there(client, look).await? {
                return Ok(Some(Outcome::There));
            }
            if !is_applied {
                return Ok(Some(Outcome::Done));
            }
            let told = client.send(call).await?;
            // Also where the first of two tries made it, and its answer was lost.
            let is_made = told.status.is_success()
                || (told.status == StatusCode::CONFLICT && is_there(client, look).await?);
            if is_made { Ok(Some(Outcome::Done)) } else { Err(told.reason()) }
        }
        Action::DropKeys { app, kept } => {
            if is_applied {
                drop_keys(client, app, kept).await?;
            }
            Ok(None)
        }
        Action::Compare { path, developer, currency, want } => {
            if is_applied {
                let told = client.get(path).await?;
                let here = balance(&told.body, &currency.to_string())?;
                report.compare(developer, currency.to_string(), want.to_string(), here.to_string());
            }
            Ok(None)
        }
    }
}

/// Whether a step was taken before.
async fn is_there(client: &mut Client<'_>, look: &Look) -> Result<bool, String> {
    let (Look::Found(path)
    | Look::Is { path, .. }
    | Look::Holds { path, .. }
    | Look::Accepted { path, .. }) = look
    else {
        return Ok(false);
    };
    let told = client.get(path).await?;
    if told.status == StatusCode::NOT_FOUND {
        return Ok(false);
    }
    if !told.status.is_success() {
        return Err(told.reason());
    }
    let list = |name: &str| told.body[name].as_array().cloned().unwrap_or_default();
    match look {
        Look::Never | Look::Found(_) => Ok(true),
        Look::Is { field, want, unless, .. } => {
            let found = told.body[*field].as_str().unwrap_or_default();
            if found == *want {
                return Ok(true);
            }
            if let Some(path) = unless {
                let wallets = client.get(path).await?.body["wallets"].clone();
                if wallets.as_array().is_some_and(|wallets| !wallets.is_empty()) {
                    return Err(format!(
                        "is {found}, not {want}, and has a wallet already: change it by hand"
                    ));
                }
            }
            Ok(false)
        }
        Look::Holds { products, .. } => {
            let held: Vec<Value> = list("apiProducts");
            let holds = |product: &String| held.iter().any(|on| on["apiproduct"] == **product);
            Ok(products.iter().all(holds))
        }
        Look::Accepted { plan, day, .. } => Ok(list("developerRatePlan").iter().any(|held| {
            let start = held["startDate"].as_str().unwrap_or_default();
            held["ratePlan"]["id"] == **plan && start.starts_with(day.as_str())
        })),
    }
}

/// Takes away the key that making an app makes: it is not Edge's, and opens nothing.
async fn drop_keys(
    client: &mut Client<'_>,
    app: &str,
    kept: &HashSet<String>,
) -> Result<(), String> {
    let told = client.get(app).await?;
    let keys = told.body["credentials"].as_array().cloned().unwrap_or_default();
    for key in keys {
        let opens = key["apiProducts"].as_array().is_some_and(|products| !products.is_empty());
        let name = key["consumerKey"].as_str().unwrap_or_default();
        if opens || kept.contains(name) {
            continue;
        }
        let path = format!("{app}/keys/{name}");
        let (body, idempotency_key) = (String::new(), None);
        let told =
            client.send(&Call { method: Method::DELETE, path, body, idempotency_key }).await?;
        if !told.status.is_success() && told.status != StatusCode::NOT_FOUND {
            return Err(told.reason());
        }
    }
    Ok(())
}

/// A balance of Apigee X's answer; none is zero.
fn balance(body: &Value, currency: &str) -> Result<Money, String> {
    let wallets = body["wallets"].as_array().cloned().unwrap_or_default();
    let is_it = |wallet: &&Value| wallet["balance"]["currencyCode"] == currency;
    let Some(wallet) = wallets.iter().find(is_it) else { return Ok(Money::ZERO) };
    let money = &wallet["balance"];
    let units = money["units"].as_str().unwrap_or("0").parse().map_err(|_| "units")?;
    let nanos = i32::try_from(money["nanos"].as_i64().unwrap_or(0)).map_err(|_| "nanos")?;
    Money::from_units_nanos(units, nanos).map_err(|error| error.to_string())
}

fn bar(count: u64) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::with_draw_target(Some(count), indicatif::ProgressDrawTarget::hidden());
    }
    let text = "{wide_bar} {pos}/{len} steps, {per_sec}, {eta} left";
    let style = ProgressStyle::with_template(text).expect("the template is well formed");
    ProgressBar::new(count).with_style(style)
}
