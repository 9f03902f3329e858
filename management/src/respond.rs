//! The one place where errors become responses, in Google's shape:
//! `{"error":{"code","message","status","details"}}`.
//!
//! Apigee puts its own code into `details[0].violations[0].type`, where its clients look for it.
//! The client gets kind and short text; the log gets the chain of causes.

use std::error::Error;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tollgate_billing::BillingError;
use tollgate_billing::connector::ConnectorError;
use tollgate_billing::stripe::StripeError;
use tollgate_ledger_store::catalogue::error::What;
use tollgate_ledger_store::{CatalogueError, LedgerError};

use crate::auth::Unidentified;
use crate::error::ApiError;
use crate::mint;

/// HTTP status, google.rpc.Code and Apigee's code of an error.
struct Kind {
    http: StatusCode,
    status: &'static str,
    /// Apigee's code, where it has one or its clients need one.
    reason: Option<&'static str>,
    /// When to ask again, in seconds, where that helps.
    retry_after: Option<u8>,
}

const fn kind(http: StatusCode, status: &'static str, reason: Option<&'static str>) -> Kind {
    Kind { http, status, reason, retry_after: None }
}

const fn retried(http: StatusCode, status: &'static str, reason: Option<&'static str>) -> Kind {
    Kind { http, status, reason, retry_after: Some(1) }
}

// === impl ApiError ===

impl ApiError {
    /// The table: every error and how it looks.
    fn kind(&self) -> Kind {
        use StatusCode as Http;
        match self {
            ApiError::Unauthenticated { why, .. } => match why.as_ref() {
                Unidentified::Unavailable(_) => retried(
                    Http::SERVICE_UNAVAILABLE,
                    "UNAVAILABLE",
                    Some("tollgate.ledger.unavailable"),
                ),
                Unidentified::None
                | Unidentified::Malformed
                | Unidentified::Unknown
                | Unidentified::Expired { .. }
                | Unidentified::Refused(_) => kind(Http::UNAUTHORIZED, "UNAUTHENTICATED", None),
            },
            ApiError::Forbidden { .. } => kind(Http::FORBIDDEN, "PERMISSION_DENIED", None),
            ApiError::Unaudited(_) => retried(
                Http::SERVICE_UNAVAILABLE,
                "UNAVAILABLE",
                Some("tollgate.ledger.unavailable"),
            ),
            ApiError::NoSuchPath => kind(Http::NOT_FOUND, "NOT_FOUND", None),
            ApiError::Method => kind(Http::METHOD_NOT_ALLOWED, "UNIMPLEMENTED", None),
            ApiError::TooLarge { .. } => kind(Http::PAYLOAD_TOO_LARGE, "INVALID_ARGUMENT", None),
            ApiError::Body(_)
            | ApiError::Query { .. }
            | ApiError::Invalid { .. }
            | ApiError::TooMuch { .. } => kind(Http::BAD_REQUEST, "INVALID_ARGUMENT", None),
            ApiError::OutOfRange { .. } => kind(Http::BAD_REQUEST, "OUT_OF_RANGE", None),
            ApiError::Booking(_) | ApiError::Standing(_) => {
                kind(Http::INTERNAL_SERVER_ERROR, "INTERNAL", None)
            }
            ApiError::BalanceTooSmall { .. } => precondition(BALANCE_TOO_SMALL),
            ApiError::NoWallet { .. } => precondition(NO_WALLET),
            ApiError::Sealed => precondition("tollgate.wallet.sealed"),
            ApiError::AboveCap { .. } => precondition("tollgate.adjustment.above_last_credit"),
            ApiError::Reserved { .. } => precondition("tollgate.wallet.reserved"),
            ApiError::SwitchOpen { .. } => precondition("tollgate.developer.switch_open"),
            ApiError::ModeChanging => {
                retried(Http::CONFLICT, "ABORTED", Some("tollgate.wallet.policy_changing"))
            }
            ApiError::Duplicate { .. } => {
                kind(Http::CONFLICT, "ALREADY_EXISTS", Some("tollgate.transaction.duplicate_id"))
            }
            ApiError::Unknown { .. } => {
                let reason = Some("tollgate.ledger.outcome_unknown");
                retried(Http::SERVICE_UNAVAILABLE, "UNAVAILABLE", reason)
            }
            ApiError::Timeout => kind(Http::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED", None),
            ApiError::Mint(refused) => {
                let (http, code) = refused.kind();
                kind(http, "FAILED_PRECONDITION", Some(code))
            }
            ApiError::BillingOff => precondition("tollgate.billing.not_enabled"),
            ApiError::Billing(error) => billing_kind(error),
            ApiError::Catalogue(error) => catalogue_kind(error),
        }
    }

    fn body(&self, kind: &Kind) -> Value {
        let message = self.public_message();
        let mut error = json!({
            "code": kind.http.as_u16(),
            "message": message,
            "status": kind.status,
        });
        if let Some(reason) = kind.reason {
            error["details"] = json!([{
                "@type": "type.googleapis.com/google.rpc.PreconditionFailure",
                "violations": [{ "type": reason, "subject": "", "description": message }],
            }]);
        }
        if let Some(info) = self.missing_permission() {
            error["details"] = json!([info]);
        }
        json!({ "error": error })
    }

    /// What is missing, as Google's clients read it.
    fn missing_permission(&self) -> Option<Value> {
        let (reason, metadata) =
            if let ApiError::Forbidden { permission, identity, organization } = self {
                let metadata = json!({
                    "permission": permission.as_str(),
                    "role": identity.role.as_str(),
                    "token": identity.name,
                    "organization": organization.as_deref().unwrap_or_default(),
                });
                ("IAM_PERMISSION_DENIED", metadata)
            } else if let ApiError::Unauthenticated { permission: Some(permission), why } = self
                && !matches!(why.as_ref(), Unidentified::Unavailable(_))
            {
                ("CREDENTIALS_MISSING", json!({ "permission": permission.as_str() }))
            } else {
                return None;
            };
        Some(json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": reason,
            "domain": "tollgate",
            "metadata": metadata,
        }))
    }

    /// What the client is told: causes inside the ledger are for the log.
    pub(crate) fn public_message(&self) -> String {
        match self {
            ApiError::Catalogue(CatalogueError::Ledger(LedgerError::Corrupt { what, .. })) => {
                format!("ledger holds {what} that cannot be read: see the log")
            }
            other => other.to_string(),
        }
    }
}

const BALANCE_TOO_SMALL: &str = "mint.service.developer_usage_exceeds_balance";
const NO_WALLET: &str = "keymanagement.service.developer_wallet_does_not_exist";

const fn precondition(reason: &'static str) -> Kind {
    kind(StatusCode::BAD_REQUEST, "FAILED_PRECONDITION", Some(reason))
}

fn catalogue_kind(error: &CatalogueError) -> Kind {
    use StatusCode as Http;
    match error {
        CatalogueError::Missing { what, .. } => {
            kind(Http::NOT_FOUND, "NOT_FOUND", Some(missing_reason(*what)))
        }
        CatalogueError::Exists { what, .. } => {
            kind(Http::CONFLICT, "ALREADY_EXISTS", Some(exists_reason(*what)))
        }
        CatalogueError::Invalid { .. } => kind(Http::BAD_REQUEST, "INVALID_ARGUMENT", None),
        CatalogueError::Precondition(_) => kind(Http::BAD_REQUEST, "FAILED_PRECONDITION", None),
        CatalogueError::Contended { .. } => retried(Http::CONFLICT, "ABORTED", None),
        CatalogueError::Ledger(error) => ledger_kind(error),
    }
}

fn billing_kind(error: &BillingError) -> Kind {
    use StatusCode as Http;
    match error {
        BillingError::Missing { .. } => {
            kind(Http::NOT_FOUND, "NOT_FOUND", Some("tollgate.billing.does_not_exist"))
        }
        BillingError::Exists { .. } => {
            kind(Http::CONFLICT, "ALREADY_EXISTS", Some("tollgate.billing.already_exists"))
        }
        BillingError::Invalid { .. } | BillingError::Amount(_) => {
            kind(Http::BAD_REQUEST, "INVALID_ARGUMENT", None)
        }
        BillingError::Signature(_) => {
            kind(Http::BAD_REQUEST, "INVALID_ARGUMENT", Some("tollgate.stripe.signature"))
        }
        BillingError::Precondition(_) => kind(Http::BAD_REQUEST, "FAILED_PRECONDITION", None),
        BillingError::Contended { .. } => retried(Http::CONFLICT, "ABORTED", None),
        BillingError::Stripe(error) => stripe_kind(error),
        BillingError::Connector(error) => connector_kind(error),
        BillingError::Vault(_) => kind(
            Http::INTERNAL_SERVER_ERROR,
            "INTERNAL",
            Some("tollgate.billing.secret_unreadable"),
        ),
        BillingError::Book(_) | BillingError::Rating(_) => {
            kind(Http::INTERNAL_SERVER_ERROR, "INTERNAL", None)
        }
        BillingError::Catalogue(error) => catalogue_kind(error),
        BillingError::Ledger(error) => ledger_kind(error),
    }
}

fn stripe_kind(error: &StripeError) -> Kind {
    use StatusCode as Http;
    match error {
        StripeError::Unreachable(_) => {
            retried(Http::SERVICE_UNAVAILABLE, "UNAVAILABLE", Some("tollgate.stripe.unreachable"))
        }
        StripeError::Lost(_) | StripeError::Failed(_) => {
            let reason = Some("tollgate.stripe.outcome_unknown");
            retried(Http::SERVICE_UNAVAILABLE, "UNAVAILABLE", reason)
        }
        StripeError::Busy(_) => {
            retried(Http::SERVICE_UNAVAILABLE, "UNAVAILABLE", Some("tollgate.stripe.busy"))
        }
        StripeError::Unauthorized(_) | StripeError::Forbidden(_) => {
            precondition("tollgate.stripe.key_refused")
        }
        StripeError::Declined(_) => precondition("tollgate.stripe.payment_failed"),
        StripeError::Missing(_) => precondition("tollgate.stripe.no_such_object"),
        StripeError::Reused(_) | StripeError::Invalid(_) => {
            kind(Http::BAD_REQUEST, "INVALID_ARGUMENT", Some("tollgate.stripe.refused"))
        }
    }
}

fn connector_kind(error: &ConnectorError) -> Kind {
    use StatusCode as Http;
    match error {
        ConnectorError::Operation { .. } => kind(
            Http::BAD_REQUEST,
            "INVALID_ARGUMENT",
            Some("tollgate.connector.no_such_operation"),
        ),
        ConnectorError::Throttled { .. } => retried(
            Http::TOO_MANY_REQUESTS,
            "RESOURCE_EXHAUSTED",
            Some("tollgate.connector.throttled"),
        ),
        ConnectorError::ServiceDisabled { .. } => {
            kind(Http::FORBIDDEN, "PERMISSION_DENIED", Some("SERVICE_DISABLED"))
        }
        ConnectorError::RoleMissing { .. } => {
            kind(Http::FORBIDDEN, "PERMISSION_DENIED", Some("IAM_PERMISSION_DENIED"))
        }
        ConnectorError::SecretHidden(_) => {
            kind(Http::FORBIDDEN, "PERMISSION_DENIED", Some("tollgate.connector.secret_hidden"))
        }
        ConnectorError::Part { .. } => {
            kind(Http::CONFLICT, "ABORTED", Some("tollgate.connector.partly_done"))
        }
    }
}

fn ledger_kind(error: &LedgerError) -> Kind {
    use StatusCode as Http;
    match error {
        LedgerError::Unavailable { .. } | LedgerError::Generation { .. } => {
            retried(Http::SERVICE_UNAVAILABLE, "UNAVAILABLE", Some("tollgate.ledger.unavailable"))
        }
        LedgerError::Unknown { .. } => {
            let reason = Some("tollgate.ledger.outcome_unknown");
            retried(Http::SERVICE_UNAVAILABLE, "UNAVAILABLE", reason)
        }
        LedgerError::Corrupt { .. } | LedgerError::NotOurs { .. } => {
            kind(Http::INTERNAL_SERVER_ERROR, "INTERNAL", None)
        }
    }
}

const fn missing_reason(what: What) -> &'static str {
    match what {
        What::Organization => "organizations.OrganizationDoesNotExist",
        What::Developer => "developer.service.DeveloperIdDoesNotExist",
        What::App => "developer.service.AppDoesNotExist",
        What::Key => "keymanagement.service.InvalidClientIdForGivenApp",
        What::Product => "keymanagement.service.ApiProductDoesNotExist",
        What::RatePlan => "mint.service.rateplan_does_not_exist",
        What::Package => "mint.service.package_does_not_exist",
        What::Subscription => "mint.service.subscription_does_not_exist",
        What::Attribute => "organizations.keymanagement.AttributeDoesNotExist",
        What::AppGroup => "appgroup.service.AppGroupDoesNotExist",
        What::Token => "tollgate.token.does_not_exist",
    }
}

const fn exists_reason(what: What) -> &'static str {
    match what {
        What::Organization => "organizations.OrganizationAlreadyExists",
        What::Developer => "developer.service.DeveloperAlreadyExists",
        What::App => "developer.service.AppAlreadyExists",
        What::Key => "keymanagement.service.ConsumerKeyAlreadyExists",
        What::Product => "keymanagement.service.ApiProductAlreadyExists",
        What::RatePlan => "mint.service.rateplan_already_exists",
        What::Package => "mint.service.package_already_exists",
        What::Subscription => "mint.service.subscription_already_exists",
        What::Attribute => "organizations.keymanagement.AttributeAlreadyExists",
        What::AppGroup => "appgroup.service.AppGroupAlreadyExists",
        What::Token => "tollgate.token.already_exists",
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let kind = self.kind();
        if kind.http.is_server_error() {
            tracing::error!(status = kind.status, error = %chain(&self), "request failed");
        } else {
            tracing::debug!(status = kind.status, error = %chain(&self), "request refused");
        }
        let mut response = json_response(kind.http, &self.body(&kind));
        response.extensions_mut().insert(mint::error::told(&self));
        let headers = response.headers_mut();
        if kind.http == StatusCode::UNAUTHORIZED {
            for scheme in ["Bearer realm=\"tollgate\"", "Basic realm=\"tollgate\""] {
                headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
            }
        }
        if let Some(seconds) = kind.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(u16::from(seconds)));
        }
        response
    }
}

/// A JSON answer.
pub(crate) fn json_response<T: serde::Serialize>(status: StatusCode, value: &T) -> Response {
    let body = serde_json::to_vec_pretty(value).expect("shapes have string keys and no NaN");
    let headers: [(HeaderName, &str); 2] = [
        (header::CONTENT_TYPE, "application/json; charset=UTF-8"),
        // Answers hold balances and keys.
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body).into_response()
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
