//! Bearer tokens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::tokens::{NewToken, TokenRecord, TokenTerms};
use tollgate_metering::UnixMillis;

use super::millis;
use crate::error::ApiError;
use crate::number;
use crate::permission::Permission;

/// A token to be made.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct TokenInput {
    name: Option<String>,
    role: Option<String>,
    organization: Option<String>,
    /// What its bearer may do beside what the role may, e.g. `settings.manage`.
    permissions: Option<Vec<String>>,
    #[serde(deserialize_with = "number::int64")]
    #[schemars(with = "crate::openapi::Int64Input")]
    expires_at: Option<i64>,
}

/// A token in a response.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenShape {
    name: String,
    /// What its bearer sends; only in the answer that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    permissions: Vec<String>,
    created_at: String,
    created_by: String,
    /// `-1` for never.
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<String>,
}

/// `{"tokens":[…]}`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TokenList {
    pub(crate) tokens: Vec<TokenShape>,
}

// === impl TokenInput ===

impl TokenInput {
    pub(crate) fn terms(self) -> Result<TokenTerms, ApiError> {
        let role = self.role.ok_or_else(|| ApiError::invalid("role", "is required"))?;
        let permissions = self.permissions.unwrap_or_default();
        for (at, word) in permissions.iter().enumerate() {
            if !Permission::GRANTED.iter().any(|known| known.as_str() == word) {
                let known: Vec<_> = Permission::GRANTED.iter().map(|it| it.as_str()).collect();
                let reason = format!("{word:?} cannot be granted, only {}", known.join(", "));
                return Err(ApiError::invalid(format!("permissions[{at}]"), reason));
            }
        }
        Ok(TokenTerms {
            name: self.name.ok_or_else(|| ApiError::invalid("name", "is required"))?,
            role: role.parse().map_err(|error| ApiError::invalid("role", error))?,
            organization: self.organization,
            permissions,
            expires_at: self.expires_at.filter(|at| *at != -1).map(UnixMillis),
        })
    }
}

// === impl TokenShape ===

impl TokenShape {
    pub(crate) fn of(record: &TokenRecord) -> TokenShape {
        TokenShape {
            name: record.name.clone(),
            token: None,
            role: record.role.as_str(),
            organization: record.organization.clone(),
            permissions: record.permissions.clone(),
            created_at: millis(record.created_at),
            created_by: record.created_by.clone(),
            expires_at: record.expires_at.map_or_else(|| "-1".to_owned(), millis),
            last_used_at: record.used_at.map(millis),
        }
    }

    pub(crate) fn made(new: NewToken) -> TokenShape {
        TokenShape { token: Some(new.token), ..TokenShape::of(&new.record) }
    }
}
