//! A balance as people and programs read it: exact decimals, and times that can be compared.

use std::fmt::Write as _;

use serde::Serialize;
use tollgate_metering::{Period, UnixMillis};
use tollgate_proto::{WireError, money, overspend, units, v1, wallet};

const DAY_MS: i64 = 86_400_000;

/// One wallet.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    wallet: String,
    organization: String,
    developer: String,
    currency: String,
    balance: String,
    overdraft: String,
    held: String,
    overdraft_limit: String,
    reserved: String,
    overspend: &'static str,
    is_mode_changing: bool,
    max_exposure: String,
    is_max_exposure_promised: bool,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_credit_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gateways: Vec<ShownView>,
}

/// What one gateway believes of it.
#[derive(Debug, Serialize)]
struct ShownView {
    gateway: String,
    balance: String,
    held: String,
    available: String,
    staleness_ms: u64,
    not_durable_units: String,
    version: u64,
    /// On a strict wallet: what the ledger has granted it, and what of that is reserved.
    #[serde(skip_serializing_if = "Option::is_none")]
    granted: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved: Option<String>,
}

// === impl Shown ===

impl Shown {
    /// Reads a node's answer.
    ///
    /// # Errors
    /// A [`WireError`] that names the field.
    pub(super) fn read(balance: &v1::Balance) -> Result<Self, WireError> {
        let views = balance.gateways.iter();
        let views = views.filter_map(|gateway| Some((gateway.view.as_ref()?, gateway)));
        Ok(Self {
            wallet: wallet("wallet", &balance.wallet)?.to_string(),
            organization: balance.organization.clone(),
            developer: balance.developer.clone(),
            currency: balance.currency.clone(),
            balance: money("balance", &balance.balance)?.to_string(),
            overdraft: money("overdraft", &balance.overdraft)?.to_string(),
            held: money("held", &balance.held)?.to_string(),
            overdraft_limit: money("overdraft_limit", &balance.overdraft_limit)?.to_string(),
            reserved: money("reserved", &balance.reserved)?.to_string(),
            overspend: overspend("overspend", balance.overspend)?.as_str(),
            is_mode_changing: balance.is_mode_changing,
            max_exposure: money("max_exposure", &balance.max_exposure)?.to_string(),
            is_max_exposure_promised: balance.is_max_exposure_promised,
            version: balance.version,
            last_credit_at_ms: (balance.last_credit_at_ms != 0)
                .then_some(balance.last_credit_at_ms),
            gateways: views
                .map(|(view, gateway)| ShownView::read(view, gateway))
                .collect::<Result<_, _>>()?,
        })
    }
}

// === impl ShownView ===

impl ShownView {
    fn read(view: &v1::LocalView, gateway: &v1::GatewayView) -> Result<Self, WireError> {
        let given = |field, amount: &Option<v1::Money>| match amount {
            Some(_) => money(field, amount).map(|amount| Some(amount.to_string())),
            None => Ok(None),
        };
        Ok(Self {
            gateway: view.gateway.clone(),
            balance: money("balance", &view.balance)?.to_string(),
            held: money("held", &view.held)?.to_string(),
            available: money("available", &view.available)?.to_string(),
            staleness_ms: view.staleness_ms,
            not_durable_units: units("not_durable", &view.not_durable)?.to_string(),
            version: view.version,
            granted: given("granted", &gateway.granted)?,
            reserved: given("reserved", &gateway.reserved)?,
        })
    }
}

/// One line a wallet, and below it one a gateway where gateways were asked.
pub(super) fn table(balances: &[Shown], with_head: bool) -> String {
    let mut text = String::new();
    if with_head {
        let _ = writeln!(
            text,
            "{:<32} {:<8} {:>14} {:>10} {:>10} {:>10} {:<12} {:>14}  LAST CREDIT",
            "DEVELOPER",
            "CURRENCY",
            "BALANCE",
            "HELD",
            "RESERVED",
            "OVERDRAFT",
            "OVERSPEND",
            "AT MOST"
        );
    }
    for shown in balances {
        let credited =
            shown.last_credit_at_ms.map_or("never".to_owned(), |ms| time(UnixMillis(ms)));
        let _ = writeln!(
            text,
            "{:<32} {:<8} {:>14} {:>10} {:>10} {:>10} {:<12} {:>14}  {credited}",
            shown.developer,
            shown.currency,
            shown.balance,
            shown.held,
            shown.reserved,
            shown.overdraft,
            policy(shown),
            shown.max_exposure
        );
        for view in &shown.gateways {
            let name = format!("  as {} believes", view.gateway);
            let _ = writeln!(
                text,
                "{name:<32} {:<8} {:>14} {:>10} {:>10} may draw {}; {} ms old, {} units not in the ledger yet",
                shown.currency,
                view.balance,
                view.held,
                view.reserved.as_deref().unwrap_or_default(),
                view.available,
                view.staleness_ms,
                view.not_durable_units
            );
        }
    }
    text
}

/// The policy, and whether gateways have yet to take it up.
fn policy(shown: &Shown) -> String {
    if shown.is_mode_changing {
        return format!("to {}", shown.overspend);
    }
    shown.overspend.to_owned()
}

/// `2026-11-22T12:13:14Z`.
fn time(at: UnixMillis) -> String {
    let period = Period::of(at);
    let within = at.since(period.start()).as_millis();
    let within = i64::try_from(within).expect("a month has fewer milliseconds than an i64");
    let (day, of_day) = (within / DAY_MS + 1, within % DAY_MS / 1_000);
    format!("{period}-{day:02}T{:02}:{:02}:{:02}Z", of_day / 3_600, of_day / 60 % 60, of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debt_is_shown_to_the_last_digit_and_each_gateway_below_it() {
        let money = |units, nanos| Some(v1::Money { units, nanos });
        let view = v1::LocalView {
            gateway: "gateway-1".to_owned(),
            balance: money(0, 10_000_000),
            held: money(0, 0),
            available: money(0, 0),
            staleness_ms: 42,
            not_durable: Some(v1::Units { low: 2_000_000_000, high: 0 }),
            ..v1::LocalView::default()
        };
        let shown = Shown::read(&v1::Balance {
            wallet: vec![7; 16],
            developer: "ann@example.com".to_owned(),
            currency: "EUR".to_owned(),
            balance: money(0, -120_000_001),
            overdraft: money(0, 120_000_001),
            held: money(0, 0),
            overdraft_limit: money(0, 0),
            last_credit_at_ms: 1_795_305_600_000,
            gateways: vec![v1::GatewayView {
                view: Some(view),
                granted: money(5, 0),
                reserved: money(3, 0),
            }],
            reserved: money(3, 0),
            overspend: v1::Overspend::Strict.into(),
            is_mode_changing: true,
            max_exposure: money(0, 70_000_000),
            ..v1::Balance::default()
        });
        let text = table(&[shown.unwrap()], true);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("-0.120000001"), "{text}");
        assert!(lines[1].contains("to strict") && lines[1].contains("0.07"), "{text}");
        assert!(lines[1].ends_with("2026-11-22T00:00:00Z"), "{text}");
        assert!(
            lines[2].contains("gateway-1") && lines[2].contains("42 ms old, 2 units"),
            "{text}"
        );
    }

    #[test]
    fn times_are_written_in_utc() {
        let check = |ms, want: &str| assert_eq!(time(UnixMillis(ms)), want);
        check(0, "1970-01-01T00:00:00Z");
        check(1_709_251_199_999, "2024-02-29T23:59:59Z");
    }
}
