//! Every way in which the gateway itself answers a call, and what the caller is told: one table.
//!
//! A refusal is decided before a response head is there, so no refusal is ever charged; what breaks after the head (an
//! upstream that dies in the middle of a body) cannot be refused any more and is charged as the head said.
//! Invariants: each kind is one row of [`Refusal::row`], without a default arm; only the HTTP status can be overridden, per
//! proxy. Bodies have Apigee's fault shape; gRPC callers get a trailers-only response with the row's gRPC status. What a row
//! [`Tells`] of the wallet stands in the fault's detail and in headers alike ([`Budget`]).
//! Not here: who refuses when (`proxy`, the `Admission`).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

pub use self::budget::{Budget, KnownBalance, Refused, Returns, TopUpUrl};

pub mod budget;

/// Why the gateway answers a call itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The request is not sound HTTP, or its framing is ambiguous.
    BadRequest,
    /// No proxy serves this host and path.
    NoProxy,
    /// A method that a gateway does not carry (CONNECT).
    MethodNotAllowed,
    /// The request head is above its limit.
    HeadTooLarge,
    /// The request target is above its limit.
    TargetTooLong,
    /// The request body is above its limit.
    BodyTooLarge,
    /// The client did not send its request in time.
    RequestTooSlow,
    /// An `Expect` other than `100-continue`.
    ExpectationFailed,
    /// As many calls are open as the gateway carries.
    TooManyCalls,
    /// The call carries no consumer key.
    KeyMissing,
    /// Nobody has this consumer key.
    KeyUnknown,
    /// The key, or its app, is revoked, pending or expired.
    KeyNotApproved,
    /// The key's developer is inactive.
    DeveloperInactive,
    /// No API product of the key covers this proxy, path and method.
    NoApiProduct,
    /// The product has no active rate plan, and the proxy does not forward unpriced calls.
    NoRatePlan,
    /// The developer has not subscribed to the product's rate plan.
    NoSubscription,
    /// The developer has no wallet in the plan's currency.
    NoWallet,
    /// The wallet does not cover the call.
    BalanceTooSmall,
    /// The developer pays later and owes as much as the provider's limit for the period allows.
    CreditLimitReached,
    /// The rate plan's last band has an end, and the period's units have reached it.
    BandExceeded,
    /// The wallet takes no more calls this second: its policy caps them.
    WalletRateExceeded,
    /// The key's caller is not in memory and could not be fetched.
    CallerUnknown,
    /// The wallet's balance is not in memory and could not be fetched.
    BalanceUnknown,
    /// The wallet's overspend policy is changing: not every gateway has acknowledged it.
    PolicyChanging,
    /// The newest snapshot of the wallet is older than the staleness limit.
    BalanceStale,
    /// The units of the call could not be recorded (the spend file is full or its disk is).
    MeterUnavailable,
    /// The upstream could not be reached, or closed before its response head.
    UpstreamUnreachable,
    /// The upstream's response head is not sound HTTP.
    UpstreamInvalid,
    /// Every connection to the upstream is in use.
    UpstreamSaturated,
    /// The upstream did not send its response head in time.
    UpstreamTooSlow,
}

/// When the same request may work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Never: the request itself must change.
    Changed,
    /// Once somebody has changed the key, the subscription or the wallet; also by waiting, where the budget is known to return.
    Provisioned,
    /// After this long, told in `Retry-After`.
    After(Duration),
}

/// Whether a call that ends this way costs money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charged {
    /// Its hold, where it had one, is released.
    No,
}

/// What the caller is told beside the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tells {
    /// Nothing.
    Kind,
    /// The wallet and what is known of it.
    Wallet,
    /// The same, and where to top up, which mends it.
    TopUp,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its name in configuration, logs and metrics.
    pub name: &'static str,
    /// Whether it costs money.
    pub charged: Charged,
    /// When to try again.
    pub retry: Retry,
    /// HTTP status where the proxy does not override it.
    pub status: u16,
    /// gRPC status for gRPC callers.
    pub grpc: u8,
    /// Apigee's error code.
    pub code: &'static str,
    /// Apigee's fault string.
    pub fault: &'static str,
    /// What it tells of the wallet.
    pub tells: Tells,
}

const SOON: Retry = Retry::After(Duration::from_secs(1));

// gRPC's status codes, by their names in the gRPC specification.
const INVALID_ARGUMENT: u8 = 3;
const DEADLINE_EXCEEDED: u8 = 4;
const PERMISSION_DENIED: u8 = 7;
const RESOURCE_EXHAUSTED: u8 = 8;
const FAILED_PRECONDITION: u8 = 9;
const UNIMPLEMENTED: u8 = 12;
const UNAVAILABLE: u8 = 14;
const UNAUTHENTICATED: u8 = 16;

const fn row(
    name: &'static str,
    retry: Retry,
    status: u16,
    grpc: u8,
    code: &'static str,
    fault: &'static str,
) -> Row {
    Row { name, charged: Charged::No, retry, status, grpc, code, fault, tells: Tells::Kind }
}

// === impl Row ===

impl Row {
    const fn tells(self, tells: Tells) -> Self {
        Self { tells, ..self }
    }
}

// === impl Refusal ===

impl Refusal {
    /// Every kind, in the order of the table.
    pub const ALL: [Self; 30] = [
        Self::BadRequest,
        Self::NoProxy,
        Self::MethodNotAllowed,
        Self::HeadTooLarge,
        Self::TargetTooLong,
        Self::BodyTooLarge,
        Self::RequestTooSlow,
        Self::ExpectationFailed,
        Self::TooManyCalls,
        Self::KeyMissing,
        Self::KeyUnknown,
        Self::KeyNotApproved,
        Self::DeveloperInactive,
        Self::NoApiProduct,
        Self::NoRatePlan,
        Self::NoSubscription,
        Self::NoWallet,
        Self::BalanceTooSmall,
        Self::CreditLimitReached,
        Self::BandExceeded,
        Self::WalletRateExceeded,
        Self::CallerUnknown,
        Self::BalanceUnknown,
        Self::PolicyChanging,
        Self::BalanceStale,
        Self::MeterUnavailable,
        Self::UpstreamUnreachable,
        Self::UpstreamInvalid,
        Self::UpstreamSaturated,
        Self::UpstreamTooSlow,
    ];

    /// The table. Codes and fault strings of keys and money are Apigee's; the rest are those of its message processor, or
    /// `tollgate.` where Apigee has none.
    #[rustfmt::skip]
    pub const fn row(self) -> Row {
        use Retry::{Changed, Provisioned};
        use Tells::{TopUp, Wallet};
        match self {
            Self::BadRequest          => row("bad_request", Changed, 400, INVALID_ARGUMENT, "protocol.http.BadFormData", "Bad request"),
            Self::NoProxy             => row("no_proxy", Changed, 404, UNIMPLEMENTED, "messaging.adaptors.http.flow.ApplicationNotFound", "Unable to identify proxy for host and url"),
            Self::MethodNotAllowed    => row("method_not_allowed", Changed, 405, UNIMPLEMENTED, "tollgate.gateway.MethodNotAllowed", "Method not allowed"),
            Self::HeadTooLarge        => row("head_too_large", Changed, 431, RESOURCE_EXHAUSTED, "protocol.http.TooBigHeaders", "request headers size exceeding the limit"),
            Self::TargetTooLong       => row("target_too_long", Changed, 414, RESOURCE_EXHAUSTED, "protocol.http.TooBigLine", "request line size exceeding the limit"),
            Self::BodyTooLarge        => row("body_too_large", Changed, 413, RESOURCE_EXHAUSTED, "protocol.http.TooBigBody", "Body buffer overflow"),
            Self::RequestTooSlow      => row("request_too_slow", SOON, 408, DEADLINE_EXCEEDED, "messaging.adaptors.http.flow.RequestTimeOut", "Request timed out"),
            Self::ExpectationFailed   => row("expectation_failed", Changed, 417, INVALID_ARGUMENT, "tollgate.gateway.ExpectationFailed", "Expectation failed"),
            Self::TooManyCalls        => row("too_many_calls", SOON, 503, UNAVAILABLE, "tollgate.gateway.TooManyCalls", "The gateway carries as many calls as it may"),
            Self::KeyMissing          => row("key_missing", Changed, 401, UNAUTHENTICATED, "oauth.v2.InvalidApiKey", "Invalid ApiKey"),
            Self::KeyUnknown          => row("key_unknown", Changed, 401, UNAUTHENTICATED, "oauth.v2.InvalidApiKey", "Invalid ApiKey"),
            Self::KeyNotApproved      => row("key_not_approved", Provisioned, 401, UNAUTHENTICATED, "oauth.v2.ApiKeyNotApproved", "API Key is not approved"),
            Self::DeveloperInactive   => row("developer_inactive", Provisioned, 401, UNAUTHENTICATED, "keymanagement.service.DeveloperStatusNotActive", "Developer Status is not Active"),
            Self::NoApiProduct        => row("no_api_product", Provisioned, 401, PERMISSION_DENIED, "keymanagement.service.InvalidAPICallAsNoApiProductMatchFound", "Invalid API call as no apiproduct match found"),
            Self::NoRatePlan          => row("no_rate_plan", Provisioned, 403, FAILED_PRECONDITION, "mint.service.rateplan_not_available", "No active rate plan for the API product"),
            Self::NoSubscription      => row("no_subscription", Provisioned, 403, FAILED_PRECONDITION, "mint.service.subscription_not_found_for_developer", "Subscription not found for developer"),
            Self::NoWallet            => row("no_wallet", Provisioned, 402, FAILED_PRECONDITION, "mint.service.wallet_not_found_for_developer", "Wallet not found for developer").tells(TopUp),
            Self::BalanceTooSmall     => row("balance_too_small", Provisioned, 402, RESOURCE_EXHAUSTED, "mint.service.developer_usage_exceeds_balance", "Developer usage exceeds balance").tells(TopUp),
            Self::CreditLimitReached  => row("credit_limit_reached", Provisioned, 402, RESOURCE_EXHAUSTED, "tollgate.gateway.CreditLimitReached", "Developer usage exceeds credit limit").tells(Wallet),
            Self::BandExceeded        => row("band_exceeded", Provisioned, 403, RESOURCE_EXHAUSTED, "mint.service.RATE_PLAN_RATE_BAND_EXCEEDED", "Units exceed the last band of the rate plan").tells(Wallet),
            Self::WalletRateExceeded  => row("wallet_rate_exceeded", SOON, 429, RESOURCE_EXHAUSTED, "policies.ratelimit.QuotaViolation", "Rate limit of the wallet exceeded").tells(Wallet),
            Self::CallerUnknown       => row("caller_unknown", SOON, 503, UNAVAILABLE, "tollgate.gateway.CallerUnknown", "The consumer key cannot be checked now"),
            Self::BalanceUnknown      => row("balance_unknown", SOON, 503, UNAVAILABLE, "tollgate.gateway.BalanceUnknown", "The balance is not known now").tells(Wallet),
            Self::PolicyChanging      => row("policy_changing", SOON, 503, UNAVAILABLE, "tollgate.gateway.PolicyChanging", "The overspend policy of the wallet is changing").tells(Wallet),
            Self::BalanceStale        => row("balance_stale", SOON, 503, UNAVAILABLE, "tollgate.gateway.BalanceStale", "The balance is not known well enough now").tells(Wallet),
            Self::MeterUnavailable    => row("meter_unavailable", SOON, 503, UNAVAILABLE, "tollgate.gateway.MeterUnavailable", "The call cannot be metered now").tells(Wallet),
            Self::UpstreamUnreachable => row("upstream_unreachable", SOON, 502, UNAVAILABLE, "messaging.adaptors.http.flow.ServiceUnavailable", "The Service is temporarily unavailable"),
            Self::UpstreamInvalid     => row("upstream_invalid", SOON, 502, UNAVAILABLE, "messaging.adaptors.http.flow.UnexpectedEOFAtTarget", "Unexpected EOF at target"),
            Self::UpstreamSaturated   => row("upstream_saturated", SOON, 503, UNAVAILABLE, "messaging.adaptors.http.flow.TargetConnectionsExhausted", "Every connection to the target is in use"),
            Self::UpstreamTooSlow     => row("upstream_too_slow", SOON, 504, DEADLINE_EXCEEDED, "messaging.adaptors.http.flow.GatewayTimeout", "Gateway Timeout"),
        }
    }

    /// The place of this kind in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// HTTP statuses that a proxy answers with instead of the table's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct StatusOverrides(pub BTreeMap<Refusal, u16>);

// === impl StatusOverrides ===

impl StatusOverrides {
    /// The HTTP status that answers `refusal`.
    pub fn status(&self, refusal: Refusal) -> http::StatusCode {
        let status = self.0.get(&refusal).copied().unwrap_or(refusal.row().status);
        http::StatusCode::from_u16(status)
            .expect("the table and the checked configuration hold statuses from 400 to 599")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_every_kind_in_its_place() {
        for (place, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal.index(), place, "{refusal:?}");
        }
    }

    #[test]
    fn names_are_those_of_the_configuration() {
        for refusal in Refusal::ALL {
            let name = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(
                refusal.row().name,
            );
            assert_eq!(Refusal::deserialize(name), Ok(refusal));
        }
    }

    #[test]
    fn statuses_are_errors_and_never_charged() {
        for refusal in Refusal::ALL {
            let row = refusal.row();
            assert!((400..600).contains(&row.status), "{refusal:?}");
            assert_eq!(row.charged, Charged::No, "{refusal:?}");
            assert!((1..=16).contains(&row.grpc), "{refusal:?}");
        }
    }
}
