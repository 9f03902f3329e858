//! Which proxy a path finds, and what its upstream is asked for.

use super::*;
use crate::config::Rewrite;

fn routes() -> Routes {
    let proxy = |name: &str, host: Option<&str>, base: &str, target: &str| Proxy {
        host: host.map(str::to_owned),
        base_path: base.to_owned(),
        ..Proxy::new(name, target)
    };
    let mut moved = proxy("moved", None, "/moved", "http://a:1/");
    moved.rewrite = vec![Rewrite { from: "/old".to_owned(), to: "/new/er".to_owned() }];
    let mut kept = proxy("kept", None, "/kept", "http://a:1");
    kept.strip_base_path = false;
    Routes::new(vec![
        proxy("root", None, "/", "http://a:1"),
        proxy("paid", None, "/paid", "http://a:1/v2/"),
        proxy("deep", None, "/paid/deep", "http://a:2"),
        proxy("named", Some("API.example"), "/paid", "http://a:1"),
        moved,
        kept,
    ])
}

#[test]
fn the_longest_base_path_on_a_boundary_wins() {
    let routes = routes();
    let rows = [
        ("x", "/", Ok(("root", "/"))),
        ("x", "/paid", Ok(("paid", "/"))),
        ("x", "/paid/", Ok(("paid", "/"))),
        ("x", "/paid/a", Ok(("paid", "/a"))),
        ("x", "/paidx", Ok(("root", "/paidx"))),
        ("x", "/paid/deep/a", Ok(("deep", "/a"))),
        ("x", "/paid/deeper", Ok(("paid", "/deeper"))),
        ("api.EXAMPLE", "/paid/deep", Ok(("named", "/deep"))),
        ("api.example.", "/paid/a", Ok(("named", "/a"))),
        ("api.example", "/other", Ok(("root", "/other"))),
        ("x", "*", Err(Refusal::BadRequest)),
        // Two readings with two prices.
        ("x", "/%70aid/a", Err(Refusal::BadRequest)),
        ("x", "//paid/a", Err(Refusal::BadRequest)),
        ("x", "/paid%2Fdeep/a", Err(Refusal::BadRequest)),
        ("x", "/\\paid", Err(Refusal::BadRequest)),
        // A servlet serves it as `/paid/a`; it went through the root's proxy, which may be an unmetered one.
        ("x", "/paid;v=1/a", Err(Refusal::BadRequest)),
        // Dots in every spelling.
        ("x", "/a/../paid", Err(Refusal::BadRequest)),
        ("x", "/a/%2e%2E/paid", Err(Refusal::BadRequest)),
        ("x", "/a/..;x/paid", Err(Refusal::BadRequest)),
        ("x", "/a/..%2fpaid", Err(Refusal::BadRequest)),
        ("x", "/paid/.", Err(Refusal::BadRequest)),
        ("x", "/a%00", Err(Refusal::BadRequest)),
        ("x", "/a%zz", Err(Refusal::BadRequest)),
        ("x", "/a%2", Err(Refusal::BadRequest)),
        // Two readings, one price.
        ("x", "/paid/%41", Ok(("paid", "/A"))),
        ("x", "/paid/a%2Fb", Ok(("paid", "/a/b"))),
        ("x", "/paid/.well-known", Ok(("paid", "/.well-known"))),
        ("x", "/paid//a", Ok(("paid", "/a"))),
        // What products are matched against: `/a;v=1` was no `/a`, and went by the price of whatever else covered it.
        ("x", "/paid/a;v=1/b;w", Ok(("paid", "/a/b"))),
        ("x", "/paid/a%3Bv/;/b", Ok(("paid", "/a/b"))),
        ("x", "/paid/a;v=%2Fb", Ok(("paid", "/a/b"))),
    ];
    for (host, path, want) in rows {
        let found = routes.find(host, path);
        let found = found.map(|it| (it.route.config.name.clone(), it.below.into_owned()));
        let want = want.map(|(name, below)| (name.to_owned(), below.to_owned()));
        assert_eq!(found, want, "{host} {path}");
    }
}

#[test]
fn the_path_below_keeps_its_bytes() {
    let routes = routes();
    let rows = [
        ("/a?b=c", Query::AsSent, "/a?b=c"),
        ("/a?b=c", Query::Without("x=y"), "/a?x=y"),
        ("/a?b=c", Query::Without(""), "/a"),
        ("/paid", Query::AsSent, "/v2"),
        ("/paid/", Query::AsSent, "/v2/"),
        ("/paid//a%2fb/%41?q", Query::AsSent, "/v2//a%2fb/%41?q"),
        ("/paid/a;v=1", Query::AsSent, "/v2/a;v=1"),
        ("/paid/deep", Query::AsSent, "/"),
        ("/paid/deep?x", Query::AsSent, "/?x"),
        ("/moved/old/a", Query::AsSent, "/new/er/a"),
        ("/moved/older", Query::AsSent, "/older"),
        ("/kept/a", Query::AsSent, "/kept/a"),
    ];
    for (sent, query, want) in rows {
        let uri: Uri = sent.parse().unwrap();
        let found = routes.find("x", uri.path()).unwrap();
        let path = found.route.upstream_path(&uri, query).unwrap();
        assert_eq!(path.as_str(), want, "{sent}");
    }
}

#[test]
fn proxies_of_one_target_share_its_connections() {
    let routes = routes();
    assert_eq!(routes.upstreams.len(), 2);
}
