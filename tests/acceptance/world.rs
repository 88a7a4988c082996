//! The cloud that the tests share: the control plane of `staging`, with a pipeline of two quick stages
//! in place of the application's own.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};
use signalbox_ledger::Ledger;
use signalbox_local::inbox::Mail;
use signalbox_local::install::{self, Installed, Plan};
use signalbox_local::paths::Paths;
use signalbox_local::running::{Options, Running};
use signalbox_local_eventbridge::DeliveryFaults;
use tokio::time::{sleep, timeout};

use crate::privileges;
use crate::rollback_cloud::RollbackCloud;

/// The first approver.
pub(crate) const ANN: &str = "ann@example.com";
/// The second approver.
pub(crate) const BEN: &str = "ben@example.com";
/// Who is told what happens.
pub(crate) const TEAM: &str = "team@example.com";

/// Who keeps Signalbox itself running.
pub(crate) const ON_CALL: &str = "on-call@example.com";

/// Uploads to a key with this in it reach no function by themselves: the test delivers their events.
pub(crate) const MANUAL: &str = "/manual/";

/// Configured durations pass this many times faster: a retry of Lambda's after a minute comes in two seconds.
const SCALE: f64 = 30.0;

/// Nothing that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) running: Running,
    pub(crate) installed: Installed,
    /// The cloud of the rollbacks' trials, once one of them runs.
    pub(crate) rollbacks: tokio::sync::OnceCell<Arc<RollbackCloud>>,
    /// Runs whose events are lost.
    lost: Arc<Mutex<HashSet<String>>>,
}

/// What a function answered to an event that was handed to it directly.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// Its result, or the error's type and message.
    pub(crate) payload: Value,
    /// Whether it failed.
    pub(crate) failed: bool,
}

impl Answer {
    /// Of what Lambda's `Invoke` answers.
    pub(crate) fn of(answer: &Value) -> Self {
        let payload = answer.get("Payload").and_then(Value::as_str).unwrap_or_default();
        let payload = base64::engine::general_purpose::STANDARD.decode(payload).unwrap();
        Self {
            payload: serde_json::from_slice(&payload).unwrap_or_default(),
            failed: answer.get("FunctionError").is_some_and(|error| !error.is_null()),
        }
    }

    /// The whole answer as text, to look for words in.
    pub(crate) fn text(&self) -> String {
        self.payload.to_string()
    }
}

impl World {
    pub(crate) async fn start() -> Result<Self, Box<dyn std::error::Error>> {
        let paths = Paths::find()?;
        if !signalbox_local::functions::are_built(&paths) {
            return Err(
                "the functions' binaries are missing: run `cargo test --workspace`, which builds them".into(),
            );
        }
        let options = Options {
            scale: SCALE,
            ..Options::default()
        };
        let running = Running::start(paths, &options, &|_| ()).await?;
        privileges::watch(&running);
        let plan = Plan {
            environment: "staging".to_owned(),
            approvers: vec![ANN.to_owned(), BEN.to_owned()],
            watcher: TEAM.to_owned(),
        };
        let installed = install::install_control_plane(&running, &plan).await?;
        let lost = Arc::new(Mutex::new(HashSet::new()));
        running.events.set_faults(losing(lost.clone()));
        let world = Self {
            running,
            installed,
            rollbacks: tokio::sync::OnceCell::new(),
            lost,
        };
        world.create_pipeline().await?;
        world.subscribe_on_call().await?;
        Ok(world)
    }

    /// From now on, no event of this run reaches anybody.
    pub(crate) fn lose_events_of(&self, run: &str) {
        self.lost.lock().unwrap().insert(run.to_owned());
    }

    /// The environment's ledger, as a person with the right to it reads and writes it.
    pub(crate) fn ledger(&self) -> Ledger {
        self.ledger_of(&self.installed.ledger_table)
    }

    /// The ledger in a table.
    pub(crate) fn ledger_of(&self, table: &str) -> Ledger {
        let credentials = aws_credential_types::Credentials::new("local", "local", None, None, "local");
        let aws =
            signalbox_bootstrap::Aws::new("us-east-1".to_owned(), credentials, Some(self.running.url()));
        Ledger::dynamodb(aws_sdk_dynamodb::Client::new(aws.sdk()), table)
    }

    pub(crate) async fn stop(&self) {
        if let Some(rollbacks) = self.rollbacks.get() {
            rollbacks.running.shut_down().await;
        }
        self.running.shut_down().await;
    }

    /// Source, then an approval, in PARALLEL mode: runs of different tests do not meet.
    async fn create_pipeline(&self) -> Result<(), Box<dyn std::error::Error>> {
        let action = |category: &str, provider: &str| json!({ "category": category, "owner": "AWS", "provider": provider, "version": "1" });
        let pipeline = json!({
            "name": self.installed.pipeline, "pipelineType": "V2", "executionMode": "PARALLEL",
            "roleArn": "arn:aws:iam::123456789012:role/pipeline",
            "artifactStore": { "type": "S3", "location": self.installed.artifact_bucket },
            "stages": [
                { "name": "Source", "actions": [{
                    "name": "Source", "actionTypeId": action("Source", "S3"), "runOrder": 1,
                    "configuration": {
                        "S3Bucket": self.installed.source_bucket, "S3ObjectKey": "source/develop/lambda-function.zip",
                        "PollForSourceChanges": "false", "AllowOverrideForS3ObjectKey": "true",
                    },
                    "outputArtifacts": [{ "name": "SourceOutput" }],
                }]},
                { "name": "Approval", "actions": [{
                    "name": "Approve", "actionTypeId": action("Approval", "Manual"), "runOrder": 1,
                }]},
            ],
        });
        self.running
            .call("codepipeline", "CreatePipeline", json!({ "pipeline": pipeline }))
            .await?;
        Ok(())
    }

    /// As an operator does after installing.
    async fn subscribe_on_call(&self) -> Result<(), Box<dyn std::error::Error>> {
        let topic = format!(
            "arn:aws:sns:us-east-1:123456789012:signalbox-{}-alerts",
            self.installed.environment
        );
        let input = json!({ "TopicArn": topic, "Protocol": "email", "Endpoint": ON_CALL });
        self.running.call("sns", "Subscribe", input).await?;
        Ok(())
    }

    /// A function's full name.
    pub(crate) fn function(&self, name: &str) -> String {
        format!("signalbox-{}-{name}", self.installed.environment)
    }

    /// Hands an event to a function, as Lambda would, and waits for its answer.
    pub(crate) async fn invoke(&self, function: &str, event: &Value) -> Answer {
        self.invoke_named(&self.function(function), event).await
    }

    /// As [`World::invoke`], by the function's full name.
    pub(crate) async fn invoke_named(&self, function: &str, event: &Value) -> Answer {
        let payload = base64::engine::general_purpose::STANDARD.encode(event.to_string());
        let input = json!({ "FunctionName": function, "Payload": payload });
        Answer::of(&self.running.call("lambda", "Invoke", input).await.unwrap())
    }

    /// The runs of the pipeline whose source is this object version.
    pub(crate) async fn runs_of(&self, version: &str) -> Vec<String> {
        let input = json!({ "pipelineName": self.installed.pipeline, "maxResults": 100 });
        let answer = self
            .running
            .call("codepipeline", "ListPipelineExecutions", input)
            .await
            .unwrap();
        let runs = answer
            .get("pipelineExecutionSummaries")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        runs.iter()
            .filter(|run| run.to_string().contains(version))
            .filter_map(|run| run.get("pipelineExecutionId")?.as_str().map(str::to_owned))
            .collect()
    }

    /// Waits for the run of this object version.
    pub(crate) async fn run_of(&self, version: &str) -> String {
        until(&format!("a run of version {version}"), async || {
            self.runs_of(version).await.first().cloned()
        })
        .await
    }

    /// Waits for a mail.
    pub(crate) async fn mail(&self, what: &str, wanted: impl Fn(&Mail) -> bool) -> Mail {
        let mail = timeout(PATIENCE, self.running.cloud.inbox().wait_for(wanted)).await;
        mail.unwrap_or_else(|_| panic!("no mail {what}; the inbox has {:#?}", self.subjects()))
    }

    /// How many mails to the team are like this.
    pub(crate) fn mails(&self, wanted: impl Fn(&Mail) -> bool) -> usize {
        self.running
            .cloud
            .inbox()
            .mails()
            .iter()
            .filter(|mail| wanted(mail))
            .count()
    }

    fn subjects(&self) -> Vec<String> {
        self.running
            .cloud
            .inbox()
            .mails()
            .into_iter()
            .map(|mail| format!("{}: {}", mail.to, mail.subject))
            .collect()
    }

    /// The event of S3 for an upload, as EventBridge delivers it.
    pub(crate) fn created(&self, key: &str, version: Option<&str>, sequencer: &str, size: u64) -> Value {
        let mut object = json!({ "key": key, "size": size, "etag": "d41d8cd98f00b204e9800998ecf8427e", "sequencer": sequencer });
        if let Some(version) = version {
            object["version-id"] = json!(version);
        }
        json!({
            "version": "0", "id": uuid::Uuid::new_v4().to_string(), "detail-type": "Object Created",
            "source": "aws.s3", "account": "123456789012", "time": "2026-02-03T10:00:00Z", "region": "us-east-1",
            "resources": [format!("arn:aws:s3:::{}", self.installed.source_bucket)],
            "detail": {
                "version": "0", "bucket": { "name": self.installed.source_bucket }, "object": object,
                "request-id": "C3D13FE58DE4C810", "requester": "123456789012",
                "source-ip-address": "127.0.0.1", "reason": "PutObject",
            },
        })
    }
}

/// Loses what tests deliver themselves, and the events of lost runs.
fn losing(runs: Arc<Mutex<HashSet<String>>>) -> DeliveryFaults {
    let is_lost = move |event: &Value| {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        text("/detail/object/key").contains(MANUAL)
            || runs.lock().unwrap().contains(text("/detail/execution-id"))
    };
    DeliveryFaults {
        drop: Some(Box::new(is_lost)),
        ..DeliveryFaults::default()
    }
}

/// Polls until there is something; fails with what was awaited.
pub(crate) async fn until<T>(what: &str, poll: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, poll).await
}

/// As [`until`], for what may take longer.
pub(crate) async fn until_within<T>(
    patience: Duration,
    what: &str,
    mut poll: impl AsyncFnMut() -> Option<T>,
) -> T {
    let found = timeout(patience, async {
        loop {
            if let Some(found) = poll().await {
                return found;
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    found
        .await
        .unwrap_or_else(|_| panic!("{what} did not come within {patience:?}"))
}

/// A sound package.
pub(crate) fn package() -> Vec<u8> {
    zip_of(&[("index.js", b"exports.handler = async () => 1;\n")])
}

/// A zip of these files.
pub(crate) fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}
