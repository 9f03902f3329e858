//! What a `CHARGE` is about: how many units it is, whether they may be moved, and what the meter of
//! its line has counted so far.

use std::collections::BTreeMap;

use tollgate_ledger_store::book::Standing;
use tollgate_ledger_store::catalogue::records::{App, Attribute, Developer, Product};
use tollgate_metering::rating::RatingError;
use tollgate_metering::{Meter, Period, PlanId, ProductId, Units, UnixMillis};

use super::decimal;
use super::error::MintError;
use crate::error::ApiError;

/// The attribute of products and plans that defines a custom attribute, up to its number.
const CUSTOM_ATTRIBUTE: &str = "MINT_CUSTOM_ATTRIBUTE_";

/// Usage that is moved here.
pub(super) struct Use<'a> {
    pub(super) app: &'a App,
    pub(super) owner: &'a Developer,
    pub(super) product: &'a Product,
    pub(super) batch_size: u64,
    pub(super) custom: BTreeMap<u8, Units>,
}

// === impl Use ===

impl Use<'_> {
    /// What the journal says of it, which tells a repetition from another transaction.
    pub(super) fn reason(&self, units: Units) -> String {
        let (product, app) = (&self.product.name, &self.app.name);
        let mut reason = format!("{units} units of {product} moved by app {app}: ");
        reason.push_str(&format!("batchSize {}", self.batch_size));
        for (number, value) in &self.custom {
            reason.push_str(&format!(", custAtt{number} {value}"));
        }
        reason
    }

    /// Batch size × the custom attribute that the plan rates by or, where it names none, the one
    /// that is given.
    pub(super) fn units(&self, rated_by: Option<&str>) -> Result<Units, ApiError> {
        for number in self.custom.keys() {
            if !is_defined(self.product, rated_by, *number) {
                let reason = format!(
                    "{CUSTOM_ATTRIBUTE}{number} is defined neither on API product {} nor on the \
                     rate plan",
                    self.product.name
                );
                return Err(ApiError::invalid(format!("custAtt{number}"), reason));
            }
        }
        let rated =
            rated_by.and_then(|name| name.strip_prefix(CUSTOM_ATTRIBUTE)?.parse::<u8>().ok());
        let factor = match rated {
            Some(number) => self.custom.get(&number).copied(),
            None => match self.custom.len() {
                0 | 1 => self.custom.values().next().copied(),
                _ => {
                    let reason = "is one of several, and the rate plan names none to rate by";
                    let number = self.custom.keys().next_back().copied().unwrap_or_default();
                    return Err(ApiError::invalid(format!("custAtt{number}"), reason));
                }
            },
        };
        decimal::times(self.batch_size, factor.unwrap_or(Units::ONE), "batchSize")
    }

    /// What force skips besides the balance.
    pub(super) fn check(&self, organization: &str) -> Result<(), ApiError> {
        if !self.owner.is_active {
            return Err(MintError::Inactive(self.owner.email.clone()).into());
        }
        let mut on_keys = self.app.credentials.iter().flat_map(|key| &key.products);
        if !on_keys.any(|on| on.product == self.product.id) {
            let reason = format!(
                "{} is on no key of app {} in {organization}",
                self.product.name, self.app.name
            );
            return Err(ApiError::invalid("product", reason));
        }
        Ok(())
    }
}

/// Whether a custom attribute is an attribute of the product, is named by one of its recording
/// policies, or is what the plan rates by.
fn is_defined(product: &Product, rated_by: Option<&str>, number: u8) -> bool {
    let name = format!("{CUSTOM_ATTRIBUTE}{number}");
    // Quoted, so that 1 is not found in 10.
    let quoted = format!("\"{name}\"");
    let is_it = |attribute: &Attribute| {
        attribute.name == name
            || (attribute.name == "transactionRecordingPolicies"
                && attribute.value.contains(&quoted))
    };
    rated_by == Some(name.as_str()) || product.terms.attributes.iter().any(is_it)
}

/// Units that a wallet's meters have counted under a plan in the current period.
pub(super) fn counted(
    standing: &Standing,
    product: ProductId,
    plan: PlanId,
    now: UnixMillis,
) -> Result<Units, ApiError> {
    let period = Period::of(now);
    let is_of_line = |meter: &Meter| {
        let is_of_plan = meter.product == product && meter.plan == plan;
        is_of_plan && meter.period == period && !meter.billing.is_shadow()
    };
    let read = &standing.read;
    let counted = read.account.units(&read.registers, |_| false).map_err(out_of_range)?;
    let of_line = counted.iter().filter(|(meter, _)| is_of_line(meter));
    of_line
        .map(|(_, units)| *units)
        .try_fold(Units::ZERO, Units::plus)
        .map_err(|error| out_of_range(error.into()))
}

/// Units that no meter can hold.
pub(super) fn out_of_range(_: RatingError) -> ApiError {
    ApiError::invalid("batchSize", "the units are out of range")
}
