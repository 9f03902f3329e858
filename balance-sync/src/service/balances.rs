//! Service `Balances`: what wallets are worth, for people and portals.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tollgate_ledger_store::catalogue::records::Developer;
use tollgate_metering::{Currency, Header, WalletId};
use tollgate_proto::{incarnation, v1};
use tonic::{Request, Response, Status};

use super::Services;
use crate::access::Needed;
use crate::admission::admit;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::settings::VIEW_TIMEOUT;
use crate::shard::{Command, Settled, Sink, Told, Worth};

/// Developers of one page where none are asked for, and most of one.
const PAGE_SIZE: usize = 100;
const PAGE_SIZE_MAX: usize = 1_000;

/// The pace of a watch where none is asked for, and the slowest.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);
const WATCH_INTERVAL_MAX: Duration = Duration::from_secs(3_600);

/// Balances between a watch and its connection.
const WATCHED_MAX: usize = 4;

#[tonic::async_trait]
impl v1::balances_server::Balances for Services {
    type WatchBalanceStream = ReceiverStream<Result<v1::Balance, Status>>;

    async fn get_balance(
        &self,
        request: Request<v1::GetBalanceRequest>,
    ) -> Result<Response<v1::GetBalanceResponse>, Status> {
        Ok(Response::new(self.get(request).await?))
    }

    async fn list_balances(
        &self,
        request: Request<v1::ListBalancesRequest>,
    ) -> Result<Response<v1::ListBalancesResponse>, Status> {
        Ok(Response::new(self.list(request).await?))
    }

    async fn watch_balance(
        &self,
        request: Request<v1::WatchBalanceRequest>,
    ) -> Result<Response<Self::WatchBalanceStream>, Status> {
        Ok(Response::new(self.watch(request).await?))
    }
}

// === impl Services ===

impl Services {
    async fn get(
        &self,
        request: Request<v1::GetBalanceRequest>,
    ) -> Result<v1::GetBalanceResponse, Refusal> {
        let node = &self.0;
        let needed = Needed::Balances { organization: &request.get_ref().organization };
        admit(node, &request, needed).await?;
        let request = request.into_inner();
        let developer = developer(node, &request.organization, &request.developer).await?;
        let wanted = currency(&request.currency)?;
        let mut balances = balances_of(node, &developer, wanted).await?;
        if wanted.is_some() && balances.is_empty() {
            return Err(Refusal::Missing("wallet"));
        }
        if request.with_gateways {
            let views = balances.iter_mut().map(|balance| add_views(node, balance));
            futures_util::future::join_all(views).await;
        }
        Ok(v1::GetBalanceResponse { balances })
    }

    async fn list(
        &self,
        request: Request<v1::ListBalancesRequest>,
    ) -> Result<v1::ListBalancesResponse, Refusal> {
        let node = &self.0;
        let needed = Needed::Balances { organization: &request.get_ref().organization };
        admit(node, &request, needed).await?;
        let request = request.into_inner();
        let organization = named("organization", &request.organization)?;
        let size = match usize::try_from(request.page_size).unwrap_or(usize::MAX) {
            0 => PAGE_SIZE,
            size if size <= PAGE_SIZE_MAX => size,
            _ => {
                let problem = format!("must be at most {PAGE_SIZE_MAX}");
                return Err(Refusal::Invalid { field: "page_size", problem });
            }
        };
        let mut start = Some(request.page_token).filter(|token| !token.is_empty());
        let mut balances = Vec::new();
        // A page holds whole developers, so that its token is a name and stays good.
        while balances.len() < size {
            let page = node.catalogue.developers(organization, start.as_deref(), size + 1).await?;
            let mut page = page.into_iter();
            start = None;
            for developer in &mut page {
                if balances.len() >= size {
                    start = Some(developer.email);
                    break;
                }
                start = Some(format!("{}\u{0}", developer.email));
                balances.extend(balances_of(node, &developer, None).await?);
            }
            if start.is_none() {
                break;
            }
        }
        Ok(v1::ListBalancesResponse { balances, next_page_token: start.unwrap_or_default() })
    }

    async fn watch(
        &self,
        request: Request<v1::WatchBalanceRequest>,
    ) -> Result<ReceiverStream<Result<v1::Balance, Status>>, Refusal> {
        let node = &self.0;
        let needed = Needed::Balances { organization: &request.get_ref().organization };
        admit(node, &request, needed).await?;
        let request = request.into_inner();
        let developer = developer(node, &request.organization, &request.developer).await?;
        let interval = match u64::from(request.min_interval_ms) {
            0 => WATCH_INTERVAL,
            interval_ms => Duration::from_millis(interval_ms),
        };
        if interval > WATCH_INTERVAL_MAX {
            let problem = format!("must be at most {}", WATCH_INTERVAL_MAX.as_millis());
            return Err(Refusal::Invalid { field: "min_interval_ms", problem });
        }
        let wanted = currency(&request.currency)?;
        let headers = node.ledger.wallets_of(developer.id).await?;
        let mut wallets = headers
            .iter()
            .filter(|header| wanted.is_none_or(|currency| header.currency == currency))
            .map(|header| header.wallet);
        let (Some(wallet), None) = (wallets.next(), wallets.next()) else {
            return Err(if wanted.is_none() && !headers.is_empty() {
                let problem = "must be named, the developer has several wallets".to_owned();
                Refusal::Invalid { field: "currency", problem }
            } else {
                Refusal::Missing("wallet")
            });
        };
        let (outgoing, balances) = mpsc::channel(WATCHED_MAX);
        let watch = Watch { node: Arc::clone(node), wallet, email: developer.email, interval };
        tokio::spawn(async move {
            if let Err(refusal) = watch.run(&outgoing).await {
                let _ = outgoing.send(Err(refusal.into())).await;
            }
        });
        Ok(ReceiverStream::new(balances))
    }
}

/// Sends the balance of one wallet whenever it changes.
struct Watch {
    node: Arc<Node>,
    wallet: WalletId,
    email: String,
    interval: Duration,
}

// === impl Watch ===

impl Watch {
    /// Runs until the caller is gone. It listens to the shard as a gateway without units does.
    async fn run(
        &self,
        outgoing: &mpsc::Sender<Result<v1::Balance, Status>>,
    ) -> Result<(), Refusal> {
        let node = &self.node;
        let stream = node.number_stream();
        let (tell, mut told) = mpsc::channel(1);
        let sink = Sink::new(tell, Arc::new(Settled::of_shards(node.shards.len())));
        let open = Command::Open { stream, own: Arc::default(), staleness_limit: None, sink };
        node.to_shard_of(self.wallet, open).await?;
        let subscribe = Command::Subscribe { stream, wallets: vec![self.wallet] };
        node.to_shard_of(self.wallet, subscribe).await?;
        let ended = tokio::select! {
            ended = self.follow(&mut told, outgoing) => ended,
            () = outgoing.closed() => Ok(()),
            () = node.drained.cancelled() => Err(Refusal::Draining),
        };
        let _ = node.to_shard_of(self.wallet, Command::Close { stream }).await;
        ended
    }

    async fn follow(
        &self,
        told: &mut mpsc::Receiver<Told>,
        outgoing: &mpsc::Sender<Result<v1::Balance, Status>>,
    ) -> Result<(), Refusal> {
        let mut sent = None;
        while let Some(told) = told.recv().await {
            match told {
                Told::Snapshot(_) | Told::Fresh { .. } | Told::Mode { .. } => {}
                Told::NoWallet(_) => return Err(Refusal::Missing("wallet")),
                Told::End(refusal) => return Err(refusal),
            }
            let balance = to_wire(worth(&self.node, self.wallet, true).await?, &self.email);
            if sent.as_ref() != Some(&balance) {
                sent = Some(balance.clone());
                if outgoing.send(Ok(balance)).await.is_err() {
                    return Ok(());
                }
                tokio::time::sleep(self.interval).await;
            }
        }
        Err(Refusal::Draining)
    }
}

fn named<'a>(field: &'static str, name: &'a str) -> Result<&'a str, Refusal> {
    if name.is_empty() {
        return Err(Refusal::Invalid { field, problem: "must be named".to_owned() });
    }
    Ok(name)
}

async fn developer(node: &Node, organization: &str, developer: &str) -> Result<Developer, Refusal> {
    let organization = named("organization", organization)?;
    let developer = named("developer", developer)?;
    Ok(node.catalogue.developer(organization, developer).await?)
}

fn currency(code: &str) -> Result<Option<Currency>, Refusal> {
    if code.is_empty() {
        return Ok(None);
    }
    let invalid = |_| Refusal::Invalid {
        field: "currency",
        problem: "must be three capital letters".to_owned(),
    };
    code.parse().map(Some).map_err(invalid)
}

async fn balances_of(
    node: &Node,
    developer: &Developer,
    wanted: Option<Currency>,
) -> Result<Vec<v1::Balance>, Refusal> {
    let mut headers: Vec<Header> = node.ledger.wallets_of(developer.id).await?;
    headers.retain(|header| wanted.is_none_or(|currency| header.currency == currency));
    headers.sort_unstable_by_key(|header| header.currency);
    let mut balances = Vec::with_capacity(headers.len());
    for header in headers {
        let worth = worth(node, header.wallet, false).await?;
        balances.push(to_wire(worth, &developer.email));
    }
    Ok(balances)
}

pub(super) async fn worth(node: &Node, wallet: WalletId, is_peek: bool) -> Result<Worth, Refusal> {
    let (answer, answered) = oneshot::channel();
    node.to_shard_of(wallet, Command::Ask { wallet, is_peek, answer }).await?;
    answered.await.map_err(|_| Refusal::Draining)?
}

fn to_wire(worth: Worth, email: &str) -> v1::Balance {
    let Worth { header, balance, held, reserved, exposure, ceilings: _ } = worth;
    v1::Balance {
        wallet: header.wallet.0.as_bytes().to_vec(),
        organization: header.organization,
        developer: email.to_owned(),
        currency: header.currency.to_string(),
        balance: Some(balance.into()),
        overdraft: Some(balance.debt().into()),
        held: Some(held.into()),
        overdraft_limit: Some(header.overdraft_limit.into()),
        version: header.version,
        last_credit_at_ms: header.last_credit_at.map_or(0, |at| at.0),
        gateways: Vec::new(),
        reserved: Some(reserved.into()),
        overspend: v1::Overspend::from(header.mode.overspend).into(),
        is_mode_changing: header.mode.is_changing,
        max_exposure: Some(exposure.most.into()),
        is_max_exposure_promised: exposure.is_promised,
    }
}

/// Asks the gateways; those that do not answer in time are not in it.
async fn add_views(node: &Node, balance: &mut v1::Balance) {
    let Ok(wallet) = tollgate_proto::wallet("wallet", &balance.wallet) else { return };
    let mut views = node.ask_gateways(wallet);
    let collect = async {
        while let Some(view) = views.recv().await {
            balance.gateways.push(v1::GatewayView { view: Some(view), ..Default::default() });
        }
    };
    // Out of time is no error: what came is in the balance already.
    let _ = tokio::time::timeout(VIEW_TIMEOUT, collect).await;
    let grants = worth(node, wallet, true).await.map(|worth| worth.ceilings).unwrap_or_default();
    for view in &mut balance.gateways {
        let named = view.view.as_ref().map(|view| &view.incarnation);
        let named = named.and_then(|named| incarnation("incarnation", named).ok());
        if let Some(grant) = named.and_then(|named| grants.get(&named)) {
            view.granted = Some(grant.draw.into());
            view.reserved = grant.reserved().ok().map(Into::into);
        }
    }
    let name = |view: &v1::GatewayView| view.view.as_ref().map(|view| view.gateway.clone());
    balance.gateways.sort_by_key(name);
}
