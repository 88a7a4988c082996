//! The shell of one build.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::log::BuildLog;

const DRIVER: &str = include_str!("driver.sh");

/// A line longer than this is logged in parts.
const MAX_LINE: usize = 64 * 1024;

/// How a shell starts.
pub(crate) struct Setup {
    /// For the driver, the command files and the saved state. Exists, and is the shell's own.
    pub(crate) dir: PathBuf,
    /// Where the first command runs.
    pub(crate) cwd: PathBuf,
    /// The whole environment; nothing is inherited.
    pub(crate) env: Vec<(String, String)>,
    /// `sh` rather than `bash`.
    pub(crate) posix: bool,
}

/// One bash process in a process group of its own. Dropping it kills the whole group.
pub(crate) struct Shell {
    setup: Setup,
    log: Arc<BuildLog>,
    /// In every status line of the driver, so that no command can write one by chance.
    mark: String,
    process: Process,
    commands: u32,
}

struct Process {
    child: Child,
    /// Ends the group when its standard input closes: that is, also when this process is killed.
    _watch: Option<Child>,
    group: Option<Pid>,
    stdin: ChildStdin,
    stdout: ChildStdout,
    pending: Vec<u8>,
}

impl Process {
    fn start(setup: &Setup, mark: &str) -> io::Result<Self> {
        let driver = setup.dir.join("driver.sh");
        let mut child = Command::new("bash")
            .args(["--norc", "--noprofile"])
            .arg(&driver)
            .arg(mark)
            .arg(setup.dir.join("state"))
            .arg(if setup.posix { "posix" } else { "bash" })
            .arg(&driver)
            .env_clear()
            .envs(setup.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&setup.cwd)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        let watch = group.map(watch).transpose()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(stdin), Some(stdout)) => Ok(Self {
                child,
                _watch: watch,
                group,
                stdin,
                stdout,
                pending: Vec::new(),
            }),
            _ => Err(io::Error::other("the shell has no pipes")),
        }
    }

    /// Kills the group. Its leader has not been waited for yet, so the number is still ours.
    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            // Fails only where the whole group is gone, which is what is wanted.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// Starts a member of the group that kills all of it, itself included, once nobody holds the other end of its standard
/// input. A shell alone would notice only after its command, which may take minutes, and a command of it never.
fn watch(group: Pid) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", "read -r _; kill -KILL 0"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(group.as_raw())
        .kill_on_drop(true)
        .spawn()
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Shell {
    /// Starts the shell. `bash` is looked for on this process's `PATH`.
    pub(crate) async fn start(setup: Setup, log: Arc<BuildLog>) -> io::Result<Self> {
        tokio::fs::write(setup.dir.join("driver.sh"), DRIVER).await?;
        let mark = uuid::Uuid::new_v4().simple().to_string();
        let process = Process::start(&setup, &mark)?;
        Ok(Self {
            setup,
            log,
            mark,
            process,
            commands: 0,
        })
    }

    /// Runs one command, its output going to the log, and answers its exit status.
    pub(crate) async fn run(&mut self, command: &str) -> io::Result<i32> {
        self.commands += 1;
        let file = self.setup.dir.join(format!("command-{}.sh", self.commands));
        tokio::fs::write(&file, command).await?;
        let line = format!("{}\n", file.display());
        // Fails where the shell has ended (`kill $$`): then the pipe's end tells the status.
        let _ = self.process.stdin.write_all(line.as_bytes()).await;
        let status = loop {
            if let Some(status) = self.take_lines() {
                break status;
            }
            let mut chunk = [0_u8; 8192];
            let count = self.process.stdout.read(&mut chunk).await?;
            if count == 0 {
                break self.restart().await?;
            }
            self.process
                .pending
                .extend_from_slice(chunk.get(..count).unwrap_or_default());
        };
        Ok(status)
    }

    /// Sets a variable for all commands to come.
    pub(crate) async fn export(&mut self, name: &str, value: &str) -> io::Result<()> {
        self.run(&format!(
            "builtin export {name}='{}'",
            value.replace('\'', r"'\''")
        ))
        .await
        .map(|_| ())
    }

    /// What the shell makes of `text` between double quotes, for example of `$NAME` or `$(date +%F)`.
    pub(crate) async fn expand(&mut self, text: &str) -> io::Result<String> {
        let out = self.setup.dir.join("expanded");
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        self.run(&format!("builtin printf '%s' \"{text}\" >|'{}'", out.display()))
            .await?;
        Ok(String::from_utf8_lossy(&tokio::fs::read(&out).await?).into_owned())
    }

    /// A variable's value in the environment that commands get; `None` where there is none of that name, or only a
    /// variable of the shell's own.
    pub(crate) async fn exported(&mut self, name: &str) -> io::Result<Option<String>> {
        let out = self.setup.dir.join("exported");
        // `declare -p` says `declare -x NAME=…`, of every bash and in POSIX mode too.
        self.run(&format!(
            "(__sb_flags=$(builtin declare -p {name} 2>/dev/null); __sb_flags=${{__sb_flags#declare }}; \
             case ${{__sb_flags%% *}} in *x*) builtin printf '=%s' \"${{{name}-}}\" ;; esac) >|'{}'",
            out.display()
        ))
        .await?;
        let found = tokio::fs::read(&out).await?;
        let value = found.strip_prefix(b"=");
        Ok(value.map(|value| String::from_utf8_lossy(value).into_owned()))
    }

    /// Ends the shell and everything it left running.
    pub(crate) async fn end(mut self) {
        self.process.kill();
        let _ = self.process.child.wait().await;
    }

    /// Logs complete lines; answers the status where the driver has reported one.
    fn take_lines(&mut self) -> Option<i32> {
        let pending = &mut self.process.pending;
        let mut start = 0;
        let mut status = None;
        while let Some(rest) = pending.get(start..) {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (line, next) = match end {
                Some(end) => (rest.get(..end).unwrap_or_default(), start + end + 1),
                None if rest.len() >= MAX_LINE => (rest, pending.len()),
                None => break,
            };
            let line = String::from_utf8_lossy(line);
            start = next;
            if let Some((before, code)) = line.split_once(&format!("\u{1e}{} ", self.mark)) {
                if !before.is_empty() {
                    self.log.line(before);
                }
                status = Some(code.trim().parse().unwrap_or(1));
                break;
            }
            self.log.line(&line);
        }
        pending.drain(..start);
        status
    }

    /// The shell has ended without the driver's saying so (`exec`, `kill $$`): its status counts as the
    /// command's, and a new shell goes on with the state last saved.
    async fn restart(&mut self) -> io::Result<i32> {
        let rest = std::mem::take(&mut self.process.pending);
        if !rest.is_empty() {
            self.log.line(&String::from_utf8_lossy(&rest));
        }
        self.process.kill();
        let ended = self.process.child.wait().await?;
        self.process = Process::start(&self.setup, &self.mark)?;
        // The kill above may itself have been what ended it, where a command closed its output.
        Ok(ended.code().unwrap_or_else(|| 128 + ended.signal().unwrap_or(0)))
    }
}

/// The directory that holds a shell's files inside a build's workspace.
pub(crate) fn dir(workspace: &Path) -> PathBuf {
    workspace.join("shell")
}

#[cfg(test)]
mod tests {
    use signalbox_local_core::Clock;

    use super::*;

    async fn shell(dir: &Path, posix: bool) -> (Shell, Arc<BuildLog>) {
        let log = Arc::new(BuildLog::to_file(&dir.join("log"), Clock::new(1.0)).unwrap());
        let path = std::env::var("PATH").unwrap();
        let setup = Setup {
            dir: dir.to_owned(),
            cwd: dir.to_owned(),
            env: vec![("PATH".to_owned(), path)],
            posix,
        };
        (Shell::start(setup, Arc::clone(&log)).await.unwrap(), log)
    }

    fn logged(dir: &Path) -> String {
        std::fs::read_to_string(dir.join("log")).unwrap()
    }

    #[tokio::test]
    async fn state_lives_on_from_command_to_command_even_after_exit() {
        for posix in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let (mut shell, _log) = shell(dir.path(), posix).await;
            assert_eq!(
                shell
                    .run("A='x y'; export B=2; f() { echo \"f $A\"; }; cd /usr")
                    .await
                    .unwrap(),
                0
            );
            assert_eq!(shell.run("exit 7").await.unwrap(), 7);
            assert_eq!(shell.run("set -e; false; echo never").await.unwrap(), 1);
            assert_eq!(
                shell
                    .run("f; echo \"$B $PWD\" >&2; printf 'no newline'")
                    .await
                    .unwrap(),
                0
            );
            assert_eq!(shell.run("if then").await.unwrap(), 2);
            assert_eq!(shell.run("exec false").await.unwrap(), 1);
            assert_eq!(shell.run("f").await.unwrap(), 0);
            assert_eq!(shell.expand("$B-$(echo c)").await.unwrap(), "2-c");
            shell.export("Q", "it's").await.unwrap();
            assert_eq!(shell.run("test \"$Q\" = \"it's\"").await.unwrap(), 0);
            let log = logged(dir.path());
            assert!(log.contains("f x y\n2 /usr\nno newline\n"), "{log}");
            assert!(!log.contains("never"));
        }
    }

    #[tokio::test]
    async fn a_killed_shell_is_replaced_and_its_signal_is_the_status() {
        let dir = tempfile::tempdir().unwrap();
        let (mut shell, _log) = shell(dir.path(), true).await;
        assert_eq!(shell.run("A=1").await.unwrap(), 0);
        assert_eq!(shell.run("kill -9 $$").await.unwrap(), 137);
        assert_eq!(shell.run("test $A = 1").await.unwrap(), 0);
    }

    #[tokio::test]
    async fn the_end_takes_background_processes_along() {
        let dir = tempfile::tempdir().unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(dir.path().join("alive"))
            .status()
            .unwrap();
        assert!(made.success());
        let (mut shell, _log) = shell(dir.path(), true).await;
        // The pipe ends when the last process that holds it has ended.
        let alive = dir.path().join("alive");
        let opened = tokio::task::spawn_blocking(move || std::fs::File::open(alive).unwrap());
        assert_eq!(
            shell.run("(echo began; sleep 600) > alive & true").await.unwrap(),
            0
        );
        // Ended before it holds the pipe, it would leave nobody for the other end to wait for.
        let pipe = opened.await.unwrap();
        shell.end().await;
        let said = tokio::task::spawn_blocking(move || io::read_to_string(pipe).unwrap());
        assert!("began\n".starts_with(&said.await.unwrap()));
    }
}
