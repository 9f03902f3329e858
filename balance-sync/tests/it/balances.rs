//! Balances for people and portals.

use std::time::Duration;

use tollgate_ledger_store::Clock;
use tollgate_ledger_store::catalogue::developers::DeveloperTerms;
use tollgate_proto::v1;
use tollgate_proto::v1::balances_client::BalancesClient;
use tollgate_proto::v1::gateway_message::Message as Inbound;
use tollgate_proto::v1::node_message::Message as Outbound;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::gateway::{Gateway, bearer, channel, register_of};
use crate::ground::{ACME, ADA, Ground, READ_TOKEN, TestNode, eur, eventually, money};

type Bearer = fn(Request<()>) -> Result<Request<()>, Status>;
type Client = BalancesClient<InterceptedService<Channel, Bearer>>;

async fn client(node: &TestNode) -> Client {
    let bearer: Bearer = |request| Ok(bearer(READ_TOKEN, request));
    BalancesClient::with_interceptor(channel(node).await, bearer)
}

fn ask() -> v1::GetBalanceRequest {
    v1::GetBalanceRequest {
        organization: ACME.to_owned(),
        developer: ADA.to_owned(),
        currency: String::new(),
        with_gateways: false,
    }
}

fn wire(text: &str) -> Option<v1::Money> {
    Some(money(text).into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_is_the_ledgers_and_the_newest_reports() {
    let ground = Ground::with_ten().await;
    let settings = tollgate_balance_sync::Settings {
        persist_interval: Duration::from_secs(600),
        ..crate::ground::settings()
    };
    let node = ground.node_with(settings).await;
    let (mut client, mut gateway) = (client(&node).await, Gateway::connect(&node).await);
    let seq = gateway.report(vec![register_of(ground.meter(), "3")]).await;
    gateway.flushed(seq).await;
    // Not in the ledger for minutes; the debt is shown as it is.
    let holds = vec![(ground.wallet, money("0.5"))];
    let registers = vec![register_of(ground.meter(), "1200")];
    gateway.report_of(gateway.incarnation, registers, holds, false).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let balances = client.get_balance(ask()).await.unwrap().into_inner().balances;
    let [balance] = balances.as_slice() else { panic!("one wallet, not {balances:?}") };
    assert_eq!(balance.balance, wire("-2"));
    assert_eq!(balance.overdraft, wire("2"));
    assert_eq!(balance.held, wire("0.5"));
    assert_eq!((balance.developer.as_str(), balance.currency.as_str()), (ADA, "EUR"));
    assert!(balance.last_credit_at_ms > 0);
    eventually("the overdraft is in the metrics", || async {
        node.metric("tollgate_overdraft_wallets", "") == 1.0
            && node.metric("tollgate_overdraft_total", "EUR") == 2.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_say_what_they_believe() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let mut client = client(&node).await;
    let mut gateway = Gateway::connect(&node).await;
    // One that is connected and does not use the wallet is not waited for.
    let _silent = Gateway::connect(&node).await;
    gateway.subscribe(ground.wallet).await;
    gateway.snapshot(|_| true).await;
    let answering = tokio::spawn(async move {
        let (question, wallet) = gateway
            .next_of(|message| match message {
                Outbound::LocalView(asked) => Some((asked.question, asked.wallet.clone())),
                _ => None,
            })
            .await;
        let view = v1::LocalView {
            gateway: "gateway".to_owned(),
            incarnation: Some(gateway.incarnation.into()),
            balance: wire("9.9"),
            held: wire("0"),
            available: wire("9.9"),
            staleness_ms: 7,
            not_durable: None,
            version: 2,
        };
        let answer = v1::LocalViewAnswer { question, view: Some(view) };
        gateway.send(Inbound::LocalView(answer)).await;
        // The stream stays open until the answer was read.
        (wallet, gateway)
    });
    let request = v1::GetBalanceRequest { with_gateways: true, ..ask() };
    let balances = client.get_balance(request).await.unwrap().into_inner().balances;
    let (wallet, _gateway) = answering.await.unwrap();
    assert_eq!(wallet, ground.wallet.0.as_bytes());
    let view = balances[0].gateways[0].view.as_ref().unwrap();
    assert_eq!((view.balance, view.staleness_ms), (wire("9.9"), 7));
    assert_eq!(balances[0].gateways.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organizations_wallets_come_page_by_page() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let mut client = client(&node).await;
    for name in ["bob", "cy", "dan"] {
        let terms = DeveloperTerms {
            email: format!("{name}@acme.test"),
            first_name: name.to_owned(),
            last_name: name.to_owned(),
            user_name: name.to_owned(),
            ..DeveloperTerms::default()
        };
        let now = ground.clock.now();
        let developer = ground.catalogue.create_developer(ACME, &terms, now).await.unwrap();
        if name != "cy" {
            ground.book.open_wallet(ACME, developer.id, eur()).await.unwrap();
        }
    }
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    for _ in 0..10 {
        let request = v1::ListBalancesRequest {
            organization: ACME.to_owned(),
            page_size: 1,
            page_token: page_token.clone(),
        };
        let page = client.list_balances(request).await.unwrap().into_inner();
        seen.extend(page.balances.into_iter().map(|balance| balance.developer));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, [ADA, "bob@acme.test", "dan@acme.test"]);
    let request = v1::ListBalancesRequest {
        organization: ACME.to_owned(),
        ..v1::ListBalancesRequest::default()
    };
    let page = client.list_balances(request).await.unwrap().into_inner();
    assert_eq!((page.balances.len(), page.next_page_token.as_str()), (3, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_sends_the_balance_now_and_after_each_change() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let mut client = client(&node).await;
    let request = v1::WatchBalanceRequest {
        organization: ACME.to_owned(),
        developer: ADA.to_owned(),
        currency: "EUR".to_owned(),
        min_interval_ms: 1,
    };
    let mut watch = client.watch_balance(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().balance, wire("10"));
    let mut gateway = Gateway::connect(&node).await;
    gateway.report(vec![register_of(ground.meter(), "3")]).await;
    assert_eq!(watch.message().await.unwrap().unwrap().balance, wire("9.97"));
    ground.credit("1").await;
    node.changes.changed(ground.wallet);
    assert_eq!(watch.message().await.unwrap().unwrap().balance, wire("10.97"));
    node.begin_stop();
    assert_eq!(watch.message().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_refused_with_its_field() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let mut client = client(&node).await;
    let check = async |client: &mut Client, request: v1::GetBalanceRequest, code, want: &str| {
        let status = client.get_balance(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(want), "{status}");
    };
    let invalid = Code::InvalidArgument;
    let request = v1::GetBalanceRequest { developer: String::new(), ..ask() };
    check(&mut client, request, invalid, "developer").await;
    let request = v1::GetBalanceRequest { currency: "euro".to_owned(), ..ask() };
    check(&mut client, request, invalid, "currency").await;
    let request = v1::GetBalanceRequest { currency: "USD".to_owned(), ..ask() };
    check(&mut client, request, Code::NotFound, "wallet").await;
    let request = v1::GetBalanceRequest { developer: "nobody@acme.test".to_owned(), ..ask() };
    check(&mut client, request, Code::NotFound, "developer").await;
    let request = v1::GetBalanceRequest { organization: "nowhere".to_owned(), ..ask() };
    check(&mut client, request, Code::NotFound, "organization").await;
    ground.ledger.set_away(true);
    check(&mut client, ask(), Code::Unavailable, "ledger").await;
}
