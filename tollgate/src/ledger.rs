//! `tollgate ledger`: looks into a ledger and repairs it, without a node.
//!
//! Reading needs nothing but the file or the cluster and changes nothing, not even the schema. What books something goes
//! through the same journal as everything else, so that a repeated command books once.

use tollgate_ledger_store::book::BookError;
use tollgate_ledger_store::verify::ExportError;
use tollgate_ledger_store::{CatalogueError, LedgerError};
use tollgate_metering::WalletId;
use tollgate_metering::booking::Resolution;

use crate::cli::{LedgerCommand, SuspenseCommand};

pub(crate) mod open;
mod read;
mod retire;
mod suspense;

use open::{Access, OpenError, Store};

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The ledger cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The ledger does not answer.
    #[error("the ledger does not answer")]
    Ledger(#[from] LedgerError),
    /// It cannot be exported.
    #[error("cannot export the ledger")]
    Export(#[from] ExportError),
    /// There is no such wallet.
    #[error("there is no wallet {wallet}")]
    NoWallet {
        /// What was asked for.
        wallet: WalletId,
    },
    /// There is no such suspense.
    #[error("there is no suspense {id}: take one as `tollgate ledger suspense list` shows it")]
    NoSuspense {
        /// What was asked for.
        id: String,
    },
    /// There is no such incarnation.
    #[error("there is no incarnation {id} in the registry")]
    NoIncarnation {
        /// What was asked for.
        id: uuid::Uuid,
    },
    /// The catalogue does not answer.
    #[error("the catalogue does not answer")]
    Catalogue(#[from] CatalogueError),
    /// It cannot be booked.
    #[error("cannot book it")]
    Book(#[from] BookError),
    /// Nobody takes the output.
    #[error("cannot write to stdout")]
    Output(#[from] std::io::Error),
}

/// Runs the command. `false` where a ledger was checked and found wrong.
///
/// # Errors
/// [`CommandError`].
pub(crate) async fn run(command: &LedgerCommand) -> Result<bool, CommandError> {
    match command {
        LedgerCommand::Verify(args) => {
            read::verify(&Store::of_args(args, Access::Read).await?).await
        }
        LedgerCommand::Inspect(args) => {
            let store = Store::of_args(&args.ledger, Access::Read).await?;
            read::inspect(&store, args.wallet.map(WalletId)).await.map(|()| true)
        }
        LedgerCommand::Export(args) => {
            let store = Store::of_args(args, Access::Read).await?;
            read::export(&store).await.map(|()| true)
        }
        LedgerCommand::Suspense(SuspenseCommand::List(args)) => {
            let store = Store::of_args(args, Access::Read).await?;
            suspense::list(&store).await.map(|()| true)
        }
        LedgerCommand::Suspense(SuspenseCommand::Charge(args)) => {
            suspense::settle(args, Resolution::Charge).await.map(|()| true)
        }
        LedgerCommand::Suspense(SuspenseCommand::WriteOff(args)) => {
            suspense::settle(args, Resolution::WriteOff).await.map(|()| true)
        }
        LedgerCommand::Retire(args) => retire::run(args).await.map(|()| true),
        LedgerCommand::Restore(args) => {
            let folder = args.data_dir.clone().unwrap_or_else(|| "./tollgate-data".into());
            let file = tollgate_ledger_store::sqlite::restore(&args.from, &folder)?;
            println_stdout(&format!("restored {} as {}", args.from.display(), file.display()))?;
            Ok(true)
        }
    }
}

fn println_stdout(line: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout().lock(), "{line}")
}
