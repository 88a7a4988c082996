//! Bad days of the machine, with the real program: a taken port, missing tools, Ctrl-C, a killed parent; and
//! the newcomer's demo itself.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::process::{Process, descendants, naming};
use crate::tools::run;
use crate::world::{World, until};

/// The whole demo on a busy machine.
const DEMO: Duration = Duration::from_secs(900);

/// An orderly end.
const END: Duration = Duration::from_secs(30);

/// What is left behind by a program that was killed must be gone by then.
const SOON: Duration = Duration::from_secs(5);

/// The program. Cargo builds it, and the functions', for their own packages' tests.
fn program(world: &World) -> PathBuf {
    let program = world.running.paths.binaries.join("signalbox-local");
    assert!(
        program.is_file(),
        "{} is missing: run `cargo test --workspace`, which builds it",
        program.display()
    );
    program
}

/// The program in a process group of its own, with what it has said in a file.
struct Started {
    child: Child,
    directory: TempDir,
}

impl Started {
    async fn new(world: &World, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let output = || {
            std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(directory.path().join("said"))
                .unwrap()
        };
        let child = Command::new(program(world))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output())
            .stderr(output())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, directory }
    }

    /// The cloud alone, on any port, with the functions as they are built.
    async fn up(world: &World) -> Self {
        let binaries = world.running.paths.binaries.to_str().unwrap();
        Self::new(world, &["up", "--port", "0", "--functions", binaries]).await
    }

    fn pid(&self) -> u64 {
        u64::from(self.child.id().unwrap())
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("said")).unwrap()
    }

    /// Waits until it says this; answers the rest of the line.
    async fn after(&mut self, text: &str) -> String {
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
    async fn url(&mut self) -> String {
        self.after("local cloud at ").await
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    async fn ended(&mut self, patience: Duration) -> ExitStatus {
        let ended = timeout(patience, self.child.wait()).await;
        ended
            .unwrap_or_else(|_| panic!("it does not end within {patience:?}:\n{}", self.said()))
            .unwrap()
    }
}

/// The work directory, which moto's command line names.
fn work_dir(processes: &[Process]) -> PathBuf {
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

fn port_of(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().parse().unwrap()
}

fn is_listening(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// No process and no port of a cloud that has ended is left, once some time has passed.
async fn nothing_is_left(processes: &[Process], work_dir: &Path, url: &str, patience: Duration) {
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

/// Deploys a function over the wire and invokes it, so that a process of it waits.
async fn make_function_run(url: &str) {
    use base64::Engine;
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("index.js", zip::write::SimpleFileOptions::default())
        .unwrap();
    zip.write_all(b"exports.handler = async () => process.pid;")
        .unwrap();
    let code = base64::engine::general_purpose::STANDARD.encode(zip.finish().unwrap().into_inner());
    let function = json!({
        "FunctionName": "waiting", "Runtime": "nodejs20.x", "Handler": "index.handler",
        "Role": "arn:aws:iam::123456789012:role/none", "Code": { "ZipFile": code },
    });
    let client = reqwest::Client::new();
    let made = client
        .post(format!("{url}/2015-03-31/functions"))
        .json(&function)
        .send()
        .await
        .unwrap();
    assert!(made.status().is_success(), "{}", made.text().await.unwrap());
    let invoked = client
        .post(format!("{url}/2015-03-31/functions/waiting/invocations"))
        .body("{}")
        .send()
        .await
        .unwrap();
    let pid: u64 = invoked.text().await.unwrap().parse().unwrap();
    assert!(crate::process::is_alive(pid));
}

pub(crate) async fn help_says_what_there_is_and_how_it_ends(world: &World) {
    let program = program(world);
    let help = run(Command::new(&program).arg("--help"), "").await;
    assert!(help.succeeded, "{}", help.err);
    for word in ["demo", "up", "setup", "127.0.0.1"] {
        assert!(
            help.out.contains(word),
            "--help does not mention {word}:\n{}",
            help.out
        );
    }
    let help = run(Command::new(&program).args(["demo", "--help"]), "").await;
    for word in [
        "--manual",
        "--keep",
        "--json",
        "--scenario",
        "--scale",
        "--port",
        "Exit code",
        "130",
    ] {
        assert!(
            help.out.contains(word),
            "demo --help does not mention {word}:\n{}",
            help.out
        );
    }
    let wrong = run(Command::new(&program).args(["up", "--scale", "0"]), "").await;
    assert!(
        !wrong.succeeded && wrong.err.contains("a number from 0.01 to 10000"),
        "{}",
        wrong.err
    );
}

pub(crate) async fn a_taken_port_is_said_in_one_line_with_the_fix(world: &World) {
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let binaries = world.running.paths.binaries.to_str().unwrap();
    let mut started = Started::new(world, &["up", "--port", &port, "--functions", binaries]).await;
    let group = started.pid();
    let status = started.ended(END).await;
    assert_eq!(status.code(), Some(1), "{}", started.said());
    let said = started.said();
    let errors: Vec<_> = said
        .lines()
        .skip_while(|line| !line.starts_with("error:"))
        .collect();
    assert_eq!(errors.len(), 1, "{said}");
    assert!(
        errors[0].contains(&format!("port {port} of 127.0.0.1 is taken")),
        "{said}"
    );
    assert!(errors[0].contains("--port"), "the fix is not named: {said}");
    assert!(descendants(group).is_empty());
}

/// A directory with links to some of this machine's programs.
fn path_with(programs: &[&str]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for program in programs {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|folder| folder.join(program))
            .find(|path| path.is_file());
        let found = found.unwrap_or_else(|| panic!("this machine has no {program}"));
        std::os::unix::fs::symlink(found, directory.path().join(program)).unwrap();
    }
    directory
}

/// The directories of clouds that run or have been left behind.
fn work_dirs(world: &World) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(world.running.paths.home())
        .unwrap()
        .filter_map(Result::ok);
    entries
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().contains("/run-"))
        .collect()
}

pub(crate) async fn missing_tools_are_said_at_once_with_the_fix_before_anything_starts(world: &World) {
    let program = program(world);
    let node = "Node.js is not on the PATH: install Node.js 20 or newer";
    let npm = "npm is not on the PATH";
    let python = "Python is not on the PATH: install Python 3.10 or newer";
    // Python as it is, not the shim of a version manager, which needs more of the PATH.
    let real = run(
        Command::new("python3").args(["-c", "import sys; print(sys.executable)"]),
        "",
    )
    .await
    .out;
    let with_python = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(real.trim(), with_python.path().join("python3")).unwrap();
    let with_node = path_with(&["node", "npm"]);
    let with_none = path_with(&[]);
    for (path, expected) in [
        (&with_python, vec![node, npm]),
        (&with_node, vec![python]),
        (&with_none, vec![python, node, npm]),
    ] {
        let before = work_dirs(world);
        for command in [&["up", "--port", "0"][..], &["demo"], &["setup"]] {
            let said = run(Command::new(&program).args(command).env("PATH", path.path()), "").await;
            assert!(!said.succeeded, "{}", said.err);
            let lines: Vec<_> = said
                .err
                .lines()
                .filter(|line| line.trim_start().starts_with("- "))
                .collect();
            assert_eq!(lines.len(), expected.len(), "{}", said.err);
            for (line, expected) in lines.iter().zip(&expected) {
                assert!(line.contains(expected), "{line} should say {expected}");
            }
            assert!(
                !said.err.contains("moto") && !said.err.contains("building"),
                "{}",
                said.err
            );
        }
        let new: Vec<_> = work_dirs(world)
            .into_iter()
            .filter(|path| !before.contains(path))
            .collect();
        // Other tests start clouds too: only what nobody uses any more counts.
        let left: Vec<_> = new
            .iter()
            .filter(|path| naming(path.to_str().unwrap()).is_empty() && path.exists())
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

pub(crate) async fn ctrl_c_ends_a_cloud_that_stays_and_leaves_nothing(world: &World) {
    let mut started = Started::up(world).await;
    let url = started.url().await;
    make_function_run(&url).await;
    let processes = descendants(started.pid());
    assert!(processes.len() >= 2, "moto and a function: {processes:?}");
    let directory = work_dir(&processes);
    started.signal(Signal::SIGINT);
    let status = started.ended(END).await;
    assert_eq!(status.code(), Some(0), "a stay's good end: {}", started.said());
    nothing_is_left(&processes, &directory, &url, Duration::from_millis(500)).await;
    assert!(!directory.exists(), "the work directory is left");
}

pub(crate) async fn a_killed_cloud_leaves_no_process_behind(world: &World) {
    let mut started = Started::up(world).await;
    let url = started.url().await;
    make_function_run(&url).await;
    let processes = descendants(started.pid());
    assert!(processes.len() >= 2, "moto and a function: {processes:?}");
    let directory = work_dir(&processes);
    started.signal(Signal::SIGKILL);
    started.ended(END).await;
    nothing_is_left(&processes, &directory, &url, SOON).await;
    // Nobody was there to remove it.
    std::fs::remove_dir_all(directory).unwrap();
}

pub(crate) async fn a_second_cloud_stands_beside_the_first(world: &World) {
    let mut started = Started::up(world).await;
    let url = started.url().await;
    make_function_run(&url).await;
    for url in [url.clone(), world.running.url()] {
        let health = reqwest::get(format!("{url}/_signalbox/health")).await.unwrap();
        assert!(health.status().is_success(), "{url}");
    }
    // Neither sees the other's.
    let elsewhere = world
        .running
        .call("lambda", "GetFunction", json!({ "FunctionName": "waiting" }))
        .await;
    assert_eq!(elsewhere.unwrap_err().code, "ResourceNotFoundException");
    started.signal(Signal::SIGINT);
    started.ended(END).await;
    let health = reqwest::get(format!("{}/_signalbox/health", world.running.url()))
        .await
        .unwrap();
    assert!(health.status().is_success(), "the first goes on");
}

pub(crate) async fn ctrl_c_in_the_middle_of_the_demo_leaves_nothing(world: &World) {
    let binaries = world.running.paths.binaries.to_str().unwrap();
    let mut started = Started::new(world, &["demo", "--scenario", "release", "--functions", binaries]).await;
    let url = started.url().await;
    // The build runs then, with processes of its own.
    started.after("Source succeeded").await;
    let pid = started.pid();
    let processes = until("the build's processes", async || {
        let processes = descendants(pid);
        processes
            .iter()
            .any(|process| process.command.contains("npm"))
            .then_some(processes)
    });
    let processes = processes.await;
    let directory = work_dir(&processes);
    started.signal(Signal::SIGINT);
    let status = started.ended(END).await;
    assert_eq!(status.code(), Some(130), "{}", started.said());
    nothing_is_left(&processes, &directory, &url, Duration::from_millis(500)).await;
    assert!(!directory.exists(), "the work directory is left");
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} is no text in {value}"))
}

fn check_run(run: &Value, status: &str, stages: &[&str]) {
    assert!(uuid::Uuid::parse_str(text(run, "id")).is_ok(), "{run}");
    assert!(
        !text(run, "revision").is_empty() && !text(run, "trigger").is_empty(),
        "{run}"
    );
    assert_eq!(text(run, "status"), status, "{run}");
    assert!(text(run, "approved_by").contains('@'), "{run}");
    let names: Vec<_> = run["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| text(stage, "name"))
        .collect();
    assert_eq!(names, stages, "{run}");
    for stage in run["stages"].as_array().unwrap() {
        assert!(
            stage["seconds"].as_f64().is_some_and(|seconds| seconds >= 0.0),
            "{stage}"
        );
    }
}

pub(crate) async fn the_demo_does_its_whole_job_and_says_so_as_json(world: &World) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("summary.json");
    let binaries = world.running.paths.binaries.to_str().unwrap();
    let arguments = [
        "demo",
        "--scenario",
        "all",
        "--functions",
        binaries,
        "--json",
        file.to_str().unwrap(),
    ];
    let mut started = Started::new(world, &arguments).await;
    let status = started.ended(DEMO).await;
    assert_eq!(status.code(), Some(0), "{}", started.said());
    let summary: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();

    let runs = summary["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2, "{summary}");
    check_run(
        &runs[0],
        "Succeeded",
        &[
            "Source",
            "Build",
            "Deploy",
            "Approval",
            "Release",
            "IntegrationTest",
        ],
    );
    check_run(
        &runs[1],
        "Failed",
        &["Source", "Build", "Deploy", "Approval", "Release"],
    );
    let statuses: Vec<_> = runs[1]["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| text(stage, "status"))
        .collect();
    assert_eq!(
        statuses,
        ["Succeeded", "Succeeded", "Succeeded", "Succeeded", "Failed"]
    );
    assert_ne!(text(&runs[0], "revision"), text(&runs[1], "revision"));
    assert_ne!(text(&runs[0], "id"), text(&runs[1], "id"));

    let rollback = &summary["rollback"];
    assert!(text(rollback, "deployment").starts_with("d-"), "{rollback}");
    assert!(
        text(rollback, "alarm").starts_with("lambda-function-production-"),
        "{rollback}"
    );
    assert_ne!(
        text(rollback, "from_version"),
        text(rollback, "to_version"),
        "{rollback}"
    );
    assert_eq!(
        text(rollback, "to_version"),
        text(rollback, "alias_version_after"),
        "{rollback}"
    );
    let at = |name: &str| text(rollback, name).parse::<jiff::Timestamp>().unwrap();
    let latency = at("stopped_at").as_millisecond() - at("alarm_at").as_millisecond();
    let said = rollback["latency_ms"].as_i64().unwrap();
    assert!(latency >= 0 && (latency - said).abs() <= 1000, "{rollback}");

    let functions = summary["functions"].as_array().unwrap();
    let function = |name: &str| {
        functions
            .iter()
            .find(|one| text(one, "name") == name)
            .unwrap_or_else(|| panic!("no {name} in {functions:?}"))
    };
    for name in [
        "start-run",
        "track-run",
        "request-approval",
        "answer-approval",
        "roll-back",
    ] {
        let function = function(&format!("signalbox-production-{name}"));
        assert!(
            function["invocations"].as_u64().unwrap() > 0 && function["errors"] == 0,
            "{function}"
        );
        assert!(function["cold_start_ms"].as_f64().unwrap() > 0.0, "{function}");
        assert!(function["max_rss_mb"].as_f64().unwrap() > 1.0, "{function}");
    }
    assert!(
        function("lambda-function-production")["errors"].as_u64().unwrap() > 0,
        "the bad version failed nobody"
    );
    function("CodeDeployHook_signalbox-production-before-traffic");
}
