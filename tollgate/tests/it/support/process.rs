//! A process of the binary under test: started, read, signalled, and never left behind.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{DEADLINE, now};

/// A running process that has said `ready`.
pub(crate) struct Tollgate {
    child: Child,
    /// What stands behind `ready`.
    pub(crate) ready: Value,
    stderr: Arc<Mutex<String>>,
}

/// A command line of the binary, with an environment that nothing outside the test reaches into.
pub(crate) fn command<I, S>(args: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(args).env_remove("RUST_LOG").stdin(Stdio::null());
    for name in ["TOLLGATE_ADDRESS", "TOLLGATE_TOKEN_FILE"] {
        command.env_remove(name);
    }
    command
}

/// Runs a command of the binary that ends by itself.
pub(crate) fn run<I, S>(args: I) -> Output
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    command(args).output().expect("the binary starts")
}

/// What a command wrote to stdout and stderr, for messages.
pub(crate) fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// `tollgate standalone` on free ports, its data in `dir`.
pub(crate) fn standalone(dir: &Path, more: &[&str]) -> Tollgate {
    Tollgate::start(standalone_command(dir, more))
}

/// The command line of [`standalone`].
pub(crate) fn standalone_command(dir: &Path, more: &[&str]) -> Command {
    let any = "127.0.0.1:0";
    let mut command = command(["standalone", "--data-dir"]);
    command.arg(dir).args(["--gateway-listen", any, "--management-listen", any]);
    command.args(["--sync-listen", any, "--metrics-listen", any]).args(more);
    command
}

// === impl Tollgate ===

impl Tollgate {
    /// Starts a process and waits until it says `ready`.
    pub(crate) fn start(command: Command) -> Self {
        Self::try_start(command).unwrap_or_else(|(status, stderr)| {
            panic!("the process ended with {status} before it was ready; it said:\n{stderr}")
        })
    }

    /// Starts a process and waits until it says `ready` or ends.
    pub(crate) fn try_start(mut command: Command) -> Result<Self, (ExitStatus, String)> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = Arc::new(Mutex::new(String::new()));
        let said = Arc::clone(&stderr);
        let mut pipe = child.stderr.take().expect("stderr is piped");
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut bytes) {
                said.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
        });
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (found, ready) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some(json) = line.strip_prefix("ready ") {
                    let _ = found.send(json.to_owned());
                }
            }
        });
        match ready.recv_timeout(DEADLINE) {
            Ok(json) => {
                let ready = serde_json::from_str(&json).expect("the ready line is JSON");
                Ok(Self { child, ready, stderr })
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = child.wait().expect("the process can be waited for");
                let _ = reader.join();
                Err((status, stderr.lock().unwrap().clone()))
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("not ready within {DEADLINE:?}; it said:\n{}", stderr.lock().unwrap());
            }
        }
    }

    /// A string of the ready line, by the names on the way to it.
    pub(crate) fn text(&self, path: &[&str]) -> &str {
        let value = path.iter().fold(&self.ready, |value, name| &value[*name]);
        value.as_str().unwrap_or_else(|| panic!("{path:?} is in {}", self.ready))
    }

    /// All gateways.
    pub(crate) fn gateways(&self) -> Vec<String> {
        let list = self.ready["gateways"].as_array().expect("there are gateways");
        list.iter().map(|url| url.as_str().expect("a URL").to_owned()).collect()
    }

    /// What the process has written to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a pid");
        let _ = kill_process(pid, signal);
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("the process can be waited for");
    }

    /// Asks it to end and answers how it did.
    pub(crate) fn stop(self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(mut self) -> ExitStatus {
        let until = now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the process can be waited for") {
                return status;
            }
            assert!(now() < until, "not ended within {DEADLINE:?}; it said:\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Tollgate {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- stderr of process {} ---\n{}", self.child.id(), self.stderr());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
