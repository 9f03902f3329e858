//! A process of the `tollgate` binary: started, waited for until it is ready, killed, and never left behind.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

/// How long a part may take until it serves.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// Lines of a log that an error shows.
const LOG_LINES_SHOWN: usize = 5;

/// A running process; dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// What stands behind `ready`.
    pub ready: Value,
}

/// Why a process does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It cannot be started at all.
    #[error("cannot start {}", binary.display())]
    Start {
        /// What was to be started.
        binary: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// It ended instead of serving, or did neither in time.
    #[error("{name} is not ready ({how}); it said: {said}")]
    NotReady {
        /// Which part.
        name: String,
        /// Its end, or how long it was waited for.
        how: String,
        /// The end of its log.
        said: String,
    },
}

// === impl Process ===

impl Process {
    /// Starts `binary` and waits until it says `ready`. What it logs is added to `log`; `started` is told its id before it
    /// can have connected anywhere.
    ///
    /// # Errors
    /// [`ProcessError`]; no process is left behind.
    pub async fn start(
        binary: &Path,
        args: &[&str],
        name: &str,
        log: &Path,
        started: impl FnOnce(u32),
    ) -> Result<Self, ProcessError> {
        let failed = |source| ProcessError::Start { binary: binary.to_owned(), source };
        let file = OpenOptions::new().create(true).append(true).open(log).map_err(failed)?;
        let mut child = spawn(binary, args, file).map_err(failed)?;
        started(child.id());
        let stdout = child.stdout.take().expect("stdout is piped");
        let (found, ready) = oneshot::channel();
        // Reads to the end, so that the process never waits for somebody who reads.
        std::thread::spawn(move || {
            let mut found = Some(found);
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let json = line.strip_prefix("ready ").map(serde_json::from_str);
                if let Some(Ok(value)) = json
                    && let Some(found) = found.take()
                {
                    let _ = found.send(value);
                }
            }
        });
        let mut process = Self { child, ready: Value::Null };
        let how = match tokio::time::timeout(READY_TIMEOUT, ready).await {
            Ok(Ok(ready)) => {
                process.ready = ready;
                return Ok(process);
            }
            Ok(Err(_)) => process.end().map_or_else(|| "ended".to_owned(), |it| it.to_string()),
            Err(_) => format!("after {READY_TIMEOUT:?}"),
        };
        drop(process);
        Err(ProcessError::NotReady { name: name.to_owned(), how, said: last_lines(log) })
    }

    /// A string of the ready line; empty where there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap_or_default()
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) -> Option<ExitStatus> {
        // Fails only where it has ended by itself.
        let _ = self.child.kill();
        self.child.wait().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(binary: &Path, args: &[&str], log: File) -> std::io::Result<Child> {
    let mut command = Command::new(binary);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    for name in ["TOLLGATE_ADDRESS", "TOLLGATE_TOKEN_FILE"] {
        command.env_remove(name);
    }
    command.spawn()
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join(" / ")
}
