//! A catalogue of two thousand developers: the large one of `make bench-catalogue`, small enough for every run.

use self::ground::Ground;

#[allow(clippy::disallowed_methods, reason = "it measures with the machine's clock")]
#[allow(dead_code, reason = "the benchmark reads its times")]
#[path = "../../benches/catalogue/ground.rs"]
mod ground;

const DEVELOPERS: usize = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_loads_lists_whole_and_serves_keys_after_a_restart() {
    let ground = Ground::start().await;
    ground.load(DEVELOPERS, 16).await;
    let mut wanted: Vec<String> = (0..DEVELOPERS).map(ground::email).collect();
    wanted.sort();
    let listed = ground.list().await;
    assert_eq!(listed.emails, wanted, "each once, in order");
    assert_eq!(listed.pages.len(), 3, "pages overlap by one address, so the last is a short one");
    let keys = ground.fund(&[0, 999, 1_999]).await;
    let ground = ground.restart().await;
    assert_eq!(ground.call(&keys).await.len(), 3);
}
