//! What a refusal tells a machine beyond its kind: whose wallet, what is missing, when it comes back, and where to top up.
//!
//! Each fact is said once, in `Budget::each_fact`: as a member of the fault's detail beside `errorcode`, and as a header, which a
//! gRPC caller gets as metadata of its trailers. Amounts are exact decimals in the wallet's currency.
//! Invariants: no value needs an escape in JSON, in a header or in a URL. Not here: which kinds tell what ([`Row`](super::Row)).

use std::time::Duration;

use http::header::HeaderName;
use serde::Deserialize;
use tollgate_metering::{Currency, DeveloperId, Money, Period, WalletId};

use super::{Refusal, Tells};

/// Header with a refusal's name.
pub static REFUSAL: HeaderName = HeaderName::from_static("tollgate-refusal");
/// Header with the wallet's id.
pub static WALLET: HeaderName = HeaderName::from_static("tollgate-wallet");
/// Header with the currency of every amount.
pub static CURRENCY: HeaderName = HeaderName::from_static("tollgate-currency");
/// Header with the price of the call.
pub static PRICE: HeaderName = HeaderName::from_static("tollgate-price");
/// Header with the balance as this gateway knows it.
pub static BALANCE: HeaderName = HeaderName::from_static("tollgate-balance");
/// Header with the age of that balance in milliseconds.
pub static BALANCE_AGE_MS: HeaderName = HeaderName::from_static("tollgate-balance-age-ms");
/// Header with what a call may cost at most now.
pub static AVAILABLE: HeaderName = HeaderName::from_static("tollgate-available");
/// Header with the time from which the same call passes without a top-up.
pub static BUDGET_RETURNS_AT: HeaderName = HeaderName::from_static("tollgate-budget-returns-at");
/// Header with the provider's page for topping up.
pub static TOP_UP_URL: HeaderName = HeaderName::from_static("tollgate-top-up-url");

/// A refusal, with what is known of the money that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its row of the table.
    pub kind: Refusal,
    /// Boxed, since few refusals have one and every decision would carry its size.
    pub budget: Option<Box<Budget>>,
}

/// The money that a call would have been paid from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Who would have paid.
    pub developer: DeveloperId,
    /// The wallet; `None` where the developer has none in the currency.
    pub wallet: Option<WalletId>,
    /// The currency of all amounts here.
    pub currency: Currency,
    /// What the call would have cost, or, on a strict wallet, could have cost at most.
    pub price: Option<Money>,
    /// The wallet as this gateway knows it.
    pub known: Option<KnownBalance>,
    /// When the same call passes without a top-up, by the plan that is in force.
    pub returns: Option<Returns>,
}

/// A balance as a gateway knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownBalance {
    /// The balance, negative for a debt.
    pub balance: Money,
    /// What a call may cost at most: the balance without what is held, above the floor.
    pub available: Money,
    /// Since the report that it answers.
    pub age: Option<Duration>,
}

/// The start of a billing period in which the call is affordable again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Returns {
    /// The period.
    pub period: Period,
    /// Until it starts.
    pub wait: Duration,
}

/// A provider's page for topping up, with places for the developer, the wallet and the currency.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct TopUpUrl(String);

/// What may stand in braces in a [`TopUpUrl`].
const PLACES: [&str; 3] = ["{developer}", "{wallet}", "{currency}"];
/// Bytes of a [`TopUpUrl`].
const URL_BYTES_MAX: usize = 2_000;

// === impl Refused ===

impl From<Refusal> for Refused {
    fn from(kind: Refusal) -> Self {
        Self { kind, budget: None }
    }
}

impl Refused {
    /// How long to wait before the same call may pass; `None` where waiting does not help.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        let returns = self.budget.as_ref().and_then(|budget| budget.returns);
        match self.kind.row().retry {
            super::Retry::After(wait) => Some(wait),
            super::Retry::Provisioned => returns.map(|returns| returns.wait),
            super::Retry::Changed => None,
        }
    }

    /// Says each fact: the member of a fault's detail, the header, and the value of both.
    pub(crate) fn each_fact(
        &self,
        top_up: Option<&TopUpUrl>,
        mut tell: impl FnMut(&'static str, &'static HeaderName, &str),
    ) {
        let row = self.kind.row();
        tell("refusal", &REFUSAL, row.name);
        let Some(budget) = &self.budget else { return };
        match row.tells {
            Tells::Kind => {}
            Tells::Wallet => budget.each_fact(&mut tell),
            Tells::TopUp => {
                budget.each_fact(&mut tell);
                if let Some(url) = top_up.and_then(|url| url.of(budget)) {
                    tell("topUpUrl", &TOP_UP_URL, &url);
                }
            }
        }
    }
}

// === impl Budget ===

impl Budget {
    fn each_fact(&self, tell: &mut impl FnMut(&'static str, &'static HeaderName, &str)) {
        if let Some(wallet) = self.wallet {
            tell("wallet", &WALLET, &wallet.to_string());
        }
        tell("currency", &CURRENCY, self.currency.as_str());
        if let Some(price) = self.price {
            tell("price", &PRICE, &price.to_string());
        }
        if let Some(known) = self.known {
            tell("balance", &BALANCE, &known.balance.to_string());
            tell("available", &AVAILABLE, &known.available.to_string());
            if let Some(age) = known.age {
                tell("balanceAgeMs", &BALANCE_AGE_MS, &age.as_millis().to_string());
            }
        }
        if let Some(returns) = self.returns {
            // A period is a calendar month in UTC.
            let at = format!("{}-01T00:00:00Z", returns.period);
            tell("budgetReturnsAt", &BUDGET_RETURNS_AT, &at);
        }
    }
}

// === impl TopUpUrl ===

impl TopUpUrl {
    /// What is wrong with it, if anything.
    #[must_use]
    pub fn problem(&self) -> Option<&'static str> {
        let plain = PLACES.iter().fold(self.0.clone(), |url, place| url.replace(place, "0"));
        let is_sound = |byte: u8| byte.is_ascii_graphic() && !b"\"\\<>^`{|}".contains(&byte);
        if self.0.len() > URL_BYTES_MAX {
            return Some("must have at most 2000 bytes");
        }
        if plain.contains(['{', '}']) {
            return Some("may hold {developer}, {wallet} and {currency}, nothing else in braces");
        }
        let is_web = plain.starts_with("https://") || plain.starts_with("http://");
        let has_host = plain
            .parse::<http::Uri>()
            .is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty()));
        if !is_web || !has_host || !plain.bytes().all(is_sound) {
            return Some("must be an http:// or https:// URL");
        }
        None
    }

    /// The page for this budget; `None` where it names a wallet and there is none.
    fn of(&self, budget: &Budget) -> Option<String> {
        let [developer, wallet, currency] = PLACES;
        let url = self.0.replace(developer, &budget.developer.to_string());
        let url = url.replace(currency, budget.currency.as_str());
        match budget.wallet {
            Some(id) => Some(url.replace(wallet, &id.to_string())),
            None => (!url.contains(wallet)).then_some(url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> TopUpUrl {
        TopUpUrl(text.to_owned())
    }

    #[test]
    fn top_up_urls_are_checked() {
        let rows = [
            ("https://pay.example/{developer}?w={wallet}&c={currency}", true),
            ("http://127.0.0.1:8080/", true),
            ("https://pay.example/{key}", false),
            ("https://pay.example/{developer", false),
            ("https://pay.example/\"x", false),
            ("https://pay.example/a b", false),
            ("https://pay.example/\r\nx: y", false),
            ("https://", false),
            ("javascript:alert(1)", false),
            ("/top-up", false),
        ];
        for (text, is_sound) in rows {
            assert_eq!(url(text).problem().is_none(), is_sound, "{text}");
        }
        assert!(url(&format!("https://a/{}", "x".repeat(2_000))).problem().is_some());
    }

    #[test]
    fn a_link_that_names_a_wallet_is_told_where_there_is_one() {
        let mut budget = Budget {
            developer: DeveloperId(uuid::Uuid::from_u128(8)),
            wallet: Some(WalletId(uuid::Uuid::from_u128(7))),
            currency: "EUR".parse().unwrap(),
            price: None,
            known: None,
            returns: None,
        };
        let link = url("https://pay.example/{developer}/{wallet}?{currency}");
        let (eight, seven) = (budget.developer, WalletId(uuid::Uuid::from_u128(7)));
        assert_eq!(link.of(&budget), Some(format!("https://pay.example/{eight}/{seven}?EUR")));
        budget.wallet = None;
        assert_eq!(link.of(&budget), None);
    }
}
