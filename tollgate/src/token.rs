//! `tollgate token`: bearer tokens, made and revoked in the ledger itself.
//!
//! No node is asked, so that the first token can be made where nobody has one yet. Nodes that run
//! on the ledger read tokens again within half a second.

use std::io::{self, Write as _};
use std::time::Duration;

use serde_json::{Value, json};
use tollgate_ledger_store::catalogue::audit::{AuditEntry, NO_ORGANIZATION, Outcome};
use tollgate_ledger_store::catalogue::tokens::{TokenRecord, TokenTerms};
use tollgate_ledger_store::{CatalogueError, Clock as _, SystemClock};
use tollgate_metering::UnixMillis;

use crate::cli::{TokenCommand, TokenCreateArgs, TokenRevokeArgs};
use crate::ledger::open::{Access, OpenError, Store};

/// Who makes tokens here, as they show it.
const BY: &str = "tollgate token";

/// A day.
const DAY: Duration = Duration::from_secs(86_400);

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// The ledger cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It says no.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// Nobody takes the output.
    #[error("cannot write to stdout")]
    Output(#[from] io::Error),
}

/// Runs the command.
///
/// # Errors
/// [`TokenError`].
pub(crate) async fn run(command: &TokenCommand) -> Result<(), TokenError> {
    match command {
        TokenCommand::Create(args) => create(args).await,
        TokenCommand::List(args) => {
            let store = Store::of_args(args, Access::Read).await?;
            let mut stdout = io::stdout().lock();
            for record in store.catalogue.tokens().await? {
                writeln!(stdout, "{}", shown(&record))?;
            }
            Ok(())
        }
        TokenCommand::Revoke(args) => revoke(args).await,
    }
}

/// The token alone on stdout, so that a script can put it where it belongs.
async fn create(args: &TokenCreateArgs) -> Result<(), TokenError> {
    let store = Store::of_args(&args.ledger, Access::Write).await?;
    let now = SystemClock::start().now();
    let terms = TokenTerms {
        name: args.name.clone(),
        role: args.role,
        organization: args.organization.clone(),
        permissions: Vec::new(),
        expires_at: args.days.map(|days| now.plus(DAY * u32::from(days))),
    };
    let entry = audit_entry("create", &args.name, now);
    let key = store.catalogue.begin_audit(NO_ORGANIZATION, &entry).await?;
    let made = store.catalogue.create_token(&terms, BY, now).await?;
    let outcome = Outcome { status: 201 };
    store.catalogue.finish_audit(&key, &shown(&made.record), outcome, now).await?;
    eprintln!("made {}; the token is not shown again:", shown(&made.record));
    writeln!(io::stdout().lock(), "{}", made.token)?;
    Ok(())
}

async fn revoke(args: &TokenRevokeArgs) -> Result<(), TokenError> {
    let store = Store::of_args(&args.ledger, Access::Write).await?;
    let now = SystemClock::start().now();
    let before = shown(&store.catalogue.token(&args.name).await?);
    let entry = AuditEntry { before, ..audit_entry("revoke", &args.name, now) };
    let key = store.catalogue.begin_audit(NO_ORGANIZATION, &entry).await?;
    let record = store.catalogue.revoke_token(&args.name, now).await?;
    store.catalogue.finish_audit(&key, &Value::Null, Outcome { status: 200 }, now).await?;
    writeln!(io::stdout().lock(), "revoked {}", shown(&record))?;
    Ok(())
}

/// Who runs a command is known to the system alone; the entry says that it was one.
fn audit_entry(command: &str, name: &str, at: UnixMillis) -> AuditEntry {
    AuditEntry {
        request: uuid::Uuid::new_v4().to_string(),
        at,
        actor: BY.to_owned(),
        role: "command line".to_owned(),
        method: format!("tollgate token {command}"),
        resource: format!("/v1/tokens/{name}"),
        before: Value::Null,
        after: Value::Null,
        outcome: None,
    }
}

/// One line of JSON.
fn shown(record: &TokenRecord) -> Value {
    json!({
        "name": record.name,
        "role": record.role.as_str(),
        "organization": record.organization,
        "created_at_ms": record.created_at.0,
        "created_by": record.created_by,
        "expires_at_ms": record.expires_at.map(|at| at.0),
        "last_used_at_ms": record.used_at.map(|at| at.0),
    })
}
