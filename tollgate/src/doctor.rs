//! `tollgate doctor`: checks what a configuration needs to work, says what is wrong and how to mend it.
//!
//! It may run beside the process whose configuration it checks, or before it: what is free or not made yet is as it should
//! be. Nothing that it finds is changed; the paid call is on a wallet of its own, which is made for it and taken away.
//! Not here: what a configuration may say (`config`).

mod call;
mod certificates;
mod machine;
mod nodes;
mod report;
mod site;

use std::io::Write as _;

use tollgate_ledger_store::{Clock as _, SystemClock};

use crate::cli::DoctorArgs;
use crate::http;
use report::Report;
use site::Site;

/// Makes every check and prints what was found; answers whether nothing failed.
///
/// # Errors
/// The output's.
pub(crate) async fn run(args: &DoctorArgs) -> std::io::Result<bool> {
    let mut report = Report::default();
    match Site::read(args) {
        Ok(site) => {
            let found = format!("a sound configuration of tollgate {}", site.kind);
            report.ok("config", args.config.display(), found);
            examine(&mut report, &site, args).await;
        }
        Err(error) => {
            let mend = "mend the line that is named; everything else is checked after that";
            report.fail("config", args.config.display(), crate::chain(&error), mend);
        }
    }
    let mut stdout = std::io::stdout().lock();
    if args.json {
        let text = serde_json::to_string_pretty(&report).expect("texts have a JSON form");
        writeln!(stdout, "{text}")?;
    } else {
        write!(stdout, "{}", report.table())?;
    }
    stdout.flush()?;
    Ok(report.is_sound())
}

async fn examine(report: &mut Report, site: &Site, args: &DoctorArgs) {
    let clock = SystemClock::start();
    let is_made_at_start = site.kind == "standalone";
    for (name, place) in &site.secrets {
        machine::secret(report, name, place, is_made_at_start);
    }
    for dir in &site.data_dirs {
        machine::data_dir(report, dir);
    }
    for port in &site.ports {
        machine::port(report, port).await;
    }
    for pair in &site.pairs {
        certificates::pair(report, pair, clock.now());
    }
    for path in &site.authorities {
        certificates::authority(report, path, clock.now());
    }
    if let Some((ledger, folder)) = &site.ledger {
        nodes::ledger(report, ledger, folder.as_deref(), clock.now()).await;
    }
    let (token, tls) = (site.node_token.as_ref(), site.node_tls.as_ref());
    for url in &site.nodes {
        nodes::node(report, url, token, tls, || clock.now()).await;
    }
    for proxy in &site.proxies {
        nodes::upstream(report, proxy).await;
    }
    paid_call(report, site, args, &clock).await;
}

/// A paid call, where there is all that it needs.
async fn paid_call(report: &mut Report, site: &Site, args: &DoctorArgs, clock: &SystemClock) {
    const CHECK: &str = "paid call";
    let skipped = |report: &mut Report, why: &str| report.skipped(CHECK, site.kind, why);
    if args.no_call {
        return skipped(report, "not asked for");
    }
    let Some(management) = &site.management else {
        return skipped(report, "needs the management API: --management URL");
    };
    let url = format!("{management}/healthz");
    match http::send(http::Ask { url: &url, ..http::Ask::default() }).await {
        Ok(answer) => {
            let date = answer.headers.get("date").and_then(|value| value.to_str().ok());
            nodes::date(report, management, date, clock.now());
        }
        Err(reason) if args.management.is_none() => {
            return skipped(report, &format!("the management API does not run: {reason}"));
        }
        Err(reason) => {
            let mend = "start the node with [management], or name another address";
            return report.fail(CHECK, management, reason, mend);
        }
    }
    let Some(gateway) = &site.gateway else {
        return skipped(report, "needs a gateway: --gateway URL, with the proxy's name and path");
    };
    let Some(place) = &site.admin else {
        return skipped(report, "needs an admin's token: --token-file FILE");
    };
    let is_wanted = |name: &str| args.proxy.as_ref().is_none_or(|wanted| wanted == name);
    let proxy = site.proxies.iter().find(|proxy| call::is_paid(proxy) && is_wanted(&proxy.name));
    let Some(proxy) = proxy else {
        return skipped(report, "no metered proxy is configured here (or of that name: --proxy)");
    };
    match place.read() {
        Ok(token) => call::check(report, (management, gateway), &token, proxy, args).await,
        Err(error) => {
            let mend = "name a file with an admin's token: --token-file FILE";
            report.fail(CHECK, place, crate::chain(&error), mend);
        }
    }
}
