//! What travels on several of Edge's paths.

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::records::Developer;
use tollgate_metering::Currency;

use super::decimal::Number;

/// Something that is named by its id; whatever else is sent of it is not looked at.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
pub(crate) struct Reference {
    pub(crate) id: String,
}

/// The same in an answer.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Named {
    pub(crate) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) display_name: Option<String>,
}

/// A currency.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CurrencyShape {
    id: String,
    name: String,
    display_name: String,
    status: &'static str,
    virtual_currency: bool,
}

/// A developer as Edge's paths show one.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeveloperShape {
    id: String,
    email: String,
    name: String,
    legal_name: String,
    first_name: String,
    last_name: String,
    status: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    billing_type: &'static str,
}

/// A transaction.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TransactionShape {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) batch_size: Option<Number>,
    /// Units, that is, batch size × custom attribute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rated_volume: Option<Number>,
    /// Money of a fee or credit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<Number>,
    #[serde(flatten)]
    pub(crate) custom: std::collections::BTreeMap<String, Number>,
    pub(crate) currency: CurrencyShape,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) application: Option<Named>,
    pub(crate) developer: DeveloperShape,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) product: Option<Named>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate_plan: Option<Named>,
    pub(crate) is_virtual_currency: bool,
    pub(crate) start_time: String,
    pub(crate) end_time: String,
    pub(crate) utc_start_time: String,
    pub(crate) utc_end_time: String,
    /// Why, and that it was forced.
    pub(crate) notes: String,
}

// === impl Named ===

impl Named {
    pub(crate) fn id(id: impl ToString) -> Named {
        Named { id: id.to_string(), name: None, display_name: None }
    }

    pub(crate) fn of(id: impl ToString, name: &str) -> Named {
        let name = Some(name.to_owned());
        Named { id: id.to_string(), display_name: name.clone(), name }
    }
}

// === impl CurrencyShape ===

impl CurrencyShape {
    pub(crate) fn of(currency: Currency) -> CurrencyShape {
        let code = currency.to_string();
        CurrencyShape {
            id: code.to_ascii_lowercase(),
            name: code.clone(),
            display_name: code,
            status: "ACTIVE",
            virtual_currency: false,
        }
    }
}

// === impl DeveloperShape ===

impl DeveloperShape {
    pub(crate) fn of(developer: &Developer) -> DeveloperShape {
        let named = |name: &str| {
            let found = developer.attributes.iter().find(|attribute| attribute.name == name);
            found.map(|attribute| attribute.value.clone())
        };
        let name = format!("{} {}", developer.first_name, developer.last_name);
        DeveloperShape {
            id: developer.id.to_string(),
            email: developer.email.clone(),
            legal_name: named("MINT_DEVELOPER_LEGAL_NAME").unwrap_or_else(|| name.clone()),
            name,
            first_name: developer.first_name.clone(),
            last_name: developer.last_name.clone(),
            status: if developer.is_active { "ACTIVE" } else { "INACTIVE" },
            kind: "TRUSTED",
            billing_type: match developer.billing {
                tollgate_metering::BillingType::Prepaid => "PREPAID",
                tollgate_metering::BillingType::Postpaid => "POSTPAID",
                // No developer has one of these.
                tollgate_metering::BillingType::Shadow
                | tollgate_metering::BillingType::ShadowRefused => "BILLING_TYPE_UNSPECIFIED",
            },
        }
    }
}
