//! Subscriptions.

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::Window;
use tollgate_ledger_store::catalogue::records::Subscription;
use tollgate_metering::UnixMillis;

use super::{ReadOnly, millis};
use crate::error::ApiError;
use crate::number;

/// A subscription in a request.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[schemars(extend("required" = ["apiproduct"]))]
pub(crate) struct SubscriptionInput {
    apiproduct: Option<String>,
    #[serde(deserialize_with = "number::int64")]
    #[schemars(with = "crate::openapi::Int64Input")]
    start_time: Option<i64>,
    #[serde(deserialize_with = "number::int64")]
    #[schemars(with = "crate::openapi::Int64Input")]
    end_time: Option<i64>,
    #[serde(rename = "name")]
    _name: ReadOnly,
    #[serde(rename = "createdAt")]
    _created_at: ReadOnly,
    #[serde(rename = "lastModifiedAt")]
    _last_modified_at: ReadOnly,
}

/// A subscription in a response.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubscriptionShape {
    name: String,
    apiproduct: String,
    #[schemars(with = "crate::openapi::Int64Text")]
    start_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::openapi::Int64Text>")]
    end_time: Option<String>,
    #[schemars(with = "crate::openapi::Int64Text")]
    created_at: String,
    #[schemars(with = "crate::openapi::Int64Text")]
    last_modified_at: String,
}

/// `{"developerSubscriptions":[…],"nextStartKey":…}`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubscriptionList {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) developer_subscriptions: Vec<SubscriptionShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_start_key: Option<String>,
}

// === impl SubscriptionInput ===

impl SubscriptionInput {
    /// Without times, where those are the server's.
    pub(crate) fn starting_now(self) -> SubscriptionInput {
        SubscriptionInput { start_time: None, end_time: None, ..self }
    }

    /// The product that is bought, and when; from now on where nothing else is said.
    pub(crate) fn terms(self, now: UnixMillis) -> Result<(String, Window), ApiError> {
        let product = self.apiproduct.filter(|name| !name.is_empty());
        let product = product.ok_or_else(|| ApiError::invalid("apiproduct", "is required"))?;
        let start = self.start_time.filter(|time| *time != 0).map_or(now, UnixMillis);
        if start.0 < 0 {
            return Err(ApiError::invalid("startTime", "lies before 1970"));
        }
        let end = self.end_time.filter(|time| *time != 0).map(UnixMillis);
        Ok((product, Window { start, end }))
    }
}

// === impl SubscriptionShape ===

impl SubscriptionShape {
    pub(crate) fn of(subscription: &Subscription) -> SubscriptionShape {
        SubscriptionShape {
            name: subscription.id.to_string(),
            apiproduct: subscription.product_name.clone(),
            start_time: millis(subscription.window.start),
            end_time: subscription.window.end.map(millis),
            created_at: millis(subscription.created_at),
            last_modified_at: millis(subscription.modified_at),
        }
    }
}
