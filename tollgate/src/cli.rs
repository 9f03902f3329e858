//! What can be said on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::telemetry::LogFormat;

/// A metering gateway with prepaid wallets.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// How log lines on stderr look; RUST_LOG chooses which [default: text, or what the file says]
    #[arg(long, global = true, value_enum)]
    pub(crate) log_format: Option<LogFormat>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run gateway, balance-sync, management and a SQLite ledger in one process, with a demo to call
    Standalone(StandaloneArgs),
    /// Run one gateway
    Gateway(ConfigArgs),
    /// Run one balance-sync node with the management API
    BalanceSync(ConfigArgs),
    /// Ask a running balance-sync node for balances
    #[command(subcommand)]
    Balance(BalanceCommand),
    /// Make, list and revoke bearer tokens; every node that runs on the ledger knows within a second
    #[command(subcommand)]
    Token(TokenCommand),
    /// Look into a ledger and repair it, without a node
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Check what a configuration needs to work, and say how to mend what is wrong
    Doctor(DoctorArgs),
    /// Move what Apigee Edge has of an organization to here; without --apply only say what would be done
    Migrate(MigrateArgs),
}

/// `tollgate migrate`.
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Folder with answers of Edge's API, laid out as docs/migrating-from-edge.md says
    #[arg(long, value_name = "DIR")]
    pub(crate) from_edge: PathBuf,
    /// The organization here, made where it is not there
    #[arg(long, value_name = "NAME")]
    pub(crate) organization: String,
    /// The management API
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8081")]
    pub(crate) management: String,
    /// File with an admin's or provider's token for it
    #[arg(
        long,
        value_name = "FILE",
        default_value = "tollgate-data/admin-token",
        env = "TOLLGATE_TOKEN_FILE"
    )]
    pub(crate) token_file: PathBuf,
    /// PEM file with the authorities that may sign its certificate [default for https://: the system's]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Do it
    #[arg(long)]
    pub(crate) apply: bool,
    /// Leave transactions before this day, as 2026-11-01: their money is in the balances
    #[arg(long, value_name = "DAY")]
    pub(crate) usage_from: Option<String>,
    /// Write the report as JSON as well
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

/// `tollgate doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Configuration file of `tollgate standalone`, `gateway` or `balance-sync`
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Data directory of `tollgate standalone`, where its command line names another than the file
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Do not try a paid call
    #[arg(long)]
    pub(crate) no_call: bool,
    /// The management API for the paid call [default: what the file says]
    #[arg(long, value_name = "URL")]
    pub(crate) management: Option<String>,
    /// File with an admin's token for it [default: what the file says]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The gateway that is called [default: what the file says]
    #[arg(long, value_name = "URL")]
    pub(crate) gateway: Option<String>,
    /// The proxy that is called [default: the first that is metered]
    #[arg(long, value_name = "NAME")]
    pub(crate) proxy: Option<String>,
    /// The path below the proxy that is called
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub(crate) path: String,
    /// The organization of the developer that calls, made where it is not there; nothing else in it is touched
    #[arg(long, value_name = "NAME", default_value = "tollgate-doctor")]
    pub(crate) organization: String,
}

/// `tollgate standalone`. What is given here wins over the file.
#[derive(Debug, Args)]
pub(crate) struct StandaloneArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the ledger, the spend files and the admin token are [default: ./tollgate-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where callers connect; more gateways take the next free ports [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub(crate) gateway_listen: Option<SocketAddr>,
    /// Where the management API is [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR")]
    pub(crate) management_listen: Option<SocketAddr>,
    /// Where balance-sync and balances over gRPC are [default: 127.0.0.1:8082]
    #[arg(long, value_name = "ADDR")]
    pub(crate) sync_listen: Option<SocketAddr>,
    /// Where metrics and health are [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// How many gateways to run, each with a wallet cache, spend file and sync stream of its own [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) gateways: Option<usize>,
    /// Do not create the demo organization, and run no upstream to call
    #[arg(long)]
    pub(crate) no_demo: bool,
}

/// The parts that are told everything by a file.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Check the file and end: nothing is opened and no port is bound
    #[arg(long)]
    pub(crate) check: bool,
}

/// `tollgate balance`.
#[derive(Debug, Subcommand)]
pub(crate) enum BalanceCommand {
    /// Show a developer's balance, one line a currency
    Get(BalanceArgs),
    /// Show the balances of an organization
    List(ListArgs),
    /// Show a developer's balance now and after each change, until interrupted
    Watch(BalanceArgs),
}

/// Where balances are asked for, and as whom.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// A balance-sync node
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:8082",
        env = "TOLLGATE_ADDRESS"
    )]
    pub(crate) address: String,
    /// File with the bearer token
    #[arg(
        long,
        value_name = "FILE",
        default_value = "tollgate-data/admin-token",
        env = "TOLLGATE_TOKEN_FILE"
    )]
    pub(crate) token_file: PathBuf,
    /// PEM file with the authorities that may sign the node's certificate [default for https://: the system's]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The organization
    #[arg(long, value_name = "NAME", default_value = "demo")]
    pub(crate) organization: String,
    /// Print JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `tollgate balance get` and `watch`.
#[derive(Debug, Args)]
pub(crate) struct BalanceArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    /// E-mail address or id
    #[arg(long, value_name = "NAME", default_value = "demo@example.com")]
    pub(crate) developer: String,
    /// Only this currency
    #[arg(long, value_name = "CODE")]
    pub(crate) currency: Option<String>,
    /// Show beside the ledger's balance what each gateway believes
    #[arg(long)]
    pub(crate) gateways: bool,
}

/// `tollgate balance list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// `tollgate token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and show it: once, it is stored as a hash
    Create(TokenCreateArgs),
    /// Show every token, never its secret
    List(LedgerArgs),
    /// Revoke a token for good
    Revoke(TokenRevokeArgs),
}

/// `tollgate token create`.
#[derive(Debug, Args)]
pub(crate) struct TokenCreateArgs {
    #[command(flatten)]
    pub(crate) ledger: LedgerArgs,
    /// Its name, which the journal and the audit log show
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// admin, provider, viewer, portal, gateway or balances-read
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: tollgate_ledger_store::Role,
    /// The organization that it is bound to; a provider needs one
    #[arg(long, value_name = "NAME")]
    pub(crate) organization: Option<String>,
    /// Refuse it after so many days [default: never]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) days: Option<u16>,
}

/// `tollgate token revoke`.
#[derive(Debug, Args)]
pub(crate) struct TokenRevokeArgs {
    #[command(flatten)]
    pub(crate) ledger: LedgerArgs,
    /// Its name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// `tollgate ledger`.
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Check every sum in the ledger; exit code 1 where one is wrong
    Verify(LedgerArgs),
    /// Show what the ledger holds of a wallet, or which wallets there are
    Inspect(InspectArgs),
    /// Write every wallet, entry and register as JSON lines to stdout
    Export(LedgerArgs),
    /// List, charge or write off the units that the ledger did not charge by itself
    #[command(subcommand)]
    Suspense(SuspenseCommand),
    /// Give back what a gateway's process that will not come back may have spent
    Retire(RetireArgs),
    /// Make a new ledger of the next generation from a backup
    Restore(RestoreArgs),
}

/// Which ledger.
#[derive(Debug, Args)]
pub(crate) struct LedgerArgs {
    /// Data directory of `tollgate standalone` [default: ./tollgate-data]
    #[arg(long, value_name = "DIR", conflicts_with_all = ["file", "config"])]
    pub(crate) data_dir: Option<PathBuf>,
    /// A SQLite ledger
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub(crate) file: Option<PathBuf>,
    /// Configuration file of a balance-sync node, whose ledger it is
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// `tollgate ledger inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) ledger: LedgerArgs,
    /// Only this wallet, with its entries and registers
    #[arg(long, value_name = "ID")]
    pub(crate) wallet: Option<uuid::Uuid>,
}

/// `tollgate ledger suspense`.
#[derive(Debug, Subcommand)]
pub(crate) enum SuspenseCommand {
    /// Show what waits for a decision
    List(LedgerArgs),
    /// Charge units to their meter
    Charge(SettleArgs),
    /// Write units off
    WriteOff(SettleArgs),
}

/// Which suspense, and why it is settled.
#[derive(Debug, Args)]
pub(crate) struct SettleArgs {
    #[command(flatten)]
    pub(crate) ledger: LedgerArgs,
    /// The id that `list` shows
    #[arg(long, value_name = "ID")]
    pub(crate) id: String,
    /// Books once under this id, however often it is repeated [default: a new one, which is shown]
    #[arg(long, value_name = "ID")]
    pub(crate) transaction_id: Option<String>,
    /// Why: for the journal
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
}

/// `tollgate ledger retire`.
#[derive(Debug, Args)]
pub(crate) struct RetireArgs {
    #[command(flatten)]
    pub(crate) ledger: LedgerArgs,
    /// The incarnation, as `tollgate ledger inspect` and the gateway's log show it
    #[arg(value_name = "INCARNATION")]
    pub(crate) incarnation: uuid::Uuid,
    /// Who says so
    #[arg(long, value_name = "NAME")]
    pub(crate) by: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Only show what is reserved for it
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `tollgate ledger restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup: a copy of a SQLite ledger, made with `sqlite3 FILE .backup` or `VACUUM INTO`
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,
    /// The folder that gets it as the next generation [default: ./tollgate-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
