//! Environments of their own for what the shared one cannot show: another execution mode, another policy.
//! Each has a pipeline of two stages, as the shared one, and a sweep that runs only when a test asks for it.

use aws_sdk_s3::primitives::ByteStream;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use signalbox_decision::approval::keys::{Key, Keys};
use signalbox_decision::approval::link::Link;
use signalbox_decision::approval::nonce::Nonce;
use signalbox_local::install;
use signalbox_local_core::{Caller, Cloud};

use crate::approvals::Visitor;
use crate::runs::{action_of, status_and_summary};
use crate::world::{World, package, until, zip_of};

/// One environment.
pub(crate) struct Site {
    environment: String,
    pub(crate) pipeline: String,
    /// Where the page is; ends in `/`.
    pub(crate) answer_url: String,
    table: String,
    source_bucket: String,
}

/// What an environment is to be.
pub(crate) struct Plan<'a> {
    pub(crate) environment: &'a str,
    pub(crate) mode: &'a str,
    pub(crate) policy: Value,
    /// The secret's ARN and the API's address.
    pub(crate) slack: Option<(&'a str, &'a str)>,
}

impl Site {
    pub(crate) async fn make(world: &World, plan: Plan<'_>) -> Self {
        let Plan {
            environment,
            mode,
            policy,
            slack,
        } = plan;
        // The template knows two environments, and both belong to others here.
        let template = std::fs::read_to_string(world.running.paths.project.join("template.yaml")).unwrap();
        let allowed = format!("AllowedValues: [{environment}]");
        let template = template.replacen("AllowedValues: [staging, production]", &allowed, 1);
        let template = template.replacen("Default: staging", &format!("Default: {environment}"), 1);
        let pipeline = format!("{environment}-pipeline");
        let document = policy.to_string();
        let (secret, api) = slack.unwrap_or_default();
        let mut parameters = vec![
            ("Environment", environment),
            ("PipelineName", pipeline.as_str()),
            ("SourceBucketName", "nobody-uploads-here"),
            ("ApprovalPolicy", document.as_str()),
            ("LogLevel", "info"),
        ];
        if slack.is_some() {
            parameters.extend([("SlackSecretArn", secret), ("SlackApiUrl", api)]);
        }
        let stack = format!("signalbox-{environment}");
        let outputs = install::create_stack(&world.running, &stack, &template, &parameters)
            .await
            .unwrap();
        let output = |name: &str| outputs.iter().find(|(key, _)| key == name).unwrap().1.clone();
        let call = async |service: &str, operation: &str, input: Value| {
            world.running.call(service, operation, input).await.unwrap()
        };
        call(
            "events",
            "DisableRule",
            json!({ "Name": format!("signalbox-{environment}-sweep") }),
        )
        .await;
        for approver in policy["approvers"].as_array().unwrap() {
            let email = &approver["email"];
            let input = json!({
                "TopicArn": output("ApprovalTopicArn"), "Protocol": "email", "Endpoint": email,
                "Attributes": { "FilterPolicy": json!({ "approver": [email] }).to_string() },
            });
            call("sns", "Subscribe", input).await;
        }
        let site = Self {
            environment: environment.to_owned(),
            pipeline,
            answer_url: output("AnswerUrl"),
            table: output("LedgerTableName"),
            source_bucket: world.installed.source_bucket.clone(),
        };
        site.make_pipeline(world, mode).await;
        site
    }

    async fn make_pipeline(&self, world: &World, mode: &str) {
        let kind = |category: &str, provider: &str| json!({ "category": category, "owner": "AWS", "provider": provider, "version": "1" });
        let key = format!("{}/package.zip", self.environment);
        let upload = world
            .running
            .s3()
            .put_object()
            .bucket(&self.source_bucket)
            .key(&key);
        let upload = upload.metadata(
            "codepipeline-artifact-revision-summary",
            "Author: carol@example.com",
        );
        upload.body(ByteStream::from(package())).send().await.unwrap();
        let pipeline = json!({
            "name": self.pipeline, "pipelineType": "V2", "executionMode": mode,
            "roleArn": "arn:aws:iam::123456789012:role/pipeline",
            "artifactStore": { "type": "S3", "location": world.installed.artifact_bucket },
            "stages": [
                { "name": "Source", "actions": [{
                    "name": "Source", "actionTypeId": kind("Source", "S3"), "runOrder": 1,
                    "configuration": {
                        "S3Bucket": self.source_bucket, "S3ObjectKey": key, "PollForSourceChanges": "false",
                    },
                    "outputArtifacts": [{ "name": "SourceOutput" }],
                }]},
                { "name": "Approval", "actions": [{
                    "name": "Approve", "actionTypeId": kind("Approval", "Manual"), "runOrder": 1,
                }]},
            ],
        });
        let input = json!({ "pipeline": pipeline });
        world
            .running
            .call("codepipeline", "CreatePipeline", input)
            .await
            .unwrap();
    }

    /// Puts a stage in front of the approval that prepares a change set, of a template in the package.
    pub(crate) async fn prepare_a_change_set(&self, world: &World) {
        let template = json!({ "Resources": { "Queue": { "Type": "AWS::SQS::Queue" } } });
        let package = zip_of(&[("template.json", template.to_string().as_bytes())]);
        let upload = world.running.s3().put_object().bucket(&self.source_bucket);
        let upload = upload.key(format!("{}/package.zip", self.environment));
        upload.body(ByteStream::from(package)).send().await.unwrap();
        let input = json!({ "name": self.pipeline });
        let found = world.running.call("codepipeline", "GetPipeline", input).await;
        let mut pipeline = found.unwrap()["pipeline"].clone();
        let stage = json!({ "name": "Deploy", "actions": [{
            "name": "Prepare", "runOrder": 1, "inputArtifacts": [{ "name": "SourceOutput" }],
            "actionTypeId": { "category": "Deploy", "owner": "AWS", "provider": "CloudFormation", "version": "1" },
            "configuration": {
                "ActionMode": "CHANGE_SET_REPLACE", "StackName": format!("lambda-function-{}", self.environment),
                "ChangeSetName": "signalbox", "TemplatePath": "SourceOutput::template.json",
            },
        }]});
        pipeline["stages"].as_array_mut().unwrap().insert(1, stage);
        let input = json!({ "pipeline": pipeline });
        world
            .running
            .call("codepipeline", "UpdatePipeline", input)
            .await
            .unwrap();
    }

    /// A function's full name.
    pub(crate) fn function(&self, name: &str) -> String {
        format!("signalbox-{}-{name}", self.environment)
    }

    /// Starts a run.
    pub(crate) async fn start(&self, world: &World) -> String {
        self.start_as(world, &Caller::Admin).await
    }

    /// Starts a run in somebody's name.
    pub(crate) async fn start_as(&self, world: &World, caller: &Caller) -> String {
        let input = json!({ "name": self.pipeline });
        let answer = world
            .running
            .cloud
            .call(caller, "codepipeline", "StartPipelineExecution", input)
            .await
            .unwrap();
        answer["pipelineExecutionId"].as_str().unwrap().to_owned()
    }

    /// Waits for the mail that asks `person` about `run`; answers its link.
    pub(crate) async fn link(&self, world: &World, person: &str, run: &str) -> String {
        let base = format!("{}a/", self.answer_url);
        let what = format!("to {person} about {run}");
        let wanted = |mail: &signalbox_local::inbox::Mail| {
            mail.to == person && mail.text.contains(run) && mail.text.contains(&base)
        };
        let mail = world.mail(&what, wanted).await;
        let rest = mail.text.split_once(&base).unwrap().1;
        format!("{base}{}", rest.split_whitespace().next().unwrap())
    }

    /// Waits until `run` stands in front of the approval's stage.
    pub(crate) async fn waits_behind(&self, world: &World, run: &str) {
        let what = format!("run {run} in front of the approval");
        until(&what, async || {
            let input = json!({ "name": self.pipeline });
            let state = world
                .running
                .call("codepipeline", "GetPipelineState", input)
                .await;
            let state = state.unwrap();
            let stages = state["stageStates"].as_array().unwrap();
            let stage = stages.iter().find(|stage| stage["stageName"] == "Approval")?;
            stage["inboundExecutions"].to_string().contains(run).then_some(())
        })
        .await;
    }

    /// The approval action of a run: its status and its summary.
    pub(crate) async fn action(&self, world: &World, run: &str) -> (String, String) {
        match action_of(world, &self.pipeline, run, "Approve").await {
            Some(action) => status_and_summary(&action),
            None => ("not started".to_owned(), String::new()),
        }
    }

    /// The token with which a waiting approval can be answered.
    pub(crate) async fn token(&self, world: &World, run: &str) -> String {
        let action = action_of(world, &self.pipeline, run, "Approve").await.unwrap();
        let token = action
            .pointer("/output/executionResult/externalExecutionId")
            .unwrap();
        token.as_str().unwrap().to_owned()
    }

    /// Waits for the end of a run's approval; answers its summary.
    pub(crate) async fn ended(&self, world: &World, run: &str, status: &str) -> String {
        until(&format!("the approval of {run} as {status}"), async || {
            let (now, summary) = self.action(world, run).await;
            (now == status).then_some(summary)
        })
        .await
    }

    /// The status of a run.
    pub(crate) async fn status(&self, world: &World, run: &str) -> String {
        let input = json!({ "pipelineName": self.pipeline, "pipelineExecutionId": run });
        let answer = world
            .running
            .call("codepipeline", "GetPipelineExecution", input)
            .await
            .unwrap();
        answer["pipelineExecution"]["status"].as_str().unwrap().to_owned()
    }

    /// Ends a run that nobody decides.
    pub(crate) async fn stop(&self, world: &World, run: &str) {
        let input = json!({
            "pipelineName": self.pipeline, "pipelineExecutionId": run, "abandon": true, "reason": "test",
        });
        world
            .running
            .call("codepipeline", "StopPipelineExecution", input)
            .await
            .unwrap();
    }

    /// The ledger's rows about the askings of a run.
    pub(crate) async fn rows(&self, world: &World, run: &str) -> Vec<Value> {
        let pk = format!("APPROVAL#{}#{run}", self.pipeline);
        let input = json!({
            "TableName": self.table, "KeyConditionExpression": "pk = :pk", "ConsistentRead": true,
            "ExpressionAttributeValues": { ":pk": { "S": pk } },
        });
        let answer = world.running.call("dynamodb", "Query", input).await.unwrap();
        let items = answer["Items"].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .map(|item| serde_json::from_str(item["body"]["S"].as_str().unwrap()).unwrap())
            .collect()
    }

    /// The one asking of a run.
    pub(crate) async fn stored(&self, world: &World, run: &str) -> Value {
        let rows = self.rows(world, run).await;
        rows.into_iter().find(|row| !row["record"].is_null()).unwrap()
    }

    /// Nothing was decided.
    pub(crate) async fn assert_open(&self, world: &World, run: &str) {
        assert_eq!(self.action(world, run).await.0, "InProgress");
        let stored = self.stored(world, run).await;
        assert!(
            stored["decision"].is_null() && stored["votes"] == json!([]),
            "{stored}"
        );
    }

    /// Sweeps, once.
    pub(crate) async fn sweep(&self, world: &World) {
        let payload = STANDARD.encode(include_str!("../../events/sweep/scheduled.json"));
        let input = json!({ "FunctionName": self.function("sweep"), "Payload": payload });
        let answer = world.running.call("lambda", "Invoke", input).await.unwrap();
        let payload = STANDARD.decode(answer["Payload"].as_str().unwrap()).unwrap();
        let payload = String::from_utf8_lossy(&payload).into_owned();
        assert!(answer["FunctionError"].is_null(), "{payload}");
    }

    async fn keys(&self, world: &World) -> Keys {
        let input = json!({ "SecretId": format!("signalbox-{}-signing", self.environment) });
        let secret = world
            .running
            .call("secretsmanager", "GetSecretValue", input)
            .await;
        let key: Key = serde_json::from_str(secret.unwrap()["SecretString"].as_str().unwrap()).unwrap();
        Keys::new(key, None)
    }

    /// A link changed and signed anew, with a cookie and a nonce that fit it: what somebody could make who
    /// had the key.
    pub(crate) async fn resigned(
        &self,
        world: &World,
        url: &str,
        change: impl FnOnce(&mut Link),
    ) -> (String, String, String) {
        let keys = self.keys(world).await;
        let segment = url.rsplit('/').next().unwrap();
        let mut link = Link::verify(segment, &keys).unwrap().link().clone();
        change(&mut link);
        let text = link.sign(&keys);
        let (nonce, link) = (Nonce::new([7; 32]), Link::verify(&text, &keys).unwrap());
        let form = nonce.form_value(&link, &keys);
        (
            format!("{}a/{text}", self.answer_url),
            format!("signalbox_nonce={}", nonce.cookie_value()),
            form,
        )
    }

    /// Neither does the one link serve the other's run, nor the other's run with the one's token in it, even
    /// if somebody could sign that.
    pub(crate) async fn assert_apart(&self, world: &World, visitor: &Visitor, one: &str, other: &str) {
        let keys = self.keys(world).await;
        let read = |url: &str| {
            let segment = url.rsplit('/').next().unwrap();
            Link::verify(segment, &keys).unwrap().link().clone()
        };
        let (one_link, other_link) = (read(one), read(other));
        let mixed = [
            (other_link.approval.clone(), one_link.token),
            (one_link.approval.clone(), other_link.token),
        ];
        for (approval, token) in mixed {
            let (url, cookie, nonce) = self
                .resigned(world, one, |link| {
                    link.approval = approval;
                    link.token = token;
                })
                .await;
            for verdict in ["approve", "reject"] {
                let fields = [("verdict", verdict), ("nonce", nonce.as_str())];
                let (status, page) = visitor.post(&url, &cookie, visitor.origin(), &fields).await;
                assert_eq!(status, 403, "{page}");
                assert!(page.contains("was not asked about this run"), "{page}");
            }
        }
    }
}

/// A link's bytes, to be tampered with.
pub(crate) fn bytes(url: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(url.rsplit('/').next().unwrap()).unwrap()
}
