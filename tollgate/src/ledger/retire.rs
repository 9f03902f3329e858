//! `tollgate ledger retire`: an operator's word that a gateway's process will not come back.
//!
//! The registry hears it first, so that nothing of the incarnation is waited for; then its grants are given back wallet by
//! wallet, what its registers show now being all that counts. Each step may be repeated, and a command that was cut short goes
//! on where it is given again.

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use tollgate_ledger_store::book::Book;
use tollgate_ledger_store::catalogue::retirements::Retirement;
use tollgate_ledger_store::ledger::Registration;
use tollgate_ledger_store::{Clock, SystemClock};
use tollgate_metering::{Incarnation, WalletId};

use super::CommandError;
use super::open::{Access, Store};
use super::suspense::{book, wallets};
use crate::cli::RetireArgs;

/// The progress is written so often, in wallets.
const PROGRESS_EVERY: usize = 50;

/// Characters of the progress bar.
const BAR_CHARS: usize = 30;

/// Retires the incarnation, or shows what that would free.
///
/// # Errors
/// [`CommandError`].
pub(super) async fn run(args: &RetireArgs) -> Result<(), CommandError> {
    let access = if args.dry_run { Access::Read } else { Access::Write };
    let store = Store::of_args(&args.ledger, access).await?;
    let registrations = store.ledger.registrations().await?;
    let found = registrations.into_iter().find(|each| each.incarnation.id == args.incarnation);
    let found = found.ok_or(CommandError::NoIncarnation { id: args.incarnation })?;
    if !args.dry_run {
        note(&store, &found, args).await?;
    }
    let (book, wallets) = (book(&store), wallets(&store).await?);
    let mut progress = Progress::of(wallets.len());
    let mut freed = 0_usize;
    for wallet in wallets {
        freed += usize::from(tend(&store, &book, wallet, found.incarnation, args.dry_run).await?);
        progress.step()?;
    }
    progress.end()?;
    let what = if args.dry_run { "would be freed" } else { "were retired" };
    writeln!(
        io::stdout().lock(),
        "{} of {}: {freed} wallets {what}",
        args.incarnation,
        found.gateway
    )?;
    Ok(())
}

/// Says in the registry that the incarnation is retired, and beside it who says so and why.
async fn note(store: &Store, found: &Registration, args: &RetireArgs) -> Result<(), CommandError> {
    let at = SystemClock::start().now();
    let word = Retirement { by: args.by.clone(), reason: args.reason.clone(), at };
    let first = store.catalogue.note_retirement(args.incarnation, &word).await?;
    if first != word {
        eprintln!("it was retired by {} before: {}", first.by, first.reason);
    }
    if let Some(retired_at) = found.retired_at {
        eprintln!("it has been retired since {}: what is left is retired now", retired_at.0);
        return Ok(());
    }
    let retired = Registration { retired_at: Some(at), ..found.clone() };
    Ok(store.ledger.end_incarnation(&retired).await?)
}

/// Retires it on one wallet and says what was reserved there; true where there is something to do.
async fn tend(
    store: &Store,
    book: &Book,
    wallet: WalletId,
    incarnation: Incarnation,
    is_dry: bool,
) -> Result<bool, CommandError> {
    let Some(read) = store.ledger.read(wallet).await? else { return Ok(false) };
    let account = &read.account;
    let grant = account.ceilings.get(&incarnation).filter(|grant| !grant.is_retired);
    let reserved = grant.and_then(|grant| grant.reserved().ok());
    // A change of the policy waits for it as well, grant or not.
    let is_waited_for = account.header.mode.is_changing;
    if let Some(reserved) = reserved {
        let currency = account.header.currency;
        writeln!(io::stdout().lock(), "{wallet}: {reserved} {currency} reserved")?;
    }
    if is_dry {
        return Ok(reserved.is_some() || is_waited_for);
    }
    if reserved.is_none() && !is_waited_for {
        return Ok(false);
    }
    Ok(book.retire(wallet, incarnation).await? > 0)
}

/// A bar on stderr, where that is a terminal.
struct Progress {
    done: usize,
    all: usize,
    is_shown: bool,
    clock: SystemClock,
    began: Duration,
}

// === impl Progress ===

impl Progress {
    fn of(all: usize) -> Progress {
        let clock = SystemClock::start();
        let began = clock.monotonic();
        Progress { done: 0, all, is_shown: io::stderr().is_terminal(), clock, began }
    }

    fn step(&mut self) -> io::Result<()> {
        self.done += 1;
        if self.is_shown && (self.done.is_multiple_of(PROGRESS_EVERY) || self.done == self.all) {
            let filled = self.done * BAR_CHARS / self.all.max(1);
            let (bar, rest) = ("#".repeat(filled), "-".repeat(BAR_CHARS - filled));
            let seconds = self.clock.monotonic().saturating_sub(self.began).as_secs();
            write!(
                io::stderr(),
                "\r[{bar}{rest}] {} of {} wallets, {seconds} s",
                self.done,
                self.all
            )?;
        }
        Ok(())
    }

    fn end(&self) -> io::Result<()> {
        if self.is_shown { writeln!(io::stderr()) } else { Ok(()) }
    }
}
