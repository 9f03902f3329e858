//! Revenue shares of rate plans: percentages with at most two decimals, kept in hundredths.

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::records::{ShareBand, ShareType};

use crate::error::ApiError;
use crate::number;

/// A band of a revenue share in a request.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct ShareInput {
    #[serde(deserialize_with = "number::int64")]
    #[schemars(with = "crate::openapi::Int64Input")]
    start: Option<i64>,
    #[serde(deserialize_with = "number::int64")]
    #[schemars(with = "crate::openapi::Int64Input")]
    end: Option<i64>,
    #[serde(deserialize_with = "number::hundredths")]
    #[schemars(with = "Option<Percentage>")]
    share_percentage: Option<u32>,
}

/// A percentage, as JSON writes it.
#[derive(schemars::JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "it describes what `number::hundredths` reads")]
enum Percentage {
    Number(f64),
    Text(String),
}

/// A band of a revenue share in a response.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShareShape {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::openapi::Int64Text>")]
    start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::openapi::Int64Text>")]
    end: Option<String>,
    #[schemars(with = "f64")]
    share_percentage: serde_json::Value,
}

/// Reads the type of a revenue share.
pub(crate) fn share_type(word: Option<&str>) -> Result<Option<ShareType>, ApiError> {
    match word {
        None | Some("REVENUE_SHARE_TYPE_UNSPECIFIED") => Ok(None),
        Some("FIXED") => Ok(Some(ShareType::Fixed)),
        Some("VOLUME_BANDED") => Ok(Some(ShareType::VolumeBanded)),
        Some(other) => {
            let reason = format!("{other:?} is not a revenue share type");
            Err(ApiError::invalid("revenueShareType", reason))
        }
    }
}

/// The word of a type.
pub(crate) fn share_word(share: ShareType) -> &'static str {
    match share {
        ShareType::Fixed => "FIXED",
        ShareType::VolumeBanded => "VOLUME_BANDED",
    }
}

/// Reads the bands of a revenue share.
pub(crate) fn bands(given: Vec<ShareInput>) -> Result<Vec<ShareBand>, ApiError> {
    let band = |(index, share): (usize, ShareInput)| {
        let field = format!("revenueShareRates[{index}].sharePercentage");
        let missing = || ApiError::invalid(field, "is required");
        Ok(ShareBand {
            start: share.start.filter(|start| *start != 0),
            end: share.end.filter(|end| *end != 0),
            hundredths: share.share_percentage.ok_or_else(missing)?,
        })
    };
    given.into_iter().enumerate().map(band).collect()
}

// === impl ShareShape ===

impl ShareShape {
    pub(crate) fn of(band: &ShareBand) -> ShareShape {
        // Read back from text: the nearest double of two decimals is written as these two decimals.
        let percentage = format!("{}.{:02}", band.hundredths / 100, band.hundredths % 100);
        let whole = band.hundredths.is_multiple_of(100).then(|| (band.hundredths / 100).into());
        let number = || serde_json::from_str(&percentage).expect("digits and a point are a number");
        ShareShape {
            start: band.start.map(|start| start.to_string()),
            end: band.end.map(|end| end.to_string()),
            share_percentage: whole.unwrap_or_else(number),
        }
    }
}
