//! A cloud of its own for the trials of rollbacks: a rollback freezes the pipeline's stage, and one trial's
//! freeze must not meet another file's runs.
//!
//! In it stand the control plane of `staging`, the application's stack (version 1, as an operator deploys it
//! first) and a pipeline around it. Each trial adds what it needs by API: a function, an alias, a deployment
//! group and an alarm of names of its own, in the application that roll-back watches.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use signalbox_ledger::Ledger;
use signalbox_local::inbox::Mail;
use signalbox_local::install::{self, Installed, Plan};
use signalbox_local::paths::Paths;
use signalbox_local::running::{Options, Running};
use signalbox_local_eventbridge::DeliveryFaults;
use tokio::time::timeout;

use crate::privileges;
use crate::world::{Answer, TEAM, World, until, until_within};

/// Five minutes of a canary pass in one and a half seconds.
pub(crate) const SCALE: f64 = 200.0;

/// Nothing that a trial waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(120);
/// What roll-back's reserved concurrency keeps out comes again after pauses that Lambda doubles from one second on: the
/// seventh attempt is made a minute after the first.
const THROTTLED: Duration = Duration::from_secs(300);

/// Events of alarms with this in their name reach nobody by themselves: the trial hands them over.
const HELD: &str = "-held-";

/// So slow that no trial sees its end.
pub(crate) const SLOW: &str = "Custom.Lambda10PercentFor2000Minutes";

pub(crate) struct RollbackCloud {
    pub(crate) running: Running,
    pub(crate) installed: Installed,
}

/// The cloud, started by the first trial that needs it.
pub(crate) async fn cloud(world: &World) -> Arc<RollbackCloud> {
    let started = world
        .rollbacks
        .get_or_init(|| async { Arc::new(RollbackCloud::start().await) });
    started.await.clone()
}

impl RollbackCloud {
    async fn start() -> Self {
        let options = Options {
            scale: SCALE,
            ..Options::default()
        };
        let paths = Paths::find().unwrap();
        let running = Running::start(paths, &options, &|_| ()).await.unwrap();
        privileges::watch(&running);
        let plan = Plan {
            environment: "staging".to_owned(),
            approvers: Vec::new(),
            watcher: TEAM.to_owned(),
        };
        let installed = install::install_control_plane(&running, &plan).await.unwrap();
        let is_held = |event: &Value| {
            event["detail-type"] == "CloudWatch Alarm State Change"
                && event["detail"]["alarmName"]
                    .as_str()
                    .is_some_and(|name| name.contains(HELD))
        };
        running.events.set_faults(DeliveryFaults {
            drop: Some(Box::new(is_held)),
            ..DeliveryFaults::default()
        });
        install::make_deployment_application(&running, &installed)
            .await
            .unwrap();
        install::deploy_first_version(&running, &installed).await.unwrap();
        let cloud = Self { running, installed };
        cloud.make_pipeline().await;
        let slow = json!({
            "deploymentConfigName": SLOW, "computePlatform": "Lambda",
            "trafficRoutingConfig": {
                "type": "TimeBasedCanary",
                "timeBasedCanary": { "canaryPercentage": 10, "canaryInterval": 2000 },
            },
        });
        cloud.call("codedeploy", "CreateDeploymentConfig", slow).await;
        cloud
    }

    /// Three stages, of which the second is what a rollback freezes.
    async fn make_pipeline(&self) {
        let action = |category: &str, provider: &str| json!({ "category": category, "owner": "AWS", "provider": provider, "version": "1" });
        let pipeline = json!({
            "name": self.installed.pipeline, "pipelineType": "V2", "executionMode": "SUPERSEDED",
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
                { "name": "Deploy", "actions": [{
                    "name": "Wait", "actionTypeId": action("Approval", "Manual"), "runOrder": 1,
                }]},
                { "name": "Test", "actions": [{
                    "name": "Wait", "actionTypeId": action("Approval", "Manual"), "runOrder": 1,
                }]},
            ],
        });
        self.call("codepipeline", "CreatePipeline", json!({ "pipeline": pipeline }))
            .await;
    }

    pub(crate) async fn call(&self, service: &str, operation: &str, input: Value) -> Value {
        let answer = self.running.call(service, operation, input).await;
        answer.unwrap_or_else(|error| panic!("{service} {operation}: {error}"))
    }

    /// Hands an event or a command to roll-back and waits for its answer.
    pub(crate) async fn invoke(&self, event: &Value) -> Value {
        self.answer(event).await.payload
    }

    /// As [`RollbackCloud::invoke`], with whether it failed.
    pub(crate) async fn answer(&self, event: &Value) -> Answer {
        self.answer_of("signalbox-staging-roll-back", event).await
    }

    /// As [`RollbackCloud::answer`], of another environment's function.
    pub(crate) async fn answer_of(&self, function: &str, event: &Value) -> Answer {
        let payload = STANDARD.encode(event.to_string());
        let input = json!({ "FunctionName": function, "Payload": payload });
        let answer = until("roll-back's answer", async || {
            // Two at a time is what its reservation lets through.
            match self.running.call("lambda", "Invoke", input.clone()).await {
                Err(error) if error.code == "TooManyRequestsException" => None,
                answer => Some(answer.unwrap()),
            }
        })
        .await;
        Answer::of(&answer)
    }

    pub(crate) fn ledger(&self) -> Ledger {
        ledger_of(&self.running, &self.installed.ledger_table)
    }

    /// Waits for a mail to the team whose subject or body has all these words.
    pub(crate) async fn mail(&self, words: &[&str]) -> Mail {
        let wanted = |mail: &Mail| has(mail, words);
        let found = timeout(PATIENCE, self.running.cloud.inbox().wait_for(wanted)).await;
        found.unwrap_or_else(|_| {
            let mails = self.running.cloud.inbox().mails();
            let subjects: Vec<_> = mails.iter().map(|mail| &mail.subject).collect();
            panic!(
                "no mail has {words:?}; the inbox has {subjects:#?}; logs: {}",
                self.running.logs.display()
            )
        })
    }

    /// How many mails have all these words.
    pub(crate) fn mails(&self, words: &[&str]) -> usize {
        let mails = self.running.cloud.inbox().mails();
        mails.iter().filter(|mail| has(mail, words)).count()
    }

    /// Waits until roll-back is done with every event of the alarm that has passed over the bus.
    pub(crate) async fn settled(&self, alarm: &str) {
        let log = self.running.logs.join("signalbox-staging-roll-back.log");
        let what = format!("roll-back to be done with {alarm}");
        until_within(THROTTLED, &what, async || {
            let seen = self.running.events.events_seen();
            let raised = seen.iter().filter(|event| is_raised(event, alarm)).count();
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            // The alarm's whole name, in quotation marks: others begin with it.
            let name = format!("{alarm}\\\"");
            let is_end = |line: &&str| line.contains("\"handled\"") && line.contains(&name);
            (said.lines().filter(is_end).count() >= raised).then_some(())
        })
        .await;
    }

    /// Why the stage's inbound transition is disabled, if it is.
    pub(crate) async fn frozen(&self) -> Option<String> {
        let input = json!({ "name": self.installed.pipeline });
        let state = self.call("codepipeline", "GetPipelineState", input).await;
        let transition = &state["stageStates"][1]["inboundTransitionState"];
        (transition["enabled"] == false).then(|| {
            transition["disabledReason"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
    }

    pub(crate) async fn set_alarm(&self, alarm: &str, state: &str) {
        let input = json!({ "AlarmName": alarm, "StateValue": state, "StateReason": "the trial says so" });
        self.call("cloudwatch", "SetAlarmState", input).await;
    }

    /// The newest event of the alarm's change to ALARM, as it passed over the bus.
    pub(crate) async fn raised(&self, alarm: &str) -> Value {
        until(&format!("an event of alarm {alarm}"), async || {
            let seen = self.running.events.events_seen();
            seen.iter().rev().find(|event| is_raised(event, alarm)).cloned()
        })
        .await
    }

    /// An alarm that stays as it is set: nothing ever measures what it watches.
    pub(crate) async fn make_alarm(&self, name: &str, tags: Value) {
        let input = json!({
            "AlarmName": name, "Namespace": "Trials", "MetricName": name, "Statistic": "Sum", "Period": 60,
            "EvaluationPeriods": 1, "Threshold": 0.0, "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "ignore", "Tags": tags,
        });
        self.call("cloudwatch", "PutMetricAlarm", input).await;
    }
}

/// An environment's ledger, as a person with the right to it reads and writes it.
pub(crate) fn ledger_of(running: &Running, table: &str) -> Ledger {
    let credentials = aws_credential_types::Credentials::new("local", "local", None, None, "local");
    let aws = signalbox_bootstrap::Aws::new("us-east-1".to_owned(), credentials, Some(running.url()));
    Ledger::dynamodb(aws_sdk_dynamodb::Client::new(aws.sdk()), table)
}

fn is_raised(event: &Value, alarm: &str) -> bool {
    event["detail-type"] == "CloudWatch Alarm State Change"
        && event["detail"]["alarmName"] == alarm
        && event["detail"]["state"]["value"] == "ALARM"
}

fn has(mail: &Mail, words: &[&str]) -> bool {
    mail.to == TEAM
        && words
            .iter()
            .all(|word| mail.subject.contains(word) || mail.text.contains(word))
}
