//! The emulator (moto) as a child process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use crate::cloud::emulator_client;
use crate::tools::Tools;

const LAUNCHER: &str = include_str!("../python/moto_launcher.py");

/// Importing moto takes a second; a machine that is busy building takes longer.
const PATIENCE: Duration = Duration::from_secs(90);

/// Why the emulator did not start.
#[derive(Debug, Error)]
pub enum MotoError {
    /// It could not be started at all.
    #[error("moto cannot be started: {0}")]
    Spawn(#[from] std::io::Error),
    /// It ended, or said nothing, before it listened.
    #[error("moto {what}; see {}. Its last lines:\n{tail}", log.display())]
    NotListening {
        /// What it did instead.
        what: &'static str,
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        tail: String,
    },
    /// It listens, but answers no request.
    #[error("the emulator at {url} does not answer: {why}")]
    Deaf {
        /// Where.
        url: String,
        /// What the request met.
        why: String,
    },
}

/// A running emulator; it ends when this is dropped, and when this process dies in any way.
#[derive(Debug)]
pub struct Moto {
    url: String,
    group: Option<Pid>,
    child: Child,
    // Moto ends when this closes.
    _stdin: Option<ChildStdin>,
}

impl Moto {
    /// Starts moto on a free port of 127.0.0.1, and waits until it answers.
    ///
    /// # Errors
    /// It did not start; with the end of what it said.
    pub async fn start(tools: &Tools, work_dir: &Path) -> Result<Self, MotoError> {
        let launcher = work_dir.join("moto_launcher.py");
        fs::write(&launcher, LAUNCHER)?;
        let log = work_dir.join("moto.log");
        let mut child = Command::new(&tools.python)
            .arg(&launcher)
            .env_remove("PYTHONHOME")
            .env_remove("PYTHONPATH")
            .env("PYTHONUNBUFFERED", "1")
            // Never a person's own: moto must not reach a real account.
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .env_remove("AWS_PROFILE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            // A group of its own: Ctrl-C reaches this program first, which then ends moto last.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let mut moto = Self {
            url: String::new(),
            group,
            child,
            _stdin: stdin,
        };
        let not_listening = |what| MotoError::NotListening {
            what,
            tail: tail(&log),
            log: log.clone(),
        };
        let port = timeout(PATIENCE, async {
            let mut lines = BufReader::new(stdout?).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(port) = line
                    .strip_prefix("PORT ")
                    .and_then(|port| port.trim().parse::<u16>().ok())
                {
                    return Some(port);
                }
            }
            None
        });
        let port = port.await.map_err(|_| not_listening("did not listen in time"))?;
        moto.url = format!(
            "http://127.0.0.1:{}",
            port.ok_or_else(|| not_listening("ended at its start"))?
        );
        answers(&moto.url).await?;
        Ok(moto)
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends it, and waits until it is gone.
    pub async fn stop(mut self) {
        self.kill();
        let _ = self.child.wait().await;
    }

    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Checks that an emulator, moto or another that was named, answers requests.
///
/// # Errors
/// It does not.
pub async fn answers(url: &str) -> Result<(), MotoError> {
    let deaf = |why: String| MotoError::Deaf {
        url: url.to_owned(),
        why,
    };
    let client = emulator_client().map_err(|error| deaf(error.to_string()))?;
    let asked = timeout(PATIENCE, client.get(url).send()).await;
    asked
        .map_err(|_| deaf("no answer in time".to_owned()))?
        .map_err(|error| deaf(error.to_string()))?;
    Ok(())
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
