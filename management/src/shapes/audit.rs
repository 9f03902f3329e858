//! The audit log.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tollgate_ledger_store::catalogue::audit::AuditEntry;

use super::millis;

/// A change in a response.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditShape {
    id: String,
    request_id: String,
    #[schemars(with = "crate::openapi::Int64Text")]
    time: String,
    actor: String,
    role: String,
    method: String,
    resource: String,
    before: Value,
    after: Value,
    /// `DONE`, `REFUSED`, `FAILED`, or `UNKNOWN`: it may or may not have been done.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
}

/// `{"entries":[…]}`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditList {
    pub(crate) entries: Vec<AuditShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_start_key: Option<String>,
}

// === impl AuditShape ===

impl AuditShape {
    pub(crate) fn of(name: &str, entry: &AuditEntry) -> AuditShape {
        let status = entry.outcome.map(|outcome| outcome.status);
        AuditShape {
            id: name.to_owned(),
            request_id: entry.request.clone(),
            time: millis(entry.at),
            actor: entry.actor.clone(),
            role: entry.role.clone(),
            method: entry.method.clone(),
            resource: entry.resource.clone(),
            before: entry.before.clone(),
            after: entry.after.clone(),
            outcome: match status {
                // An answer that says itself that it does not know.
                None | Some(503 | 504) => "UNKNOWN",
                Some(status) if status < 400 => "DONE",
                Some(status) if status < 500 => "REFUSED",
                Some(_) => "FAILED",
            },
            status,
        }
    }
}
