//! Tollgate, the one binary: reads arguments and configuration, wires the parts, and says how it ended.
//!
//! Each way to run is one module: `standalone`, `gateway`, `node` (balance-sync with management), `balance`, `token`,
//! `ledger`, `doctor` and `migrate`.
//! What they share stands beside them: configuration, data directory, listening, telemetry, the end by signal.
//! Exit codes: 0 done, 1 failed, or a ledger or a configuration found wrong, 2 wrong arguments, 130 ended at once by a second signal.

mod balance;
mod cli;
mod config;
mod data_dir;
mod demo;
mod doctor;
mod gateway;
mod http;
mod ledger;
mod listen;
mod migrate;
mod node;
mod notice;
mod ready;
mod shutdown;
mod standalone;
mod telemetry;
mod token;

use std::error::Error;
use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::config::file;
use crate::config::gateway::GatewayFile;
use crate::config::node::NodeFile;
use crate::config::standalone::StandaloneFile;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tollgate: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode, Box<dyn Error>> {
    let said = cli.log_format;
    match &cli.command {
        Command::Standalone(args) => {
            let file = standalone_file(args)?;
            let format = said.unwrap_or(file.log.format);
            runtime()?.block_on(standalone::run(file, format))?;
        }
        Command::Gateway(args) => {
            let file: GatewayFile = file::load(&args.config)?;
            let format = said.unwrap_or(file.log.format);
            if !args.check {
                runtime()?.block_on(gateway::run(file, format))?;
            }
        }
        Command::BalanceSync(args) => {
            let file: NodeFile = file::load(&args.config)?;
            let format = said.unwrap_or(file.log.format);
            if !args.check {
                runtime()?.block_on(node::run(file, format))?;
            }
        }
        Command::Balance(command) => {
            telemetry::start_logs(said.unwrap_or_default(), LOG_OF_COMMANDS)?;
            runtime()?.block_on(balance::run(command))?;
        }
        Command::Token(command) => {
            telemetry::start_logs(said.unwrap_or_default(), LOG_OF_COMMANDS)?;
            runtime()?.block_on(token::run(command))?;
        }
        Command::Ledger(command) => {
            telemetry::start_logs(said.unwrap_or_default(), LOG_OF_COMMANDS)?;
            if !runtime()?.block_on(ledger::run(command))? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Migrate(args) => {
            telemetry::start_logs(said.unwrap_or_default(), LOG_OF_COMMANDS)?;
            if !runtime()?.block_on(migrate::run(args))? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Doctor(args) => {
            telemetry::start_logs(said.unwrap_or_default(), LOG_OF_COMMANDS)?;
            if !runtime()?.block_on(doctor::run(args))? {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What commands log that serve nothing: their answer is on stdout, and only trouble beside it.
const LOG_OF_COMMANDS: &str = "warn";

fn standalone_file(args: &cli::StandaloneArgs) -> Result<StandaloneFile, Box<dyn Error>> {
    let mut file = match &args.config {
        Some(path) => file::load(path)?,
        None => StandaloneFile::default(),
    };
    file.overlay(args);
    file::Checked::check(&file).map_err(|problem| problem.to_string())?;
    Ok(file)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("tollgate").build()
}

/// An error with everything that caused it. A cause that an error already says is not said again.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            let _ = write!(text, ": {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open {file}")]
    struct Open {
        file: &'static str,
        #[source]
        source: std::io::Error,
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        let error = Open { file: "a", source: std::io::Error::other("disk is full") };
        assert_eq!(chain(&error), "cannot open a: disk is full");
    }
}
