//! `tollgate ledger suspense`: units that the ledger does not charge by itself, and a person's decision about them.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

use serde_json::json;
use tollgate_ledger_store::book::Book;
use tollgate_ledger_store::ledger::Suspense;
use tollgate_ledger_store::{Clock, RateSource, SystemClock};
use tollgate_metering::WalletId;
use tollgate_metering::booking::{Booking, Resolution};

use super::CommandError;
use super::open::{Access, Store};
use crate::cli::SettleArgs;

const PAGE: usize = 500;

/// One line for each register of which something waits.
///
/// # Errors
/// [`CommandError`].
pub(super) async fn list(store: &Store) -> Result<(), CommandError> {
    let book = book(store);
    let registrations = store.ledger.registrations().await?;
    let retired: HashMap<uuid::Uuid, i64> = registrations
        .iter()
        .filter_map(|each| Some((each.incarnation.id, each.retired_at?.0)))
        .collect();
    let mut count = 0_usize;
    for wallet in wallets(store).await? {
        for found in book.suspense(wallet).await? {
            if !found.open.is_zero() {
                let row = &found.suspense;
                let shown = json!({
                    "id": id_of(row),
                    "reason": row.reason.as_str(),
                    "open_units": found.open.to_string(),
                    "units": row.units.to_string(),
                    "counted_units": row.counted.to_string(),
                    "born_ms": row.incarnation.born.0,
                    "retired_at_ms": retired.get(&row.incarnation.id),
                });
                writeln!(io::stdout().lock(), "{shown}")?;
                count += 1;
            }
        }
    }
    eprintln!("{count} registers wait for a decision");
    Ok(())
}

pub(super) fn book(store: &Store) -> Book {
    let rates = Arc::clone(&store.catalogue) as Arc<dyn RateSource>;
    Book::new(Arc::clone(&store.ledger), rates, Arc::new(SystemClock::start()))
}

/// Charges or writes off all that waits in one register.
///
/// # Errors
/// [`CommandError`].
pub(super) async fn settle(args: &SettleArgs, resolution: Resolution) -> Result<(), CommandError> {
    let none = || CommandError::NoSuspense { id: args.id.clone() };
    let wallet: WalletId =
        args.id.split('/').next().and_then(|id| id.parse().ok()).ok_or_else(none)?;
    let store = Store::of_args(&args.ledger, Access::Write).await?;
    let rows = store.ledger.suspense(wallet).await?;
    let row = rows.iter().find(|row| id_of(row) == args.id).ok_or_else(none)?;
    let id = args.transaction_id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    eprintln!(
        "booking under the id {id}; where the outcome is unknown, repeat with --transaction-id {id}"
    );
    let booking = Booking {
        id,
        at: SystemClock::start().now(),
        by: "tollgate ledger suspense".to_owned(),
        reason: args.reason.clone(),
        is_forced: false,
    };
    let booked =
        book(&store).resolve_suspense(wallet, &booking, row.key(), None, resolution).await?;
    let (units, balance) = (booked.entry.units, booked.entry.balance_after);
    writeln!(io::stdout().lock(), "{units} units are decided; the balance is {balance}")?;
    Ok(())
}

pub(super) async fn wallets(store: &Store) -> Result<Vec<WalletId>, CommandError> {
    let mut wallets = Vec::new();
    loop {
        let page = store.ledger.list(wallets.last().copied(), PAGE).await?;
        let is_last = page.len() < PAGE;
        wallets.extend(page);
        if is_last {
            return Ok(wallets);
        }
    }
}

/// The whole name of a register: what `list` shows is what `charge` takes.
fn id_of(row: &Suspense) -> String {
    let meter = &row.meter;
    let billing = meter.billing.as_str();
    format!(
        "{}/{}/{}/{}/{billing}/{}/{}/{}",
        meter.wallet,
        meter.product,
        meter.plan,
        meter.revision,
        meter.period,
        row.incarnation.id,
        row.reason.as_str()
    )
}
