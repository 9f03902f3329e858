//! The wire between a gateway and a node: what a cut holds back, and that healing loses nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tollgate_loadtest::link::{Link, Way};

/// How long nothing must come through a wire that is cut.
const SILENCE: Duration = Duration::from_millis(200);
const DEADLINE: Duration = Duration::from_secs(10);

/// Both ends of a wire whose gateway is this process.
async fn wire() -> (Link, TcpStream, TcpStream) {
    let owner = ("gateway-1".to_owned(), std::process::id());
    let owners = Arc::new(Mutex::new(HashMap::from([owner])));
    let link = Link::start(&["gateway-1".to_owned()], owners).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    link.lead_to(Some(listener.local_addr().unwrap()));
    let gateway = TcpStream::connect(link.url.trim_start_matches("http://")).await.unwrap();
    let (node, _) = listener.accept().await.unwrap();
    (link, gateway, node)
}

async fn hears(stream: &mut TcpStream, want: &str) {
    let mut bytes = vec![0; want.len()];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), want);
}

async fn hears_nothing(stream: &mut TcpStream) {
    let read = tokio::time::timeout(SILENCE, stream.read(&mut [0; 8])).await;
    assert!(read.is_err(), "{read:?} came through");
}

#[tokio::test]
async fn a_cut_holds_back_one_way_or_both_and_healing_lets_all_through() {
    let (link, mut gateway, mut node) = wire().await;
    gateway.write_all(b"one").await.unwrap();
    hears(&mut node, "one").await;
    node.write_all(b"two").await.unwrap();
    hears(&mut gateway, "two").await;

    link.set_cut("gateway-1", Way::ToNode, true);
    gateway.write_all(b"three").await.unwrap();
    hears_nothing(&mut node).await;
    node.write_all(b"four").await.unwrap();
    hears(&mut gateway, "four").await;

    link.set_cut("gateway-1", Way::Both, true);
    node.write_all(b"five").await.unwrap();
    hears_nothing(&mut gateway).await;
    link.set_cut("gateway-1", Way::Both, false);
    hears(&mut node, "three").await;
    hears(&mut gateway, "five").await;
}

#[tokio::test]
async fn another_gateways_cut_changes_nothing() {
    let (link, mut gateway, mut node) = wire().await;
    link.set_cut("gateway-2", Way::Both, true);
    gateway.write_all(b"one").await.unwrap();
    hears(&mut node, "one").await;
}

#[tokio::test]
async fn a_wire_that_leads_nowhere_refuses() {
    let (link, _gateway, _node) = wire().await;
    link.lead_to(None);
    let mut late = TcpStream::connect(link.url.trim_start_matches("http://")).await.unwrap();
    let read = tokio::time::timeout(DEADLINE, late.read(&mut [0; 8])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}
