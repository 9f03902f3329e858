//! What a newcomer is told at the start: where everything listens, and commands to paste.

use std::fmt::Write as _;
use std::path::Path;

use super::{CURRENCY, DEVELOPER, FIRST_CREDIT, KEY, ORGANIZATION, PRICE};
use crate::ready::Ready;

/// Calls that one paste of a loop makes at each gateway: more than the wallet pays for.
const LOOP_CALLS: usize = 150;

/// Where everything is.
pub(crate) fn addresses(ready: &Ready, data_dir: &Path) -> String {
    let mut text = String::from("\nTollgate serves.\n");
    for (place, url) in ready.gateways.iter().enumerate() {
        let _ = writeln!(text, "  {:<14} {url}", format!("gateway {}", place + 1));
    }
    let rows = [
        ("management", &ready.management),
        ("balance-sync", &ready.sync),
        ("metrics", &ready.metrics),
    ];
    for (part, url) in rows {
        if let Some(url) = url {
            let _ = writeln!(text, "  {part:<14} {url}");
        }
    }
    let _ = writeln!(text, "  {:<14} {}", "data", data_dir.display());
    if let Some(file) = &ready.admin_token_file {
        let _ = writeln!(text, "  {:<14} {}", "admin token", file.display());
    }
    if ready.demo.is_some() {
        let _ = writeln!(text, "  {:<14} {KEY}", "demo key");
    }
    text.push_str("Ctrl-C ends it in good order.");
    text
}

/// The commands, for a process that serves as `ready` says. `program` is what was started.
pub(crate) fn text(ready: &Ready, program: &Path) -> String {
    let Some(demo) = &ready.demo else { return String::new() };
    let token = ready.admin_token_file.as_deref().map(quoted).unwrap_or_default();
    let bearer = format!("\"Authorization: Bearer $(cat {token})\"");
    let management = ready.management.as_deref().unwrap_or_default();
    let developer = format!("{management}/v1/organizations/{ORGANIZATION}/developers/{DEVELOPER}");
    let sync = ready.sync.as_deref().unwrap_or_default();
    let host = sync.strip_prefix("http://").unwrap_or(sync);
    let asked = format!("--address {sync} --token-file {token}");
    let program = quoted(program);
    let mut text = String::new();
    let mut step = |what: &str, command: &str| {
        let _ = write!(text, "\n# {what}\n{command}\n");
    };
    step(
        &format!("A call that costs {PRICE} {CURRENCY}, of {FIRST_CREDIT} in the wallet"),
        &format!("curl -i -H 'x-api-key: {KEY}' {}", demo.url),
    );
    step("The balance, before and after", &format!("curl -s -H {bearer} {developer}/balance"));
    step(
        "The same over gRPC, with what each gateway believes; `watch` shows it change, `list` shows everybody's",
        &format!(
            "{program} balance get --gateways {asked}\n{program} balance watch {asked}\n{program} balance list {asked}"
        ),
    );
    step(
        "The same with grpcurl, where it is installed",
        &format!(
            "grpcurl -plaintext -H {bearer} -d '{{\"organization\":\"{ORGANIZATION}\",\"developer\":\"{DEVELOPER}\"}}' {host} tollgate.v1.Balances/GetBalance"
        ),
    );
    let gateways: Vec<String> =
        ready.gateways.iter().map(|url| format!("{url}{}", path_of(&demo.url))).collect();
    match gateways.as_slice() {
        [one] => step(
            "Spend the wallet until calls are refused: how many got 200, how many 402",
            &format!("{} | sort | uniq -c", burst(one)),
        ),
        _ => step(
            "Spend the wallet through all gateways at once: each believes its own copy for a moment, so more calls\n\
             # get 200 than the wallet pays for, and the balance goes below zero by exactly those",
            &both(&gateways),
        ),
    }
    step(
        "Top up: a debt is paid first, then calls pass again",
        &format!(
            "curl -s -X POST -H {bearer} -H 'content-type: application/json' {developer}/balance:credit \\\n  \
             -d '{{\"transactionAmount\":{{\"currencyCode\":\"{CURRENCY}\",\"units\":\"5\"}},\"transactionId\":\"'\"top-up-$(date +%s%N)\"'\"}}'"
        ),
    );
    text
}

/// As many calls at once as one connection pool makes, each one's status on a line.
fn burst(url: &str) -> String {
    format!(
        "curl -sZ --no-progress-meter --parallel-max 20 -H 'x-api-key: {KEY}' -o /dev/null -w '%{{http_code}}\\n' '{url}?n=[1-{LOOP_CALLS}]'"
    )
}

fn both(urls: &[String]) -> String {
    let bursts: Vec<String> = urls.iter().map(|url| format!("  {} &", burst(url))).collect();
    format!("{{\n{}\n  wait\n}} | sort | uniq -c", bursts.join("\n"))
}

fn path_of(url: &str) -> &str {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    rest.find('/').map_or("/", |slash| &rest[slash..])
}

/// A path as a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:@%,".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_one_word_to_a_shell() {
        let check = |path: &str, want: &str| assert_eq!(quoted(Path::new(path)), want);
        check("./data/admin-token", "./data/admin-token");
        check("/home/my data/t", "'/home/my data/t'");
        check("it's", r"'it'\''s'");
        check("$HOME", "'$HOME'");
    }
}
