//! `tollgate migrate --from-edge DIR`: moves what Apigee Edge has of an organization over the management API.
//!
//! The folder has Edge's own answers (`export`). They become a list of steps in the order in which they depend on each other
//! (`steps`), of which each can be repeated: an object is looked for before it is made, a booking has an id made of Edge's.
//! So a migration that was killed is finished by running it again, and books nothing twice. Without `--apply` the steps are
//! only looked for. At the end each balance is compared with Edge's.
//! Invariant: whatever is in the folder and is not moved stands in the report. Not here: what a call means (`management`).

mod client;
mod export;
mod kinds;
mod money;
mod report;
mod steps;
mod walk;

use std::io::Write as _;
use std::path::PathBuf;

use tollgate_ledger_store::{Clock as _, SystemClock};

use crate::cli::MigrateArgs;
use crate::config::secret::{SecretError, SecretPlace};
use client::Client;
use export::Export;
use report::Report;
use steps::Steps;

/// Why nothing was moved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrateError {
    /// The folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// What of it.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// `--usage-from` is no day.
    #[error("--usage-from {0:?} is not a day like 2026-11-01")]
    Day(String),
    /// The token cannot be had.
    #[error("no token: name its file with --token-file")]
    Token(#[from] SecretError),
    /// Nobody takes the report.
    #[error("cannot write the report")]
    Output(#[from] std::io::Error),
}

/// Moves everything, or says what would be moved; answers whether nothing stayed behind.
///
/// # Errors
/// A [`MigrateError`].
pub(crate) async fn run(args: &MigrateArgs) -> Result<bool, MigrateError> {
    if let Some(day) = &args.usage_from
        && !is_day(day)
    {
        return Err(MigrateError::Day(day.clone()));
    }
    let token = SecretPlace::File(args.token_file.clone()).read()?;
    let mut report = Report::new(args.apply);
    let export = Export::read(&args.from_edge, &mut report)?;
    let now = SystemClock::start().now();
    let steps = Steps::of(&export, args, now, &mut report);
    let mut client = Client::new(&args.management, &token, args.ca_file.as_deref());
    walk::walk(&mut client, &steps, args.apply, &mut report).await;
    if let Some(path) = &args.report {
        let text = serde_json::to_string_pretty(&report).expect("texts have a JSON form");
        std::fs::write(path, text + "\n")?;
    }
    let mut stdout = std::io::stdout().lock();
    write!(stdout, "{}", report.text())?;
    stdout.flush()?;
    Ok(report.is_whole())
}

/// Whether a text is like `2026-11-01`: days written so are in the order of time.
fn is_day(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}
