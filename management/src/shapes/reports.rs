//! Reports and statements: the same lines as JSON and as CSV. Amounts are exact decimals.

use axum::response::Response;
use serde::{Deserialize, Serialize};
use tollgate_metering::{BillingType, Money};

use super::csv::{Csv, Field};
use super::plans::PlanInput;

/// Nobody is known to have used these units.
pub(crate) const UNATTRIBUTED: &str = "unattributed";

/// One line. What it is not grouped by is left out.
#[derive(Clone, Debug, Default, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LineShape {
    /// `usage`, `late`, `rebanded`, `credit`, `adjustment`, `fee`, `conversion`.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) currency_code: String,
    pub(crate) billing_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) developer: Option<String>,
    /// `unattributed` where nobody is known to have used the units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) app: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) product: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate_plan: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<u32>,
    /// The billing period that units were counted on: `2026-11`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) period: Option<String>,
    /// `2026-11-30`, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) day: Option<String>,
    /// The id of an entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// Who booked it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) units: Option<String>,
    /// As booked or charged.
    pub(crate) amount: String,
    /// What it did to the prepaid balance.
    pub(crate) balance_change: String,
}

/// Sums of one currency over the lines of an answer.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TotalShape {
    pub(crate) currency_code: String,
    /// What prepaid calls cost, without what was late.
    pub(crate) charges: String,
    /// What late units cost, and what they changed of others.
    pub(crate) late_charges: String,
    /// What postpaid calls cost, all of it.
    pub(crate) postpaid_charges: String,
    /// What calls and fees in shadow mode would have cost: nobody pays it.
    pub(crate) shadow_charges: String,
    /// Units of calls in shadow mode that would have been refused.
    pub(crate) shadow_refused_units: String,
    /// What all lines did to the prepaid balances.
    pub(crate) balance_change: String,
}

/// `GET …/reports/charges`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChargesReport {
    /// The first day.
    pub(crate) from: String,
    /// The first day after it.
    pub(crate) to: String,
    pub(crate) lines: Vec<LineShape>,
    pub(crate) totals: Vec<TotalShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_start_key: Option<String>,
}

/// `GET …/statements/{currency}`: opening, lines and closing add up.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Statement {
    pub(crate) developer: String,
    pub(crate) currency_code: String,
    pub(crate) from: String,
    pub(crate) to: String,
    /// The balance before the first day.
    pub(crate) opening: String,
    pub(crate) lines: Vec<LineShape>,
    #[serde(flatten)]
    pub(crate) sums: StatementSums,
    /// The balance after the last day: the ledger's, where that is not over.
    pub(crate) closing: String,
}

/// What the lines of a statement add up to, as each did to the balance.
#[derive(Debug, Default, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatementSums {
    pub(crate) credits: String,
    pub(crate) adjustments: String,
    pub(crate) fees: String,
    /// What switches of the billing type took out of the balance.
    pub(crate) conversions: String,
    pub(crate) charges: String,
    pub(crate) late_charges: String,
    /// Apart from the balance.
    pub(crate) postpaid_charges: String,
    /// What calls and fees in shadow mode would have cost: nobody pays it.
    pub(crate) shadow_charges: String,
    /// Units of calls in shadow mode that would have been refused.
    pub(crate) shadow_refused_units: String,
}

/// `GET …/explain/{currency}`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Explained {
    pub(crate) developer: String,
    pub(crate) currency_code: String,
    pub(crate) charges: Vec<ExplainedCharge>,
}

/// Plan revision × units × bands.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExplainedCharge {
    pub(crate) product: String,
    pub(crate) rate_plan: String,
    pub(crate) revision: u32,
    pub(crate) billing_type: &'static str,
    pub(crate) period: String,
    /// Units of earlier revisions, on which these go on.
    pub(crate) units_before: String,
    pub(crate) units: String,
    pub(crate) bands: Vec<ExplainedBand>,
    /// What rounding to nanos added.
    pub(crate) rounding: String,
    pub(crate) charge: String,
}

/// The part of the units that one band prices, or what else a charge is made of.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExplainedBand {
    /// What its units are: `free`, `band 1`, `step 1`, `tier 1`, `discounted in tier 2` or
    /// `charged before`; `closed otherwise` is what a closed month was charged otherwise.
    pub(crate) part: String,
    pub(crate) units: String,
    /// Of one unit or, of a step, of all.
    pub(crate) price: String,
    /// Exact, before it is rounded.
    pub(crate) amount: String,
}

/// `POST …/reprice/{currency}`: one of both.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct RepriceInput {
    /// The product whose usage is priced; absent: all of it.
    pub(crate) product: Option<String>,
    /// A plan that there is, at its newest prices.
    pub(crate) rate_plan: Option<RepricePlan>,
    /// A plan as one would be made; of it only the prices count.
    pub(crate) plan: Option<PlanInput>,
}

/// Names a rate plan.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct RepricePlan {
    pub(crate) apiproduct: String,
    pub(crate) name: String,
}

/// What usage would have cost.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Repriced {
    pub(crate) developer: String,
    pub(crate) currency_code: String,
    pub(crate) lines: Vec<RepricedLine>,
    pub(crate) charge: String,
    pub(crate) repriced: String,
    /// `repriced` less `charge`.
    pub(crate) difference: String,
}

/// The usage of one product in one period.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RepricedLine {
    pub(crate) product: String,
    pub(crate) billing_type: &'static str,
    pub(crate) period: String,
    pub(crate) units: String,
    pub(crate) charge: String,
    /// How the other plan prices the units.
    pub(crate) bands: Vec<ExplainedBand>,
    /// What rounding to nanos added to its charge.
    pub(crate) rounding: String,
    pub(crate) repriced: String,
    pub(crate) difference: String,
}

/// Names of the columns, in their order.
const COLUMNS: [&str; 16] = [
    "type",
    "currencyCode",
    "billingType",
    "developer",
    "app",
    "product",
    "ratePlan",
    "revision",
    "period",
    "day",
    "id",
    "by",
    "reason",
    "units",
    "amount",
    "balanceChange",
];

/// The word of a billing type.
pub(crate) const fn billing(billing: BillingType) -> &'static str {
    match billing {
        BillingType::Prepaid => "PREPAID",
        BillingType::Postpaid => "POSTPAID",
        BillingType::Shadow => "SHADOW",
        BillingType::ShadowRefused => "SHADOW_REFUSED",
    }
}

// === impl LineShape ===

impl LineShape {
    fn fields(&self) -> [Field; 16] {
        let text = |text: &Option<String>| Field::Text(text.clone().unwrap_or_default());
        let revision = self.revision.map(|revision| revision.to_string());
        [
            Field::Text(self.kind.to_owned()),
            Field::Text(self.currency_code.clone()),
            Field::Text(self.billing_type.to_owned()),
            text(&self.developer),
            text(&self.app),
            text(&self.product),
            text(&self.rate_plan),
            Field::Number(revision.unwrap_or_default()),
            text(&self.period),
            text(&self.day),
            text(&self.id),
            text(&self.by),
            text(&self.reason),
            Field::Number(self.units.clone().unwrap_or_default()),
            Field::Number(self.amount.clone()),
            Field::Number(self.balance_change.clone()),
        ]
    }
}

// === impl ChargesReport ===

impl ChargesReport {
    pub(crate) fn into_csv(self) -> Response {
        let mut csv = Csv::headed(&COLUMNS);
        self.lines.iter().for_each(|line| csv.line(line.fields()));
        csv.into_answer()
    }
}

// === impl Statement ===

impl Statement {
    /// The lines between one for the opening balance and one for the closing.
    pub(crate) fn into_csv(self) -> Response {
        let mut csv = Csv::headed(&COLUMNS);
        let edge = |kind, day: &str, balance: &str| LineShape {
            kind,
            currency_code: self.currency_code.clone(),
            billing_type: billing(BillingType::Prepaid),
            day: Some(day.to_owned()),
            amount: balance.to_owned(),
            balance_change: Money::ZERO.to_string(),
            ..LineShape::default()
        };
        csv.line(edge("opening", &self.from, &self.opening).fields());
        self.lines.iter().for_each(|line| csv.line(line.fields()));
        csv.line(edge("closing", &self.to, &self.closing).fields());
        csv.into_answer()
    }
}
