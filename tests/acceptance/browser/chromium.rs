//! A headless Chromium, driven by the DevTools protocol over a pipe of its own.
//!
//! The pipe needs no port and no WebSocket, and Chromium ends by itself when it closes: also when the
//! suite is killed, no browser stays behind. A client crate brings types for the whole protocol, many
//! times the code of this suite; the few methods that are used here are written out as JSON.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::setup::Program;

/// Nothing that a browser is asked for takes longer on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The protocol's ends are the descriptors 3 and 4. The shell puts them there, so that nothing unsafe is
/// needed here; Chromium replaces it under the same process id.
const SHELL: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#;

/// Quiet, and by itself: nothing is fetched, reported or kept. Its sandbox does not work for root, nor in
/// most containers; it only ever opens pages of this suite.
const FLAGS: [&str; 13] = [
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    // Every process is then the browser's own child, and is waited for: none is left as a zombie.
    "--no-zygote",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-crash-reporter",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
];

/// A browser; it ends with this value, and its profile with it.
#[derive(Debug)]
pub(crate) struct Chromium {
    pub(crate) cdp: Arc<Cdp>,
    child: Child,
    profile: TempDir,
}

impl Chromium {
    /// Starts it with a new profile below `temp`.
    pub(crate) fn start(program: &Program, temp: &Path) -> Self {
        let profile = tempfile::Builder::new()
            .prefix("browser-")
            .tempdir_in(temp)
            .unwrap();
        let log = File::create(profile.path().join("stderr.log")).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", SHELL]).arg(&program.path).args(FLAGS);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.arg("about:blank").env("HOME", profile.path());
        // The desktop of whoever runs the tests is left alone.
        for name in ["DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY"] {
            command.env_remove(name);
        }
        if let Some(folder) = &program.libraries {
            command
                .env("LD_LIBRARY_PATH", folder.join("lib"))
                .env("FONTCONFIG_PATH", folder);
        }
        let mut child = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let cdp = Cdp::over(stdin, stdout, &profile.path().join("stderr.log"));
        Self { cdp, child, profile }
    }

    /// The process that the others of the browser descend from.
    pub(crate) fn pid(&self) -> u64 {
        self.child.id().unwrap().into()
    }

    /// Where it keeps what it knows.
    pub(crate) fn profile(&self) -> &Path {
        self.profile.path()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a drop can await nothing, and a process that is no child of a runtime has no other end to wait for"
    )]
    fn ends_within(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }

    /// Closes the pipe, as the end of this process does, and waits until the browser has ended by itself.
    pub(crate) async fn closed_pipe(mut self) {
        *self.cdp.stdin.lock().await = None;
        timeout(PATIENCE, self.child.wait())
            .await
            .expect("the browser must end with its pipe")
            .unwrap();
    }
}

impl Drop for Chromium {
    /// Also while a panic unwinds: it ends by itself with its pipe, or else is killed with all its
    /// processes. The profile goes when nothing writes to it any more.
    fn drop(&mut self) {
        if let Ok(mut stdin) = self.cdp.stdin.try_lock() {
            *stdin = None;
        }
        let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) else {
            return;
        };
        if !self.ends_within(Duration::from_secs(10)) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            self.ends_within(Duration::from_secs(10));
        }
    }
}

/// The protocol: calls with answers, and events.
#[derive(Debug)]
pub(crate) struct Cdp {
    stdin: tokio::sync::Mutex<Option<ChildStdin>>,
    next: AtomicU64,
    heard: Mutex<Heard>,
    /// How many events there are; closed when the browser is gone.
    count: watch::Receiver<usize>,
    log: std::path::PathBuf,
}

#[derive(Debug, Default)]
struct Heard {
    answers: HashMap<u64, oneshot::Sender<Value>>,
    events: Vec<Value>,
    gone: bool,
}

impl Cdp {
    fn over(stdin: ChildStdin, stdout: ChildStdout, log: &Path) -> Arc<Self> {
        let (counted, count) = watch::channel(0);
        let cdp = Arc::new(Self {
            stdin: tokio::sync::Mutex::new(Some(stdin)),
            next: AtomicU64::new(1),
            heard: Mutex::default(),
            count,
            log: log.to_owned(),
        });
        let hearing = cdp.clone();
        tokio::spawn(async move {
            let (mut stdout, mut message) = (BufReader::new(stdout), Vec::new());
            while stdout
                .read_until(0, &mut message)
                .await
                .is_ok_and(|read| read > 0)
            {
                if let Ok(said) = serde_json::from_slice(message.strip_suffix(&[0]).unwrap_or(&message)) {
                    hearing.hear(said, &counted);
                }
                message.clear();
            }
            let mut heard = hearing.heard.lock().unwrap();
            heard.gone = true;
            heard.answers.clear();
        });
        cdp
    }

    fn hear(&self, said: Value, counted: &watch::Sender<usize>) {
        let mut heard = self.heard.lock().unwrap();
        match said["id"].as_u64() {
            Some(id) => {
                if let Some(waiting) = heard.answers.remove(&id) {
                    // Who asked may have been cancelled.
                    let _ = waiting.send(said);
                }
            }
            None => {
                heard.events.push(said);
                let _ = counted.send(heard.events.len());
            }
        }
    }

    /// Calls a method; `session` is a tab's.
    ///
    /// # Errors
    /// What the browser says against it.
    pub(crate) async fn try_call(
        &self,
        session: Option<&str>,
        method: &str,
        params: Value,
    ) -> Result<Value, String> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        let (answered, answer) = oneshot::channel();
        {
            let mut heard = self.heard.lock().unwrap();
            assert!(!heard.gone, "the browser has ended: {}", self.last_words());
            heard.answers.insert(id, answered);
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        let mut stdin = self.stdin.lock().await;
        let sent = stdin.as_mut().expect("the pipe is open").write_all(&bytes).await;
        sent.unwrap_or_else(|error| panic!("{method}: {error}: {}", self.last_words()));
        drop(stdin);
        let answer = timeout(PATIENCE, answer)
            .await
            .unwrap_or_else(|_| panic!("{method} was not answered within {PATIENCE:?}"))
            .unwrap_or_else(|_| panic!("the browser ended at {method}: {}", self.last_words()));
        match answer.get("error") {
            Some(error) => Err(error.to_string()),
            None => Ok(answer["result"].clone()),
        }
    }

    /// Calls a method that must succeed.
    pub(crate) async fn call(&self, session: Option<&str>, method: &str, params: Value) -> Value {
        self.try_call(session, method, params)
            .await
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// How many events there have been: those that follow come later.
    pub(crate) fn mark(&self) -> usize {
        self.heard.lock().unwrap().events.len()
    }

    /// The events since a mark that are wanted.
    pub(crate) fn since(&self, mark: usize, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let heard = self.heard.lock().unwrap();
        heard
            .events
            .iter()
            .skip(mark)
            .filter(|event| wanted(event))
            .cloned()
            .collect()
    }

    /// The first such event since a mark, as soon as there is one.
    pub(crate) async fn event(&self, what: &str, mark: usize, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut count = self.count.clone();
        let found = timeout(PATIENCE, async {
            loop {
                count.borrow_and_update();
                if let Some(found) = self.since(mark, &wanted).into_iter().next() {
                    return found;
                }
                let changed = count.changed().await;
                assert!(
                    changed.is_ok(),
                    "the browser ended before {what}: {}",
                    self.last_words()
                );
            }
        });
        found
            .await
            .unwrap_or_else(|_| panic!("{what} did not come within {PATIENCE:?}"))
    }

    /// What the browser complained of last.
    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let mut last = String::new();
        for line in lines.iter().rev().take(5).rev() {
            let _ = writeln!(last, "{line}");
        }
        last
    }
}
