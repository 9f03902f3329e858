//! Shadow mode: nothing is refused by admission, and what would have been is counted apart.

use http::Method;
use tollgate_gateway::admission::{Admission, CallHead, CallHold, Decision, Multiplier};
use tollgate_gateway::config::Proxy;
use tollgate_gateway::refusal::Refusal;
use tollgate_metering::BillingType::{Prepaid, Shadow, ShadowRefused};
use tollgate_metering::{BillingType, Units};
use tollgate_proto::v1;
use tollgate_proto::v1::node_message::Message as ToGateway;

use crate::harness::{Ended, Gateway, Upstream, proxy};
use crate::metered::{Wallets, units, until};
use crate::scripted_node::{KEY, Ledger, Node};

/// How a call passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passed {
    Admitted,
    /// In shadow mode, counted.
    Counted(Option<Refusal>),
    /// In shadow mode, with nobody to count it on.
    Uncounted(Option<Refusal>),
}

/// A successful call of one unit.
async fn call(wallets: &Wallets, proxy: &Proxy, key: Option<&str>) -> Result<Passed, Refusal> {
    let mut failed = None;
    for _ in 0..8 {
        let head = CallHead {
            proxy,
            proxy_index: 0,
            method: &Method::GET,
            path: "/",
            consumer_key: key,
            failed,
        };
        match wallets.metered.decide(&head) {
            Decision::Admit(hold) => {
                hold.settle(Multiplier::ONE);
                return Ok(Passed::Admitted);
            }
            Decision::Shadow { hold: Some(hold), refusal } => {
                hold.settle(Multiplier::ONE);
                return Ok(Passed::Counted(refusal));
            }
            Decision::Shadow { hold: None, refusal } => return Ok(Passed::Uncounted(refusal)),
            Decision::Unpriced => panic!("the proxy refuses unpriced calls"),
            Decision::Refuse(refused) => return Err(refused.kind),
            Decision::Missing(missing) => match failed {
                Some(refusal) => return Err(refusal),
                None => failed = wallets.metered.fetch(missing).await.err(),
            },
        }
    }
    panic!("never decided");
}

fn live() -> Proxy {
    Proxy::new("weather", "http://127.0.0.1:1")
}

fn shadowed() -> Proxy {
    Proxy { shadow: true, ..live() }
}

/// Waits until the ledger has so many units on the meters of a billing type.
async fn counted(ledger: &Ledger, billing: BillingType, calls: u64) {
    until("counted", || {
        let sum = ledger.with(|books| {
            let of = books.registers.iter().filter(|((meter, _), _)| meter.billing == billing);
            of.fold(Units::ZERO, |sum, (_, register)| sum.plus(register.units()).unwrap())
        });
        sum == units(calls)
    })
    .await;
}

async fn started(node: &Node) -> Wallets {
    let wallets = Wallets::start_with(vec![node.url()], |_| {});
    wallets.until_ready().await;
    wallets
}

async fn forget(node: &Node) {
    node.say(ToGateway::Forget(v1::Forget { everything: true, ..Default::default() })).await;
}

/// Calls until one passes like this: what the node said takes a moment to arrive.
async fn until_it_is(wallets: &Wallets, proxy: &Proxy, want: Result<Passed, Refusal>) {
    let deadline = tokio::time::Instant::now() + crate::harness::PATIENCE;
    while call(wallets, proxy, Some(KEY)).await != want {
        assert!(tokio::time::Instant::now() < deadline, "never {want:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_plan_in_shadow_mode_counts_what_would_pass_and_what_would_be_refused_apart() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    ledger.with(|books| (books.is_shadow, books.base) = (true, "0.03".parse().unwrap()));
    let wallets = started(&node).await;
    for _ in 0..3 {
        assert_eq!(call(&wallets, &live(), Some(KEY)).await, Ok(Passed::Counted(None)));
    }
    let spared = Passed::Counted(Some(Refusal::BalanceTooSmall));
    for _ in 0..2 {
        assert_eq!(call(&wallets, &live(), Some(KEY)).await, Ok(spared));
    }
    counted(&ledger, Shadow, 3).await;
    counted(&ledger, ShadowRefused, 2).await;
    // It bites: the money is all there, and what was used before is not paid.
    ledger.with(|books| books.is_shadow = false);
    forget(&node).await;
    let mut paid = 0;
    loop {
        match call(&wallets, &live(), Some(KEY)).await {
            Ok(Passed::Admitted) => paid += 1,
            Ok(_) => assert_eq!(paid, 0, "no call is in shadow mode after one was not"),
            Err(refusal) => break assert_eq!(refusal, Refusal::BalanceTooSmall),
        }
    }
    assert_eq!(paid, 3);
    counted(&ledger, Prepaid, 3).await;
    counted(&ledger, Shadow, 3).await;
    // And back.
    ledger.with(|books| books.is_shadow = true);
    forget(&node).await;
    until_it_is(&wallets, &live(), Ok(spared)).await;
}

#[tokio::test]
async fn a_proxy_in_shadow_mode_refuses_nobody_and_leaves_others_as_they_are() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    let wallets = started(&node).await;
    let check = async |key, want: Passed, otherwise: Refusal| {
        assert_eq!(call(&wallets, &shadowed(), key).await, Ok(want));
        assert_eq!(call(&wallets, &live(), key).await, Err(otherwise));
    };
    let uncounted = |refusal| Passed::Uncounted(Some(refusal));
    check(None, uncounted(Refusal::KeyMissing), Refusal::KeyMissing).await;
    check(Some("nobody"), uncounted(Refusal::KeyUnknown), Refusal::KeyUnknown).await;
    assert_eq!(call(&wallets, &shadowed(), Some(KEY)).await, Ok(Passed::Counted(None)));
    assert_eq!(call(&wallets, &live(), Some(KEY)).await, Ok(Passed::Admitted));
    counted(&ledger, Shadow, 1).await;
    counted(&ledger, Prepaid, 1).await;

    let spared = Passed::Counted(Some(Refusal::NoSubscription));
    ledger.with(|books| books.is_subscribed = false);
    forget(&node).await;
    until_it_is(&wallets, &shadowed(), Ok(spared)).await;
    check(Some(KEY), spared, Refusal::NoSubscription).await;
    ledger.with(|books| (books.is_subscribed, books.is_unpriced) = (true, true));
    forget(&node).await;
    until_it_is(&wallets, &shadowed(), Ok(uncounted(Refusal::NoRatePlan))).await;
    check(Some(KEY), uncounted(Refusal::NoRatePlan), Refusal::NoRatePlan).await;
    ledger.with(|books| (books.is_unpriced, books.is_key_approved) = (false, false));
    forget(&node).await;
    until_it_is(&wallets, &shadowed(), Ok(uncounted(Refusal::KeyNotApproved))).await;
    check(Some(KEY), uncounted(Refusal::KeyNotApproved), Refusal::KeyNotApproved).await;
}

#[tokio::test]
async fn a_proxy_in_shadow_mode_passes_calls_of_whom_nothing_can_be_known() {
    // Nobody listens there.
    let nobody = "http://127.0.0.1:1".to_owned();
    let wallets = Wallets::start_with(vec![nobody], |settings| settings.fetch_timeout_ms = 50);
    let unknown = Passed::Uncounted(Some(Refusal::BalanceUnknown));
    let passed = call(&wallets, &shadowed(), Some(KEY)).await;
    let asked_in_vain = Passed::Uncounted(Some(Refusal::CallerUnknown));
    assert!(passed == Ok(unknown) || passed == Ok(asked_in_vain), "{passed:?}");
    let refused = call(&wallets, &live(), Some(KEY)).await.unwrap_err();
    assert!(matches!(refused, Refusal::BalanceUnknown | Refusal::CallerUnknown), "{refused:?}");
}

#[tokio::test]
async fn calls_in_shadow_mode_are_forwarded_settled_and_counted_by_what_they_would_have_been() {
    let upstream = Upstream::ok("hello").await;
    let mut gateway = Gateway::start(vec![proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    for key in ["shadow", "spared", "spared"] {
        let answer = client.got("/", &[&format!("x-api-key: {key}")]).await;
        assert_eq!((answer.status(), &*answer.body), (200, "hello"), "{key}");
    }
    assert_eq!(gateway.ended(1).await, [Ended::Settled("1".to_owned(), "0".to_owned())]);
    gateway.counts("tollgate_calls_total", &["all", "shadow"], 1).await;
    gateway.counts("tollgate_calls_total", &["all", "shadow_refused"], 2).await;
    let spared = ["all", "balance_unknown"];
    gateway.counts("tollgate_shadow_refusals_total", &spared, 2).await;
}
