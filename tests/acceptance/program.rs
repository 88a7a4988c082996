//! The real program of the local cloud, started as a person would start it.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::process::{Process, naming};
use crate::world::World;

/// The whole demo on a busy machine.
pub(crate) const DEMO: Duration = Duration::from_secs(900);

/// An orderly end.
pub(crate) const END: Duration = Duration::from_secs(30);

/// What is left behind by a program that was killed must be gone by then.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// The program. Cargo builds it, and the functions', for their own packages' tests.
pub(crate) fn program(world: &World) -> PathBuf {
    let program = world.running.paths.binaries.join("signalbox-local");
    assert!(
        program.is_file(),
        "{} is missing: run `cargo test --workspace`, which builds it",
        program.display()
    );
    program
}

/// The program, with what it has said in a file. It stays in the suite's process group: a Ctrl-C at the terminal
/// reaches it too.
pub(crate) struct Started {
    child: Child,
    directory: TempDir,
}

impl Started {
    pub(crate) async fn new(world: &World, arguments: &[&str]) -> Self {
        Self::of(&program(world), arguments).await
    }

    /// Of a copy that lies elsewhere.
    pub(crate) async fn of(program: &Path, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let output = || {
            std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(directory.path().join("said"))
                .unwrap()
        };
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output())
            .stderr(output())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, directory }
    }

    /// The cloud alone, on any port, with the functions as they are built.
    pub(crate) async fn up(world: &World) -> Self {
        let binaries = world.running.paths.binaries.to_str().unwrap();
        Self::new(world, &["up", "--port", "0", "--functions", binaries]).await
    }

    pub(crate) fn pid(&self) -> u64 {
        u64::from(self.child.id().unwrap())
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("said")).unwrap()
    }

    /// Waits until it says this; answers the rest of the line.
    pub(crate) async fn after(&mut self, text: &str) -> String {
        let wait = async {
            loop {
                let said = self.said();
                if let Some((_, rest)) = said.split_once(text) {
                    return rest.lines().next().unwrap_or_default().trim().to_owned();
                }
                let ended = self.child.try_wait().unwrap();
                assert!(
                    ended.is_none(),
                    "it ended ({ended:?}) before it said {text:?}:\n{said}"
                );
                sleep(Duration::from_millis(50)).await;
            }
        };
        let found = timeout(DEMO, wait).await;
        found.unwrap_or_else(|_| panic!("it does not say {text:?}:\n{}", self.said()))
    }

    /// The gateway's URL, once it listens.
    pub(crate) async fn url(&mut self) -> String {
        self.after("local cloud at ").await
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    pub(crate) async fn ended(&mut self, patience: Duration) -> ExitStatus {
        let ended = timeout(patience, self.child.wait()).await;
        ended
            .unwrap_or_else(|_| panic!("it does not end within {patience:?}:\n{}", self.said()))
            .unwrap()
    }
}

/// The work directory, which moto's command line names.
pub(crate) fn work_dir(processes: &[Process]) -> PathBuf {
    let launcher = processes.iter().find_map(|process| {
        process
            .command
            .split(' ')
            .find(|word| word.ends_with("moto_launcher.py"))
            .map(str::to_owned)
    });
    let launcher = launcher.unwrap_or_else(|| panic!("moto is not among {processes:?}"));
    Path::new(&launcher).parent().unwrap().to_owned()
}

pub(crate) fn port_of(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().parse().unwrap()
}

pub(crate) fn is_listening(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// No process and no port of a cloud that has ended is left, once some time has passed.
pub(crate) async fn nothing_is_left(processes: &[Process], work_dir: &Path, url: &str, patience: Duration) {
    let gone = async {
        while processes.iter().any(Process::is_alive) || !naming(work_dir.to_str().unwrap()).is_empty() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let in_time = timeout(patience, gone).await;
    let alive: Vec<_> = processes.iter().filter(|process| process.is_alive()).collect();
    assert!(
        in_time.is_ok(),
        "still alive: {alive:?}, {:?}",
        naming(work_dir.to_str().unwrap())
    );
    assert!(!is_listening(port_of(url)), "{url} is still listened on");
}
