//! Balances over gRPC: what the ledger has, and what each gateway believes.

use std::time::Duration;

use tollgate_proto::v1;
use tollgate_proto::v1::balances_client::BalancesClient;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use crate::nanos::Nanos;

/// How long an answer is waited for; a node waits for its gateways itself, for at most a second.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// One wallet as the ledger and the gateways have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What the ledger and the newest reports say.
    pub ledger: Nanos,
    /// Of it, what gateways may spend, or may have spent, under grants.
    pub reserved: Nanos,
    /// Calls take the wallet at most so far below its floor, as the node has it.
    pub bound: Nanos,
    /// Whether that is promised; else it was measured.
    pub is_bound_promised: bool,
    /// What each connected gateway that uses the wallet believes, by name.
    pub gateways: Vec<View>,
}

/// What one gateway believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Which one.
    pub gateway: String,
    /// Its balance.
    pub balance: Nanos,
    /// Age of what it knows of the others.
    pub staleness: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there.
    #[error("cannot reach a node at {0}")]
    Connect(String, #[source] tonic::transport::Error),
    /// It refused, or did not answer in time.
    #[error("a node answers {:?}: {}", .0.code(), .0.message())]
    Refused(Box<tonic::Status>),
    /// There is no such wallet.
    #[error("there is no wallet yet")]
    NoWallet,
}

/// Asks one node.
#[derive(Debug, Clone)]
pub struct Node {
    client: BalancesClient<Channel>,
    bearer: String,
}

// === impl Node ===

impl Node {
    /// Connects to a node at `http://host:port`.
    ///
    /// # Errors
    /// [`AskError::Connect`].
    pub async fn connect(url: &str, token: &str) -> Result<Self, AskError> {
        let failed = |source| AskError::Connect(url.to_owned(), source);
        let endpoint = Endpoint::from_shared(url.to_owned()).map_err(failed)?;
        let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).timeout(ANSWER_TIMEOUT);
        let channel = endpoint.connect().await.map_err(failed)?;
        Ok(Self { client: BalancesClient::new(channel), bearer: format!("Bearer {token}") })
    }

    /// One wallet of a developer, and what every gateway believes of it.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask(
        &mut self,
        organization: &str,
        developer: &str,
        currency: &str,
    ) -> Result<Seen, AskError> {
        let mut request = Request::new(v1::GetBalanceRequest {
            organization: organization.to_owned(),
            developer: developer.to_owned(),
            currency: currency.to_owned(),
            with_gateways: true,
        });
        if let Ok(bearer) = self.bearer.parse() {
            request.metadata_mut().insert("authorization", bearer);
        }
        let answer = self.client.get_balance(request).await;
        let answer = answer.map_err(|status| AskError::Refused(Box::new(status)))?.into_inner();
        let wallet = answer.balances.first().ok_or(AskError::NoWallet)?;
        Ok(Seen::of(wallet))
    }
}

// === impl Seen ===

impl Seen {
    fn of(wallet: &v1::Balance) -> Self {
        let views = wallet.gateways.iter().filter_map(|gateway| gateway.view.as_ref());
        let mut gateways: Vec<View> = views
            .map(|view| View {
                gateway: view.gateway.clone(),
                balance: Nanos::of_wire(view.balance.as_ref()),
                staleness: Duration::from_millis(view.staleness_ms),
            })
            .collect();
        gateways.sort_by(|a, b| a.gateway.cmp(&b.gateway));
        Self {
            ledger: Nanos::of_wire(wallet.balance.as_ref()),
            reserved: Nanos::of_wire(wallet.reserved.as_ref()),
            bound: Nanos::of_wire(wallet.max_exposure.as_ref()),
            is_bound_promised: wallet.is_max_exposure_promised,
            gateways,
        }
    }
}
