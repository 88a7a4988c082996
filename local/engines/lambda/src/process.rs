//! Processes: started so that none outlives the local cloud, and read without losing a line.
//!
//! Every process leads a group of its own, which is killed as a whole. Should the local cloud itself be
//! killed, nobody is left to do that, so the kernel does: `setpriv --pdeathsig KILL` of util-linux asks for
//! it, without unsafe code of ours. Where `setpriv` is absent (macOS), an idle or answering process ends
//! itself because its Runtime API is gone; only one that never comes back from its work remains.
//!
//! The kernel watches the *thread* that started the process. Worker threads may end, so one thread of our
//! own starts all of them and lives as long as the engine.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::Interest;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio_util::task::TaskTracker;

use crate::logs::Journal;

/// A longer line is cut: CloudWatch Logs' limit of an event.
const LINE_LIMIT: usize = 262_144;
/// What one look at a pipe reads at most, so that a process that never stops writing cannot keep its reader.
const DRAIN_LIMIT: usize = 1_048_576;

type Started = std::io::Result<Child>;

/// The thread that starts processes.
pub(crate) struct Spawner {
    requests: mpsc::Sender<(Command, oneshot::Sender<Started>)>,
    setpriv: Option<PathBuf>,
}

impl Spawner {
    /// Starts the thread; it ends when the spawner is dropped.
    pub(crate) fn start() -> Self {
        let (requests, received) = mpsc::channel::<(Command, oneshot::Sender<Started>)>();
        let runtime = Handle::current();
        let thread = std::thread::Builder::new()
            .name("lambda-processes".to_owned())
            .spawn(move || {
                let _inside = runtime.enter();
                for (mut command, reply) in received {
                    // Nobody waits any more: dropping the child kills it.
                    let _ = reply.send(command.spawn());
                }
            });
        if let Err(error) = thread {
            tracing::warn!(%error, "no thread for functions' processes: functions cannot be started");
        }
        Self {
            requests,
            setpriv: find_in_path("setpriv"),
        }
    }

    /// Starts a program with exactly these variables; its output goes to the journal.
    pub(crate) async fn spawn(
        &self,
        program: &Path,
        arguments: &[OsString],
        directory: &Path,
        variables: Vec<(OsString, OsString)>,
        journal: Arc<Journal>,
        tasks: &TaskTracker,
    ) -> std::io::Result<Process> {
        let mut command = match &self.setpriv {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command
            .args(arguments)
            .current_dir(directory)
            .env_clear()
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let (reply, started) = oneshot::channel();
        let gone = || std::io::Error::other("the thread that starts processes has ended");
        self.requests.send((command, reply)).map_err(|_| gone())?;
        let child = started.await.map_err(|_| gone())??;
        Process::watch(child, &journal, tasks)
    }
}

fn find_in_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

/// A running process. Dropping it kills its group.
pub(crate) struct Process {
    pid: u32,
    ended: watch::Receiver<Option<ExitStatus>>,
    pipes: Vec<Arc<Pipe>>,
}

impl Process {
    fn watch(mut child: Child, journal: &Arc<Journal>, tasks: &TaskTracker) -> std::io::Result<Self> {
        let pid = child
            .id()
            .ok_or_else(|| std::io::Error::other("the process ended at once"))?;
        let mut outputs: Vec<OwnedFd> = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            outputs.push(stdout.into_owned_fd()?);
        }
        if let Some(stderr) = child.stderr.take() {
            outputs.push(stderr.into_owned_fd()?);
        }
        let mut pipes = Vec::new();
        for output in outputs {
            let pipe = Arc::new(Pipe {
                receiver: pipe::Receiver::from_owned_fd(output)?,
                partial: Mutex::default(),
                journal: journal.clone(),
            });
            pipes.push(pipe.clone());
            tasks.spawn(async move {
                while pipe.receiver.ready(Interest::READABLE).await.is_ok() && pipe.drain() {}
            });
        }
        let (end, ended) = watch::channel(None);
        tasks.spawn(async move {
            let status = child.wait().await;
            // What it started itself must not stay behind, nor hold its pipes open.
            kill_group(pid);
            end.send_replace(Some(status.unwrap_or_default()));
        });
        Ok(Self { pid, ended, pipes })
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// Waits for the end; answers how Lambda words it.
    pub(crate) async fn ended(&mut self) -> String {
        match self.ended.wait_for(Option::is_some).await {
            Ok(status) => status.map_or_else(String::new, describe),
            Err(_) => "Runtime exited without providing a reason".to_owned(),
        }
    }

    pub(crate) fn kill(&self) {
        if !self.has_ended() {
            kill_group(self.pid);
        }
    }

    /// Takes what the process has written so far, so that its lines stand before ours about it.
    pub(crate) fn drain(&self) {
        for pipe in &self.pipes {
            pipe.drain();
        }
    }

    /// The largest resident set so far, in KiB; none where the system does not tell.
    pub(crate) fn peak_rss_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn kill_group(pid: u32) {
    if let Ok(pid) = i32::try_from(pid) {
        // No such group: all of it has ended.
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "Runtime exited without providing a reason".to_owned(),
        (Some(code), _) => format!("Runtime exited with error: exit status {code}"),
        (None, signal) => {
            let name = match signal {
                Some(6) => "aborted".to_owned(),
                Some(9) => "killed".to_owned(),
                Some(11) => "segmentation fault".to_owned(),
                Some(15) => "terminated".to_owned(),
                other => other.map_or_else(|| "unknown".to_owned(), |number| number.to_string()),
            };
            format!("Runtime exited with error: signal: {name}")
        }
    }
}

/// One output of a process, read by lines.
struct Pipe {
    receiver: pipe::Receiver,
    /// What follows the last line's end. The lock also orders the reader and those who drain.
    partial: Mutex<Vec<u8>>,
    journal: Arc<Journal>,
}

impl Pipe {
    /// Reads what is there; false at the end.
    fn drain(&self) -> bool {
        let mut partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = [0; 16_384];
        let mut total = 0;
        while total < DRAIN_LIMIT {
            match self.receiver.try_read(&mut buffer) {
                Ok(0) => {
                    self.take_line(&mut partial);
                    return false;
                }
                Ok(read) => {
                    total += read;
                    for chunk in buffer[..read].split_inclusive(|byte| *byte == b'\n') {
                        partial.extend_from_slice(chunk);
                        if chunk.ends_with(b"\n") || partial.len() >= LINE_LIMIT {
                            self.take_line(&mut partial);
                        }
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        true
    }

    fn take_line(&self, partial: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(partial);
        self.journal.line(text.trim_end_matches(['\n', '\r']));
        partial.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_worded_as_lambda_words_them() {
        assert_eq!(
            describe(ExitStatus::from_raw(0)),
            "Runtime exited without providing a reason"
        );
        assert_eq!(
            describe(ExitStatus::from_raw(1 << 8)),
            "Runtime exited with error: exit status 1"
        );
        assert_eq!(
            describe(ExitStatus::from_raw(9)),
            "Runtime exited with error: signal: killed"
        );
    }
}
