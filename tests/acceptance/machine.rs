//! Bad days of the machine, with the real program: a taken port, missing tools, Ctrl-C, a killed parent.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::{Process, descendants, naming};
use crate::program::{END, SOON, Started, nothing_is_left, program, work_dir};
use crate::tools::run;
use crate::world::{World, until};

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
            // One thing in one line; several in a list of them all.
            let lines: Vec<_> = match expected.len() {
                1 => said
                    .err
                    .lines()
                    .filter(|line| line.starts_with("error:"))
                    .collect(),
                _ => said
                    .err
                    .lines()
                    .filter(|line| line.trim_start().starts_with("- "))
                    .collect(),
            };
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

/// Starts a cloud that stays, ends it by this signal, and looks that nothing is left of it.
async fn ends_by(world: &World, signal: Signal) {
    let mut started = Started::up(world).await;
    let url = started.url().await;
    make_function_run(&url).await;
    let processes = descendants(started.pid());
    assert!(processes.len() >= 2, "moto and a function: {processes:?}");
    let directory = work_dir(&processes);
    started.signal(signal);
    let status = started.ended(END).await;
    assert_eq!(status.code(), Some(0), "a stay's good end: {}", started.said());
    nothing_is_left(&processes, &directory, &url, Duration::from_millis(500)).await;
    assert!(!directory.exists(), "the work directory is left");
}

pub(crate) async fn ctrl_c_ends_a_cloud_that_stays_and_leaves_nothing(world: &World) {
    ends_by(world, Signal::SIGINT).await;
}

pub(crate) async fn a_closed_terminal_ends_it_as_ctrl_c_does(world: &World) {
    ends_by(world, Signal::SIGHUP).await;
}

/// Another start holds the lock of the virtual environment, as it does while it installs.
pub(crate) async fn ctrl_c_ends_a_start_that_waits_for_another(world: &World) {
    let target = tempfile::tempdir().unwrap();
    let (binaries, home) = (target.path().join("debug"), target.path().join("signalbox"));
    for folder in [&binaries, &home] {
        std::fs::create_dir(folder).unwrap();
    }
    // It finds its target directory by its own place.
    let own = binaries.join("signalbox-local");
    std::fs::hard_link(program(world), &own)
        .or_else(|_| std::fs::copy(program(world), &own).map(drop))
        .unwrap();
    let other = std::fs::File::create(home.join("venv.lock")).unwrap();
    other.lock().unwrap();
    let mut started = Started::of(&own, &["setup"]).await;
    started
        .after("another start is making the virtual environment")
        .await;
    started.signal(Signal::SIGINT);
    let status = started.ended(END).await;
    assert_eq!(status.code(), Some(130), "{}", started.said());
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

/// A command of the build that would go on for long, and says nothing that a closed pipe could end it by.
pub(crate) async fn a_cloud_killed_in_the_middle_of_a_build_leaves_no_process_behind(world: &World) {
    let mut started = Started::up(world).await;
    let url = started.url().await;
    let call = async |operation: &str, input: serde_json::Value| {
        let request = reqwest::Client::new()
            .post(&url)
            .header("x-amz-target", format!("CodeBuild_20161006.{operation}"))
            .header("content-type", "application/x-amz-json-1.1")
            .body(input.to_string());
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    };
    let buildspec = "version: 0.2\nphases: {build: {commands: [sleep 4321]}}\n";
    let project = json!({
        "name": "long", "serviceRole": "arn:aws:iam::123456789012:role/build",
        "source": { "type": "NO_SOURCE", "buildspec": buildspec }, "artifacts": { "type": "NO_ARTIFACTS" },
        "environment": {
            "type": "LINUX_CONTAINER", "image": "aws/codebuild/amazonlinux2-x86_64-standard:5.0",
            "computeType": "BUILD_GENERAL1_SMALL",
        },
    });
    call("CreateProject", project).await;
    call("StartBuild", json!({ "projectName": "long" })).await;
    let pid = started.pid();
    let processes = until("the build's command", async || {
        let processes = descendants(pid);
        let is_command = |process: &Process| process.command.contains("sleep 4321");
        processes.iter().any(is_command).then_some(processes)
    });
    let processes = processes.await;
    let directory = work_dir(&processes);
    started.signal(Signal::SIGKILL);
    started.ended(END).await;
    nothing_is_left(&processes, &directory, &url, SOON).await;
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
