//! `tollgate balance`: asks a balance-sync node and shows the answer to people or programs.

use std::future::Future;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use tollgate_proto::v1;
use tollgate_proto::v1::balances_client::BalancesClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use crate::cli::{BalanceArgs, BalanceCommand, ListArgs, NodeArgs};
use crate::config::secret::{SecretError, SecretPlace};

mod show;

use show::Shown;

/// How long a node may take to answer; it waits for its gateways itself, for at most a second.
const ANSWER_WAIT: Duration = Duration::from_secs(15);
/// Between two attempts to watch again after a stream broke.
const WATCH_AGAIN_WAIT: Duration = Duration::from_secs(1);

type Client = BalancesClient<InterceptedService<Channel, Bearer>>;

/// Why there is no balance to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BalanceError {
    /// The token cannot be had.
    #[error(
        "no token: name its file with --token-file (the first start of `tollgate standalone` writes DATA/admin-token)"
    )]
    Token(#[from] SecretError),
    /// The token has bytes that no header carries.
    #[error("the token in {} is not printable ASCII", path.display())]
    TokenForm {
        /// The file.
        path: PathBuf,
    },
    /// The authorities' file cannot be read.
    #[error("cannot read the authorities in {}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// There is no connection to the node.
    #[error("cannot reach a balance-sync node at {address}")]
    Connect {
        /// What was asked for.
        address: String,
        /// Why not.
        #[source]
        source: tonic::transport::Error,
    },
    /// The node refused.
    #[error("the node at {address} answers {:?}: {}", status.code(), status.message())]
    Refused {
        /// The node.
        address: String,
        /// Its answer.
        status: Box<Status>,
    },
    /// The node's answer is not what the protocol says.
    #[error("the node's answer cannot be read")]
    Answer(#[from] tollgate_proto::WireError),
    /// Nobody takes the output.
    #[error("cannot write to stdout")]
    Output(#[from] std::io::Error),
}

/// Puts the token on every request.
#[derive(Clone)]
struct Bearer(MetadataValue<Ascii>);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// Runs the command until it is done; a watch until it is interrupted.
///
/// # Errors
/// A [`BalanceError`].
pub(crate) async fn run(command: &BalanceCommand) -> Result<(), BalanceError> {
    match command {
        BalanceCommand::Get(args) => get(args).await,
        BalanceCommand::List(args) => list(args).await,
        BalanceCommand::Watch(args) => watch(args).await,
    }
}

async fn get(args: &BalanceArgs) -> Result<(), BalanceError> {
    let answer = ask(args).await?;
    let balances = answer.iter().map(Shown::read).collect::<Result<Vec<_>, _>>()?;
    if balances.is_empty() && !args.node.json {
        eprintln!("{} has no wallet", args.developer);
    }
    print(&args.node, &balances, true)
}

async fn ask(args: &BalanceArgs) -> Result<Vec<v1::Balance>, BalanceError> {
    let mut client = connect(&args.node).await?;
    let request = v1::GetBalanceRequest {
        organization: args.node.organization.clone(),
        developer: args.developer.clone(),
        currency: args.currency.clone().unwrap_or_default(),
        with_gateways: args.gateways,
    };
    Ok(answered(&args.node, client.get_balance(request)).await?.balances)
}

async fn list(args: &ListArgs) -> Result<(), BalanceError> {
    let mut client = connect(&args.node).await?;
    let mut page_token = String::new();
    let mut is_first = true;
    loop {
        let request = v1::ListBalancesRequest {
            organization: args.node.organization.clone(),
            page_size: 0,
            page_token,
        };
        let page = answered(&args.node, client.list_balances(request)).await?;
        let balances = page.balances.iter().map(Shown::read).collect::<Result<Vec<_>, _>>()?;
        print(&args.node, &balances, is_first)?;
        is_first = false;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

/// A watch outlives its node: it asks again until it is interrupted, but for answers that will not change.
async fn watch(args: &BalanceArgs) -> Result<(), BalanceError> {
    let mut is_first = true;
    loop {
        match watch_once(args, &mut is_first).await {
            Err(BalanceError::Refused { address, status }) if is_passing(&status) => {
                eprintln!("the node at {address} answers {:?}: asking again", status.code());
            }
            Err(BalanceError::Connect { address, .. }) if !is_first => {
                eprintln!("cannot reach a node at {address}: asking again");
            }
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        tokio::time::sleep(WATCH_AGAIN_WAIT).await;
    }
}

fn is_passing(status: &Status) -> bool {
    matches!(
        status.code(),
        tonic::Code::Unavailable | tonic::Code::Unknown | tonic::Code::Cancelled
    )
}

async fn watch_once(args: &BalanceArgs, is_first: &mut bool) -> Result<(), BalanceError> {
    let mut client = connect(&args.node).await?;
    let request = v1::WatchBalanceRequest {
        organization: args.node.organization.clone(),
        developer: args.developer.clone(),
        currency: args.currency.clone().unwrap_or_default(),
        min_interval_ms: 0,
    };
    let mut changes = answered(&args.node, client.watch_balance(request)).await?;
    while let Some(balance) =
        changes.message().await.map_err(|status| refused(&args.node, status))?
    {
        let mut balances = vec![balance];
        if args.gateways {
            balances = ask(args).await?;
        }
        let balances = balances.iter().map(Shown::read).collect::<Result<Vec<_>, _>>()?;
        print(&args.node, &balances, *is_first)?;
        *is_first = false;
    }
    Ok(())
}

async fn connect(args: &NodeArgs) -> Result<Client, BalanceError> {
    let token = SecretPlace::File(args.token_file.clone()).read()?;
    let bearer = format!("Bearer {}", token.expose())
        .parse()
        .map_err(|_| BalanceError::TokenForm { path: args.token_file.clone() })?;
    let failed = |source| BalanceError::Connect { address: args.address.clone(), source };
    let mut endpoint =
        Endpoint::from_shared(args.address.clone()).map_err(failed)?.connect_timeout(ANSWER_WAIT);
    let tls = match &args.ca_file {
        Some(path) => {
            let pem = std::fs::read(path)
                .map_err(|source| BalanceError::Authorities { path: path.clone(), source })?;
            Some(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
        }
        None if args.address.starts_with("https://") => {
            Some(ClientTlsConfig::new().with_native_roots())
        }
        None => None,
    };
    if let Some(tls) = tls {
        endpoint = endpoint.tls_config(tls).map_err(failed)?;
    }
    let channel = endpoint.connect().await.map_err(failed)?;
    Ok(BalancesClient::with_interceptor(channel, Bearer(bearer)))
}

async fn answered<T>(
    args: &NodeArgs,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, BalanceError> {
    let late = |_| Status::deadline_exceeded(format!("no answer within {ANSWER_WAIT:?}"));
    let answer =
        tokio::time::timeout(ANSWER_WAIT, call).await.map_err(late).and_then(|answer| answer);
    answer.map(tonic::Response::into_inner).map_err(|status| refused(args, status))
}

fn refused(args: &NodeArgs, status: Status) -> BalanceError {
    BalanceError::Refused { address: args.address.clone(), status: Box::new(status) }
}

fn print(args: &NodeArgs, balances: &[Shown], with_head: bool) -> Result<(), BalanceError> {
    let mut stdout = std::io::stdout().lock();
    if args.json {
        for balance in balances {
            let line =
                serde_json::to_string(balance).expect("strings and numbers have a JSON form");
            writeln!(stdout, "{line}")?;
        }
    } else {
        write!(stdout, "{}", show::table(balances, with_head))?;
    }
    stdout.flush()?;
    Ok(())
}
