//! Starts the servers that are compared, each ended with the value that holds it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::load::{LOAD_CORE, SERVER_CORE, calls, children, cpu_ticks};

/// What is compared. Each answers the same calls from the same upstream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The gateway through a metered proxy.
    Metered,
    /// The same process through a proxy that meters nothing.
    Unmetered,
    /// nginx as a plain proxy.
    Nginx,
    /// nginx that asks Redis before each call.
    Lua,
}

/// A process that is killed when this is dropped.
struct Running(Child);

/// The ends of a gateway: the upstream behind it, and balance-sync with a ledger and a rich wallet.
pub(crate) struct Ends {
    folder: TempDir,
    upstream: u16,
    ready: Value,
    _running: Vec<Running>,
}

/// Everything that runs while peers are compared.
pub(crate) struct Servers {
    ends: Ends,
    gateway: Running,
    gateway_address: String,
    nginx: (Running, u16),
    lua: (Running, Running, u16),
}

// === impl Peer ===

impl Peer {
    /// In the order of their numbers.
    pub(crate) const ALL: [Peer; 4] = [Peer::Metered, Peer::Unmetered, Peer::Nginx, Peer::Lua];

    /// As printed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Peer::Metered => "metered",
            Peer::Unmetered => "unmetered",
            Peer::Nginx => "nginx",
            Peer::Lua => "nginx+Lua+Redis",
        }
    }
}

// === impl Running ===

impl Running {
    fn start(core: &str, program: &str, arguments: &[&str]) -> Running {
        let mut command = Command::new("taskset");
        command.args(["-c", core, program]).args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        Running(command.spawn().expect("`make bench` installs what is started here"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The process may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

// === impl Ends ===

impl Ends {
    /// Starts an upstream and `tollgate standalone`, and pays a million into the demo's wallet.
    pub(crate) fn start() -> Ends {
        let folder = tempfile::tempdir().unwrap();
        let upstream = free_port();
        let config = configure(folder.path(), "upstream.conf", &[("@UPSTREAM@", upstream)]);
        let nginx = Running::start(LOAD_CORE, "nginx", &["-c", &config]);
        let data = folder.path().join("data");
        let mut arguments = vec!["standalone", "--data-dir", data.to_str().unwrap()];
        for option in
            ["--gateway-listen", "--management-listen", "--sync-listen", "--metrics-listen"]
        {
            arguments.extend([option, "127.0.0.1:0"]);
        }
        let mut standalone = Running::start(LOAD_CORE, env!("CARGO_BIN_EXE_tollgate"), &arguments);
        let ready = ready(&mut standalone.0);
        wait_for(upstream);
        let ends = Ends { folder, upstream, ready, _running: vec![nginx, standalone] };
        ends.credit();
        ends
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn key(&self) -> &str {
        self.text("/demo/key")
    }

    /// Writes the configuration of a gateway with one worker: `/` is metered, `/unmetered` is not.
    pub(crate) fn gateway_config(&self) -> PathBuf {
        let path = self.folder().join("gateway.toml");
        let text = format!(
            r#"
[gateway]
listen = "127.0.0.1:0"
data_dir = "{data}"
[limits]
workers = 1
[sync]
nodes = ["{sync}"]
token = {{ file = "{token}" }}
[metrics]
listen = "127.0.0.1:0"
[[proxy]]
name = "demo"
base_path = "/"
target = "http://127.0.0.1:{upstream}"
[[proxy]]
name = "unmetered"
base_path = "/unmetered"
target = "http://127.0.0.1:{upstream}"
metering = "none"
"#,
            data = self.folder().join("gateway").display(),
            sync = self.text("/sync"),
            token = self.text("/admin_token_file"),
            upstream = self.upstream,
        );
        std::fs::create_dir_all(self.folder().join("gateway")).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn text(&self, pointer: &str) -> &str {
        self.ready.pointer(pointer).and_then(Value::as_str).expect("the ready line says it")
    }

    fn credit(&self) {
        let token = std::fs::read_to_string(self.text("/admin_token_file")).unwrap();
        let path = format!(
            "/v1/organizations/{}/developers/{}/balance:credit",
            self.text("/demo/organization"),
            self.text("/demo/developer")
        );
        let body = r#"{"transactionAmount":{"currencyCode":"EUR","units":"1000000"},"transactionId":"bench"}"#;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            token.trim(),
            body.len()
        );
        let answer = exchange(self.text("/management"), &head);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// A sum of metrics of balance-sync whose name and labels start with `prefix`.
    fn metric(&self, prefix: &str) -> f64 {
        let answer = exchange(
            self.text("/metrics"),
            "GET /metrics HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n",
        );
        let values = answer.lines().filter(|line| line.starts_with(prefix));
        values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

// === impl Servers ===

impl Servers {
    /// Starts everything and waits until it answers.
    pub(crate) fn start() -> Servers {
        let ends = Ends::start();
        let config = ends.gateway_config();
        let arguments = ["gateway", "--config", config.to_str().unwrap()];
        let mut gateway = Running::start(SERVER_CORE, env!("CARGO_BIN_EXE_tollgate"), &arguments);
        let address = ready(&mut gateway.0)["gateway"].as_str().expect("a gateway").to_owned();
        let folder = ends.folder();
        let plain = free_port();
        let ports = [("@UPSTREAM@", ends.upstream), ("@PLAIN@", plain)];
        let config = configure(folder, "nginx-plain.conf", &ports);
        let nginx = Running::start(SERVER_CORE, "nginx", &["-c", &config]);
        let (redis, redis_port, script) = start_redis(folder, ends.key());
        let lua = free_port();
        let ports = [("@UPSTREAM@", ends.upstream), ("@LUA@", lua), ("@REDIS@", redis_port)];
        let config = configure(folder, "nginx-lua.conf", &ports);
        let text = std::fs::read_to_string(&config).unwrap().replace("@SCRIPT@", &script);
        std::fs::write(&config, text).unwrap();
        let lua_nginx = Running::start(SERVER_CORE, "nginx", &["-c", &config]);
        wait_for(plain);
        wait_for(lua);
        Servers {
            ends,
            gateway,
            gateway_address: address,
            nginx: (nginx, plain),
            lua: (lua_nginx, redis, lua),
        }
    }

    /// µs of CPU that one call costs a peer, under a closed loop for `span`.
    pub(crate) fn cpu_per_call(&self, peer: Peer, span: Duration, connections: u64) -> f64 {
        let (url, processes) = match peer {
            Peer::Metered => (format!("{}/", self.gateway_address), vec![self.gateway.0.id()]),
            Peer::Unmetered => {
                (format!("{}/unmetered", self.gateway_address), vec![self.gateway.0.id()])
            }
            Peer::Nginx => (format!("http://127.0.0.1:{}/", self.nginx.1), workers(&self.nginx.0)),
            Peer::Lua => {
                let mut processes = workers(&self.lua.0);
                processes.push(self.lua.1.0.id());
                (format!("http://127.0.0.1:{}/", self.lua.2), processes)
            }
        };
        let used = || processes.iter().map(|process| cpu_ticks(*process)).sum::<u64>();
        let before = used();
        let calls = calls(&url, self.ends.key(), span, connections);
        // A tick is 10 ms.
        (used() - before) as f64 * 10_000.0 / calls as f64
    }

    /// Prints the rows that the ledger wrote for a run of metered calls.
    pub(crate) fn print_ledger_rows(&self, connections: u64) {
        let rows = || self.ends.metric("tollgate_sync_rows_written_total");
        let before = rows();
        let span = Duration::from_secs(5);
        let calls =
            calls(&format!("{}/", self.gateway_address), self.ends.key(), span, connections);
        // The last report of the run is persisted within a second or two.
        std::thread::sleep(Duration::from_secs(2));
        let written = rows() - before;
        println!(
            "ledger rows: {written} for {calls} calls in {span:?}, {:.0} per 100k calls",
            written * 100_000.0 / calls as f64
        );
    }
}

/// Starts Redis without persistence, with the script loaded and a rich wallet behind the key.
fn start_redis(folder: &Path, key: &str) -> (Running, u16, String) {
    let port = free_port();
    let text = port.to_string();
    let folder = folder.to_str().unwrap();
    let options = [
        "--bind",
        "127.0.0.1",
        "--port",
        &text,
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        folder,
    ];
    let redis = Running::start(SERVER_CORE, "redis-server", &options);
    wait_for(port);
    let ask = |arguments: &[&str]| {
        let output =
            Command::new("redis-cli").args(["-p", &text]).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(ask(&["set", &format!("key:{key}"), "wallet:1"]), "OK");
    assert_eq!(ask(&["set", "wallet:1", "9000000000000000"]), "OK");
    let script = std::fs::read_to_string(source("debit.lua")).unwrap();
    let hash = ask(&["script", "load", &script]);
    assert_eq!(hash.len(), 40, "{hash}");
    (redis, port, hash)
}

/// Waits for the line on stdout that says where a tollgate process serves.
pub(crate) fn ready(process: &mut Child) -> Value {
    let mut lines = BufReader::new(process.stdout.take().expect("stdout is piped")).lines();
    let line = lines.next().expect("a process that serves says so").unwrap();
    let json = line.strip_prefix("ready ").expect("the line starts with ready");
    serde_json::from_str(json).unwrap()
}

/// Processes whose CPU is an nginx's: the master and its workers.
fn workers(nginx: &Running) -> Vec<u32> {
    let master = nginx.0.id();
    std::iter::once(master).chain(children(master)).collect()
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/bench").join(name)
}

/// Fills the ports into a configuration and returns where it is.
fn configure(folder: &Path, name: &str, ports: &[(&str, u16)]) -> String {
    let mut text = std::fs::read_to_string(source(name)).unwrap();
    text = text.replace("@DIR@", folder.to_str().unwrap());
    for (place, port) in ports {
        text = text.replace(place, &port.to_string());
    }
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until something listens on the port; five seconds at most.
fn wait_for(port: u16) {
    for _ in 0..100 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("nothing listens on port {port}");
}

/// Sends a whole request and reads until the server closes.
fn exchange(url: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
