//! The command line by its real binary: upload, follow, look.

use std::collections::BTreeSet;
use std::process::{Output, Stdio};
use std::time::Duration;

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use crate::runs;
use crate::source::{automatic, manual};
use crate::world::{ANN, BEN, World, until};

/// Nothing here takes longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The binary, with the world as its cloud and nothing else of this machine's configuration.
fn signalbox(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(world.running.paths.binaries.join("signalbox"));
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("SIGNALBOX_LOCAL_URL", world.running.url())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub(crate) async fn ended(command: &mut Command) -> Output {
    let output = timeout(PATIENCE, command.output()).await;
    output
        .unwrap_or_else(|_| panic!("{command:?} did not end within {PATIENCE:?}"))
        .unwrap_or_else(|error| panic!("{command:?}: {error}; `cargo build --bin signalbox` makes it"))
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stdout)))
}

/// A directory with a secret that must stay behind.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("index.js", "exports.handler = async () => 1;\n"),
        ("buildspec.yml", "version: 0.2\n"),
        (".env", "TOKEN=a-marker-secret\n"),
    ] {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    directory
}

/// A command that goes on, read line by line.
struct Going {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    seen: String,
}

impl Going {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self {
            child,
            lines,
            seen: String::new(),
        }
    }

    /// Reads on until a line has this in it; answers what follows it there.
    async fn says(&mut self, text: &str) -> String {
        let found = timeout(PATIENCE, async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.seen.push_str(&line);
                self.seen.push('\n');
                if let Some((_, rest)) = line.split_once(text) {
                    return Some(rest.to_owned());
                }
            }
            None
        });
        let found = found.await.ok().flatten();
        found.unwrap_or_else(|| panic!("{text:?} is not said in\n{}", self.seen))
    }

    /// Its exit code and standard output.
    async fn end(mut self) -> (i32, String) {
        let end = timeout(PATIENCE, async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.seen.push_str(&line);
                self.seen.push('\n');
            }
            let mut out = String::new();
            let mut stdout = self.child.stdout.take().unwrap();
            stdout.read_to_string(&mut out).await.unwrap();
            (self.child.wait().await.unwrap().code().unwrap_or(-1), out)
        });
        let end = end.await;
        end.unwrap_or_else(|_| panic!("it did not end within {PATIENCE:?}:\n{}", self.seen))
    }
}

pub(crate) async fn trigger_packs_uploads_and_follows_the_run_to_its_end(world: &World) {
    let (directory, key) = (directory(), automatic("trigger"));
    let path = directory.path().to_str().unwrap();
    let arguments = [
        "trigger",
        "staging",
        path,
        "--watch",
        "--json",
        "--key",
        &key,
        "--author",
        "Dan <dan@example.com>",
        "--message",
        "Round the totals",
    ];
    let mut going = Going::start(signalbox(world, &arguments));
    let version = going.says("uploaded as object version ").await;
    let run = going.says("start-run started run ").await;
    let asked = going.says("Approval waits for approval; asked: ").await;
    let people: BTreeSet<&str> = asked.split(", ").collect();
    assert_eq!(people, BTreeSet::from([ANN, BEN]));
    runs::answer(world, &run, 1, "Approved").await;
    going.says("Approval succeeded in ").await;
    let (code, out) = going.end().await;
    assert_eq!(code, 0);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["outcome"], "started");
    assert_eq!(report["version"], version.as_str());
    assert_eq!(report["run"]["id"], run.as_str());
    assert_eq!(report["run"]["state"], "Succeeded");
    assert_eq!(report["run"]["stages"][1]["name"], "Approval");

    // The run took just this object, whose metadata say whose change it is.
    assert_eq!(runs::source_of(world, &run).await, (key.clone(), version.clone()));
    let bucket = &world.installed.source_bucket;
    let request = world.running.s3().get_object().bucket(bucket).key(&key);
    let object = request.version_id(&version).send().await.unwrap();
    let metadata = object.metadata().unwrap().clone();
    assert_eq!(metadata["branch"], "develop");
    assert_eq!(
        metadata["codepipeline-artifact-revision-summary"],
        "Round the totals | Author: Dan <dan@example.com>"
    );
    let bytes = object.body.collect().await.unwrap().to_vec();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let names: Vec<String> = (0..archive.len())
        .map(|at| archive.by_index(at).unwrap().name().unwrap().into_owned())
        .collect();
    assert_eq!(names, ["buildspec.yml", "index.js"], "the secret stays behind");
}

pub(crate) async fn trigger_uploads_to_the_bucket_of_the_pipeline(world: &World) {
    let (pipeline, bucket) = ("trigger-elsewhere", "packages-of-trigger-elsewhere");
    let s3 = world.running.s3();
    s3.create_bucket().bucket(bucket).send().await.unwrap();
    let versioned = VersioningConfiguration::builder()
        .status(BucketVersioningStatus::Enabled)
        .build();
    let versioned = s3
        .put_bucket_versioning()
        .bucket(bucket)
        .versioning_configuration(versioned);
    versioned.send().await.unwrap();
    make_pipeline(world, pipeline, bucket).await;
    let directory = directory();
    let path = directory.path().to_str().unwrap();
    let arguments = [
        "trigger",
        "staging",
        path,
        "--pipeline",
        pipeline,
        "--timeout",
        "1s",
        "--json",
    ];
    // No function hears of this bucket, so nobody takes the package up.
    let output = ended(&mut signalbox(world, &arguments)).await;
    let report = document(&output);
    assert_eq!(report["bucket"], bucket, "{}", said(&output));
    let object = s3
        .head_object()
        .bucket(bucket)
        .key(report["key"].as_str().unwrap());
    let object = object.send().await.unwrap();
    assert_eq!(object.version_id(), report["version"].as_str());
}

pub(crate) async fn trigger_uploads_to_no_bucket_that_it_would_have_to_guess(world: &World) {
    let (directory, key) = (directory(), automatic("trigger-nowhere"));
    let path = directory.path().to_str().unwrap();
    let arguments = [
        "trigger",
        "staging",
        path,
        "--key",
        &key,
        "--pipeline",
        "there-is-none",
    ];
    let output = ended(&mut signalbox(world, &arguments)).await;
    assert_eq!(code(&output), 1, "{}", said(&output));
    let told = said(&output);
    assert!(
        told.contains("there-is-none") && told.contains("--bucket"),
        "{told}"
    );
    let bucket = &world.installed.source_bucket;
    let versions = world
        .running
        .s3()
        .list_object_versions()
        .bucket(bucket)
        .prefix(&key);
    let versions = versions.send().await.unwrap();
    assert!(versions.versions().is_empty(), "{versions:?}");
}

pub(crate) async fn the_author_that_trigger_names_cannot_approve(world: &World) {
    let (directory, key) = (directory(), automatic("trigger-author"));
    let path = directory.path().to_str().unwrap();
    let author = format!("Ann <{ANN}>");
    let arguments = ["trigger", "staging", path, "--key", &key, "--author", &author];
    let output = ended(&mut signalbox(world, &arguments)).await;
    assert_eq!(code(&output), 0, "{}", said(&output));
    let run = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let mail = world
        .mail("to the author", |mail| mail.to == ANN && mail.text.contains(&run))
        .await;
    assert!(
        mail.text.contains(&author),
        "who made the change is told to everybody who is asked: {}",
        mail.text
    );
    runs::stop(world, &run).await;
}

pub(crate) async fn a_rejected_upload_says_why_with_an_exit_code_of_its_own(world: &World) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("package.zip");
    std::fs::write(&file, "no zip at all").unwrap();
    let key = automatic("trigger-rejected");
    let arguments = [
        "trigger",
        "staging",
        file.to_str().unwrap(),
        "--key",
        &key,
        "--json",
    ];
    let output = ended(&mut signalbox(world, &arguments)).await;
    assert_eq!(code(&output), 5, "{}", said(&output));
    assert!(
        said(&output).contains("the package is not a zip archive"),
        "{}",
        said(&output)
    );
    let report = document(&output);
    assert_eq!(report["outcome"], "rejected");
    assert_eq!(report["reasons"], json!(["the package is not a zip archive"]));
    runs::exactly(world, 0, report["version"].as_str().unwrap()).await;
}

pub(crate) async fn an_upload_that_nobody_takes_up_ends_with_the_time_and_where_to_look(world: &World) {
    let (directory, key) = (directory(), manual("trigger-lost"));
    let path = directory.path().to_str().unwrap();
    let arguments = ["trigger", "staging", path, "--key", &key, "--timeout", "2s"];
    let output = ended(&mut signalbox(world, &arguments)).await;
    assert_eq!(code(&output), 6, "{}", said(&output));
    for part in ["signalbox doctor staging", "signalbox-staging-start-run-failed"] {
        assert!(
            said(&output).contains(part),
            "{part} is missing in {}",
            said(&output)
        );
    }
}

pub(crate) async fn the_exit_code_of_watch_says_how_a_run_ended(world: &World) {
    for (end, exit, words) in [
        ("rejected", 3, "the run ended as failed"),
        ("stopped", 4, "the run ended as stopped"),
        ("left", 6, "the time is up and the run goes on"),
    ] {
        let stored = crate::source::put(world, &automatic("watch"), crate::world::package()).await;
        let run = world.run_of(&stored.version).await;
        runs::asked(world, &run, 1).await;
        let limit = if end == "left" { "1s" } else { "10m" };
        let arguments = ["watch", "staging", "--run", &run, "--timeout", limit];
        let mut going = Going::start(signalbox(world, &arguments));
        going.says("Source succeeded in ").await;
        match end {
            "rejected" => runs::answer(world, &run, 1, "Rejected").await,
            "stopped" => runs::stop(world, &run).await,
            _ => {}
        }
        going.says(words).await;
        assert_eq!(going.end().await.0, exit, "{end}");
        if end == "left" {
            runs::stop(world, &run).await;
        }
    }
}

pub(crate) async fn status_shows_open_approvals_with_who_was_asked(world: &World) {
    let stored = crate::source::put(world, &automatic("status"), crate::world::package()).await;
    let run = world.run_of(&stored.version).await;
    runs::asked(world, &run, 1).await;
    let open = until("the open approval in the status", async || {
        let output = ended(&mut signalbox(
            world,
            &["status", "staging", "--json", "--runs", "100"],
        ))
        .await;
        assert_eq!(code(&output), 0, "{}", said(&output));
        let status = document(&output);
        assert_eq!(status["pipeline"], world.installed.pipeline.as_str());
        let stages: Vec<&str> = status["stages"]
            .as_array()?
            .iter()
            .filter_map(|stage| stage["name"].as_str())
            .collect();
        assert_eq!(stages, ["Source", "Approval"]);
        let runs = status["runs"].as_array()?;
        let listed = runs.iter().find(|listed| listed["id"] == run.as_str())?;
        assert_eq!(listed["state"], "InProgress");
        let approvals = status["approvals"].as_array()?;
        let open = approvals.iter().find(|open| open["run"] == run.as_str())?;
        // The request is written a moment after the action has begun.
        open.get("asked")?;
        Some(open.clone())
    })
    .await;
    assert_eq!(open["stage"], "Approval");
    let asked: BTreeSet<&str> = open["asked"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(asked, BTreeSet::from([ANN, BEN]));
    let output = ended(&mut signalbox(world, &["status", "staging"])).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("Waiting for approval") && text.contains(ANN),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "no colours where there is no terminal");
    runs::stop(world, &run).await;
}

/// A pipeline that takes packages from this bucket.
async fn make_pipeline(world: &World, name: &str, bucket: &str) {
    let action = |category: &str, provider: &str| json!({ "category": category, "owner": "AWS", "provider": provider, "version": "1" });
    let declaration = json!({
        "name": name, "pipelineType": "V2", "executionMode": "SUPERSEDED",
        "roleArn": "arn:aws:iam::123456789012:role/pipeline",
        "artifactStore": { "type": "S3", "location": world.installed.artifact_bucket },
        "stages": [
            { "name": "Source", "actions": [{
                "name": "Source", "actionTypeId": action("Source", "S3"), "runOrder": 1,
                "configuration": {
                    "S3Bucket": bucket, "S3ObjectKey": format!("source/{name}.zip"),
                    "PollForSourceChanges": "false",
                },
                "outputArtifacts": [{ "name": "SourceOutput" }],
            }]},
            { "name": "Release", "actions": [{
                "name": "Approve", "actionTypeId": action("Approval", "Manual"), "runOrder": 1,
            }]},
        ],
    });
    let input = json!({ "pipeline": declaration });
    let made = world.running.call("codepipeline", "CreatePipeline", input).await;
    made.unwrap();
}

pub(crate) async fn status_shows_a_frozen_stage_with_its_reason(world: &World) {
    let pipeline = "status-frozen";
    make_pipeline(world, pipeline, &world.installed.source_bucket).await;
    let input = json!({
        "pipelineName": pipeline, "stageName": "Release", "transitionType": "Inbound",
        "reason": "version 4 was rolled back",
    });
    let frozen = world
        .running
        .call("codepipeline", "DisableStageTransition", input)
        .await;
    frozen.unwrap();
    let arguments = ["status", "staging", "--pipeline", pipeline];
    let output = ended(&mut signalbox(world, &[&arguments[..], &["--json"]].concat())).await;
    assert_eq!(code(&output), 0, "{}", said(&output));
    let status = document(&output);
    assert_eq!(
        status["stages"][1]["frozen"]["reason"],
        "version 4 was rolled back"
    );
    assert!(status["stages"][0].get("frozen").is_none());
    let output = ended(&mut signalbox(world, &arguments)).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("frozen: version 4 was rolled back"), "{text}");

    let output = ended(&mut signalbox(
        world,
        &["status", "staging", "--pipeline", "no-such"],
    ))
    .await;
    assert_eq!(code(&output), 1);
    assert!(
        said(&output).contains("PipelineNotFoundException"),
        "{}",
        said(&output)
    );
}

/// The interface that people and their scripts know.
pub(crate) async fn the_script_triggers_a_run_and_follows_it_where_it_is_told_to(world: &World) {
    let directory = directory();
    let script = world.running.paths.project.join("scripts/trigger-pipeline.sh");
    let path = format!(
        "{}:{}",
        world.running.paths.binaries.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let scripted = |arguments: &[&str]| {
        let mut command = Command::new(&script);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", &path)
            .env("SIGNALBOX_LOCAL_URL", world.running.url())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    };
    let output = ended(&mut scripted(&[])).await;
    assert_eq!(code(&output), 2);
    assert!(said(&output).contains("usage:"), "{}", said(&output));

    // The directory that it is called in, where none is named.
    let key = automatic("script");
    let mut command = scripted(&["staging", ".", "--key", &key]);
    let output = ended(command.current_dir(directory.path())).await;
    assert_eq!(code(&output), 0, "{}", said(&output));
    let run = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert_eq!(runs::source_of(world, &run).await.0, key);
    runs::stop(world, &run).await;

    let key = automatic("script-monitored");
    let mut command = scripted(&["staging", directory.path().to_str().unwrap(), "--key", &key]);
    command.env("MONITOR_EXECUTION", "true");
    let mut going = Going::start(command);
    let run = going.says("start-run started run ").await;
    runs::answer(world, &run, 1, "Approved").await;
    going.says("the run succeeded").await;
    assert_eq!(going.end().await.0, 0);
}
