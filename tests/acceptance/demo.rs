//! The newcomer's demo: it does its whole job, it ends at once, it says what went wrong.

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::approvals::Visitor;
use crate::process::{Process, descendants};
use crate::program::{DEMO, END, Started, nothing_is_left, work_dir};
use crate::world::{World, until};

/// The stages of a run that went out.
const RELEASED: [&str; 6] = [
    "Source",
    "Build",
    "Deploy",
    "Approval",
    "Release",
    "IntegrationTest",
];

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

/// A page that does not answer: the function behind it is one that ends at once.
pub(crate) async fn a_demo_that_fails_names_step_cause_and_log_and_stays_where_it_is_told_to(world: &World) {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let functions = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&world.running.paths.binaries).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            symlink(&path, functions.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let broken = functions.path().join("answer-approval");
    std::fs::remove_file(&broken).unwrap();
    std::fs::write(&broken, "#!/bin/sh\nexit 1\n").unwrap();
    std::fs::set_permissions(&broken, std::fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = [
        "demo",
        "--scenario",
        "release",
        "--keep",
        "--functions",
        functions.path().to_str().unwrap(),
    ];
    let mut started = Started::new(world, &arguments).await;
    let url = started.url().await;
    started.after("The local cloud stays until Ctrl-C").await;
    let said = started.said();
    let failed = said
        .lines()
        .find(|line| line.contains("answering the request for approval"));
    assert!(
        failed.is_some_and(|line| line.contains("the page answered 502")),
        "{said}"
    );
    let log = said.lines().find_map(|line| line.trim().strip_prefix("read: "));
    assert!(
        log.is_some_and(|log| log.ends_with("answer-approval.log")),
        "{said}"
    );
    let health = reqwest::get(format!("{url}/_signalbox/health")).await.unwrap();
    assert!(health.status().is_success(), "it stays");
    let processes = descendants(started.pid());
    let directory = work_dir(&processes);
    started.signal(Signal::SIGINT);
    let status = started.ended(END).await;
    assert_eq!(status.code(), Some(1), "{}", started.said());
    nothing_is_left(&processes, &directory, &url, Duration::from_millis(500)).await;
    let log = std::path::Path::new(log.unwrap());
    assert!(log.is_file(), "the log that it names is gone: {}", log.display());
    std::fs::remove_dir_all(directory).unwrap();
}

pub(crate) async fn a_summary_that_cannot_be_written_is_said_before_anything_starts(world: &World) {
    let arguments = ["demo", "--json", "/nowhere/to/be/found.json"];
    let mut started = Started::new(world, &arguments).await;
    let status = started.ended(END).await;
    let said = started.said();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("writing the summary: /nowhere/to/be/found.json"),
        "{said}"
    );
    assert!(!said.contains("Preparing"), "{said}");
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

/// A demo that runs to its end.
struct Demo {
    started: Started,
    url: String,
    processes: Vec<Process>,
    work_dir: PathBuf,
    summary: TempDir,
}

impl Demo {
    async fn start(world: &World, options: &[&str]) -> Self {
        let summary = tempfile::tempdir().unwrap();
        let file = summary.path().join("summary.json");
        let binaries = world.running.paths.binaries.to_str().unwrap();
        let always = ["demo", "--functions", binaries, "--json", file.to_str().unwrap()];
        let mut started = Started::new(world, &[&always, options].concat()).await;
        let url = started.url().await;
        let processes = descendants(started.pid());
        let work_dir = work_dir(&processes);
        Self {
            started,
            url,
            processes,
            work_dir,
            summary,
        }
    }

    /// Answers the request for approval as a person does: opens the page that the demo shows, and sends its form.
    async fn approve_by_hand(&mut self, world: &World) {
        self.started.after("Your turn: open this page in a browser").await;
        // It follows the link.
        self.started.after("opening it decides nothing").await;
        let said = self.started.said();
        let is_link = |line: &&str| line.starts_with(&self.url) && line.contains("/a/");
        let link = said.lines().find(is_link);
        let link = link.unwrap_or_else(|| panic!("no line is a link alone:\n{said}"));
        let person = Visitor::new(world);
        let (cookie, nonce) = person.form(link).await;
        let said = self.started.said();
        assert!(!said.contains("Approval succeeded"), "nobody has decided: {said}");
        let fields = [("verdict", "approve"), ("nonce", nonce.as_str())];
        let (status, text) = person.post(link, &cookie, &self.url, &fields).await;
        assert_eq!(status, 200, "{text}");
    }

    /// It ends well and leaves nothing; answers its summary and what it said.
    async fn ended(&mut self) -> (Value, String) {
        let status = self.started.ended(DEMO).await;
        let said = self.started.said();
        assert_eq!(status.code(), Some(0), "{said}");
        let soon = Duration::from_millis(500);
        nothing_is_left(&self.processes, &self.work_dir, &self.url, soon).await;
        assert!(!self.work_dir.exists(), "the work directory is left");
        let summary = std::fs::read(self.summary.path().join("summary.json")).unwrap();
        (serde_json::from_slice(&summary).unwrap(), said)
    }
}

/// Each has a port, a work directory and a cloud of its own, and the person answers one of them only.
pub(crate) async fn the_demo_does_its_whole_job_beside_another_that_waits_for_a_person(world: &World) {
    let options = ["--manual", "--scenario", "release", "--scale", "60"];
    let (mut demo, mut manual) = tokio::join!(
        Demo::start(world, &["--scenario", "all"]),
        Demo::start(world, &options)
    );
    assert_ne!(demo.url, manual.url);
    assert_ne!(demo.work_dir, manual.work_dir);
    let by_hand = async {
        manual.approve_by_hand(world).await;
        manual.ended().await
    };
    let ((summary, said), (by_hand, said_by_hand)) = tokio::join!(demo.ended(), by_hand);
    check_whole(&summary, &said);
    let runs = by_hand["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1, "{by_hand}");
    check_run(&runs[0], "Succeeded", &RELEASED);
    assert!(by_hand["rollback"].is_null(), "{by_hand}");
    let by_itself = "approved over the page's form";
    assert!(said.contains(by_itself), "{said}");
    assert!(!said_by_hand.contains(by_itself), "{said_by_hand}");
}

/// That a good version went out and a bad one came back.
fn check_whole(summary: &Value, said: &str) {
    let runs = summary["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2, "{summary}");
    check_run(&runs[0], "Succeeded", &RELEASED);
    check_run(&runs[1], "Failed", &RELEASED[..5]);
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
    // One bad version may set off several alarms; the one that it was rolled back for is told everywhere.
    let told_in_notice = format!("({})\"", text(rollback, "alarm"));
    assert!(said.contains(&told_in_notice), "{told_in_notice}: {said}");
    let latency = at("stopped_at").as_millisecond() - at("alarm_at").as_millisecond();
    let told = rollback["latency_ms"].as_i64().unwrap();
    assert!(latency >= 0 && (latency - told).abs() <= 1000, "{rollback}");

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
    for hook in ["before-traffic", "after-traffic"] {
        function(&format!("CodeDeployHook_signalbox-production-{hook}"));
    }
    for run in runs {
        assert_eq!(text(run, "trigger"), "upload", "{run}");
    }
    assert!(said.contains("with a weight of 10 % version"), "{said}");
    assert!(said.contains("scans: npm audit: "), "{said}");
}
