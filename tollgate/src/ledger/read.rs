//! `tollgate ledger verify`, `inspect` and `export`: what a ledger holds, and whether it adds up.

use std::io::{self, Write};

use tollgate_ledger_store::verify::{self, Inspection};
use tollgate_metering::WalletId;

use super::CommandError;
use super::open::Store;

/// Wallets read at once.
const PAGE: usize = 500;

/// Adds up every wallet. `false` where something is wrong; what, is on stdout.
///
/// # Errors
/// [`CommandError`].
pub(super) async fn verify(store: &Store) -> Result<bool, CommandError> {
    let report = verify::verify(&*store.ledger, &*store.catalogue).await?;
    let mut out = io::stdout().lock();
    for (wallet, finding) in &report.findings {
        writeln!(out, "{wallet}: {finding}")?;
    }
    writeln!(
        out,
        "{} wallets, {} entries, {} findings",
        report.wallets, report.entries, report.finding_count
    )?;
    for (currency, balance) in &report.balances {
        writeln!(out, "balances in {currency} sum to {balance}")?;
    }
    Ok(report.is_clean())
}

/// A line for each wallet, or all rows of one.
///
/// # Errors
/// [`CommandError`].
pub(super) async fn inspect(store: &Store, wallet: Option<WalletId>) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    head(&mut out)?;
    if let Some(wallet) = wallet {
        let found = verify::inspect(&*store.ledger, &*store.catalogue, wallet).await?;
        row(&mut out, &found.ok_or(CommandError::NoWallet { wallet })?)?;
        drop(out);
        let mut rows = Vec::new();
        verify::export_one(&*store.ledger, wallet, &mut rows).await?;
        return Ok(io::stdout().lock().write_all(&rows)?);
    }
    let mut after = None;
    loop {
        let page = store.ledger.list(after, PAGE).await?;
        let Some(last) = page.last() else { return retired(store, &mut out).await };
        after = Some(*last);
        for wallet in page {
            if let Some(found) = verify::inspect(&*store.ledger, &*store.catalogue, wallet).await? {
                row(&mut out, &found)?;
            }
        }
    }
}

/// Incarnations that were retired, and by whom.
async fn retired(store: &Store, out: &mut impl Write) -> Result<(), CommandError> {
    for each in store.ledger.registrations().await? {
        let (Some(at), id) = (each.retired_at, each.incarnation.id) else { continue };
        let word = store.catalogue.retirement(id).await?;
        let word =
            word.map_or_else(String::new, |word| format!(" by {}: {}", word.by, word.reason));
        writeln!(out, "incarnation {id} of {} was retired at {}{word}", each.gateway, at.0)?;
    }
    Ok(())
}

fn head(out: &mut impl Write) -> io::Result<()> {
    let (wallet, developer) = ("WALLET", "DEVELOPER");
    writeln!(
        out,
        "{wallet:<36}  {developer:<36}  CURRENCY  {:>20}  {:>20}  FINDINGS  ORGANIZATION",
        "BALANCE", "RESERVED"
    )
}

fn row(out: &mut impl Write, found: &Inspection) -> io::Result<()> {
    let header = &found.read.account.header;
    let balance = match &found.balance {
        Ok(balance) => balance.to_string(),
        Err(_) => "unknown".to_owned(),
    };
    let reserved = match found.read.account.reserved() {
        Ok(reserved) => reserved.to_string(),
        Err(_) => "unknown".to_owned(),
    };
    writeln!(
        out,
        "{}  {}  {:<8}  {balance:>20}  {reserved:>20}  {:<8}  {}",
        header.wallet,
        header.developer,
        header.currency,
        found.findings.len(),
        header.organization
    )
}

/// Every row as a line of JSON.
///
/// # Errors
/// [`CommandError`].
pub(super) async fn export(store: &Store) -> Result<(), CommandError> {
    let mut out = io::BufWriter::new(io::stdout());
    let lines = verify::export(&*store.ledger, &mut out).await?;
    out.flush()?;
    eprintln!("{lines} lines");
    Ok(())
}
