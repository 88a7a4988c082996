//! A bad version that went all the way: the alias goes back, and its stack follows it by a rollback of the
//! pipeline's stages. In the environment `production`, which no other trial of that cloud uses.

use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream;
use serde_json::{Value, json};
use signalbox_decision::timeline::Subject;
use signalbox_ledger::Ledger;
use signalbox_local::install::{self, Installed, Plan};
use signalbox_local::sample::{self, Behaviour};
use signalbox_local_core::Cloud;

use crate::change_sets;
use crate::rollback_cloud::{RollbackCloud, cloud, ledger_of};
use crate::world::{TEAM, World, until, zip_of};

pub(crate) struct Production {
    cloud: Arc<RollbackCloud>,
    pub(crate) installed: Installed,
}

impl Production {
    pub(crate) async fn install(cloud: Arc<RollbackCloud>) -> Self {
        let plan = Plan {
            environment: "production".to_owned(),
            approvers: Vec::new(),
            watcher: TEAM.to_owned(),
        };
        let installed = install::install_control_plane(&cloud.running, &plan)
            .await
            .unwrap();
        install::make_deployment_application(&cloud.running, &installed)
            .await
            .unwrap();
        install::deploy_first_version(&cloud.running, &installed)
            .await
            .unwrap();
        let production = Self { cloud, installed };
        production.make_pipeline().await;
        production
    }

    /// As production's, without what takes long: a package has its stack's template and parameters in it.
    async fn make_pipeline(&self) {
        let action = |category: &str, provider: &str| json!({ "category": category, "owner": "AWS", "provider": provider, "version": "1" });
        let installed = &self.installed;
        let change_set = change_sets::shipped_name(&self.cloud.running.paths.project);
        let stack = |mode: &str| {
            let mut configuration = json!({
                "ActionMode": mode, "StackName": installed.function, "ChangeSetName": change_set,
            });
            if mode == "CHANGE_SET_REPLACE" {
                configuration["TemplatePath"] = json!("SourceOutput::lambda-deployment-template.yaml");
                configuration["TemplateConfiguration"] = json!("SourceOutput::parameters.json");
                configuration["Capabilities"] = json!("CAPABILITY_IAM");
            }
            configuration
        };
        let pipeline = json!({
            "name": installed.pipeline, "pipelineType": "V2", "executionMode": "SUPERSEDED",
            "roleArn": "arn:aws:iam::123456789012:role/pipeline",
            "artifactStore": { "type": "S3", "location": installed.artifact_bucket },
            "stages": [
                { "name": "Source", "actions": [{
                    "name": "Source", "actionTypeId": action("Source", "S3"), "runOrder": 1,
                    "namespace": "SourceVariables",
                    "configuration": {
                        "S3Bucket": installed.source_bucket, "S3ObjectKey": install::source_key("production"),
                        "PollForSourceChanges": "false", "AllowOverrideForS3ObjectKey": "true",
                    },
                    "outputArtifacts": [{ "name": "SourceOutput" }],
                }]},
                { "name": "Deploy", "actions": [{
                    "name": "Deploy", "actionTypeId": action("Deploy", "CloudFormation"), "runOrder": 1,
                    "configuration": stack("CHANGE_SET_REPLACE"), "inputArtifacts": [{ "name": "SourceOutput" }],
                }]},
                { "name": "Release", "actions": [{
                    "name": "Release", "actionTypeId": action("Deploy", "CloudFormation"), "runOrder": 1,
                    "configuration": stack("CHANGE_SET_EXECUTE"),
                }]},
            ],
        });
        self.cloud
            .call("codepipeline", "CreatePipeline", json!({ "pipeline": pipeline }))
            .await;
    }

    /// Uploads a version and waits until its run has released it; answers the run.
    pub(crate) async fn release(&self, version: &str, behaviour: Behaviour) -> String {
        let (running, installed) = (&self.cloud.running, &self.installed);
        let code = sample::function_zip(&running.paths.project, version, behaviour).unwrap();
        let key = format!("functions/{}/{version}.zip", installed.function);
        running
            .cloud
            .put_object(&installed.artifact_bucket, &key, code)
            .await
            .unwrap();
        let parameters = json!({ "Parameters": {
            "Environment": "production", "FunctionName": installed.function,
            "PipelineName": installed.pipeline, "CodeDeployApplicationName": installed.function, "CodeS3Bucket": installed.artifact_bucket, "CodeS3Key": key,
            "Revision": version, "Runtime": "nodejs20.x",
            "DeploymentConfigName": "CodeDeployDefault.LambdaAllAtOnce",
            "BeforeAllowTrafficHook": "none", "AfterAllowTrafficHook": "none",
        }});
        let template = running
            .paths
            .project
            .join("templates/lambda-deployment-template.yaml");
        let package = zip_of(&[
            (
                "lambda-deployment-template.yaml",
                &std::fs::read(template).unwrap(),
            ),
            ("parameters.json", parameters.to_string().as_bytes()),
        ]);
        let uploaded = running
            .s3()
            .put_object()
            .bucket(&installed.source_bucket)
            .key(install::source_key("production"))
            .metadata(
                "codepipeline-artifact-revision-summary",
                "Author: dan@example.com",
            )
            .body(ByteStream::from(package))
            .send()
            .await
            .unwrap();
        let revision = uploaded.version_id().unwrap().to_owned();
        let run = until(&format!("a run of {version}"), async || {
            let runs = self.runs().await;
            let run = runs.iter().find(|run| run.to_string().contains(&revision))?;
            run["pipelineExecutionId"].as_str().map(str::to_owned)
        })
        .await;
        until(&format!("the release of {version}"), async || {
            let runs = self.runs().await;
            let status = runs
                .iter()
                .find(|one| one["pipelineExecutionId"] == json!(run))
                .map(|run| run["status"].as_str().unwrap().to_owned())?;
            assert_ne!(status, "Failed", "the run of {version} failed: {runs:#?}");
            (status == "Succeeded").then_some(())
        })
        .await;
        run
    }

    async fn runs(&self) -> Vec<Value> {
        let input = json!({ "pipelineName": self.installed.pipeline });
        let answer = self
            .cloud
            .call("codepipeline", "ListPipelineExecutions", input)
            .await;
        answer["pipelineExecutionSummaries"].as_array().unwrap().clone()
    }

    /// The alias's version, if it is the only one.
    pub(crate) async fn version(&self) -> String {
        let input = json!({ "FunctionName": self.installed.function, "Name": self.installed.alias });
        let alias = self.cloud.call("lambda", "GetAlias", input).await;
        alias["FunctionVersion"].as_str().unwrap().to_owned()
    }

    async fn code(&self, version: &str) -> String {
        let input = json!({ "FunctionName": self.installed.function, "Qualifier": version });
        let configuration = self.cloud.call("lambda", "GetFunctionConfiguration", input).await;
        configuration["CodeSha256"].as_str().unwrap().to_owned()
    }

    /// What the stack says the version is, while nothing changes it.
    pub(crate) async fn stack_version(&self) -> Option<String> {
        let input = json!({ "StackName": self.installed.function });
        let answer = self.cloud.call("cloudformation", "DescribeStacks", input).await;
        let stack = &answer["Stacks"][0];
        if stack["StackStatus"] != "UPDATE_COMPLETE" {
            return None;
        }
        let outputs = stack["Outputs"].as_array()?;
        let version = outputs.iter().find(|output| output["OutputKey"] == "Version")?;
        version["OutputValue"].as_str().map(str::to_owned)
    }

    fn ledger(&self) -> Ledger {
        ledger_of(&self.cloud.running, &self.installed.ledger_table)
    }

    /// One request of a user.
    async fn request(&self) {
        use base64::Engine;
        let payload = base64::engine::general_purpose::STANDARD
            .encode(json!({ "action": "create", "data": { "name": "x" } }).to_string());
        let function = format!("{}:{}", self.installed.function, self.installed.alias);
        let input = json!({ "FunctionName": function, "Payload": payload });
        self.cloud.call("lambda", "Invoke", input).await;
    }
}

pub(crate) async fn what_fails_after_its_release_is_taken_back_and_its_stack_follows(world: &World) {
    let production = Production::install(cloud(world).await).await;
    production.release("1.1.0", Behaviour::Good).await;
    let good = production.version().await;
    let good_code = production.code(&good).await;
    let run = production.release("1.2.0", Behaviour::FailsUnderTraffic).await;
    let bad = production.version().await;
    assert_ne!(good, bad);
    // Users meet it, its alarm goes off, and it is taken back: first the alias, to the version before.
    until("the alias to leave the bad version", async || {
        production.request().await;
        (production.version().await != bad).then_some(())
    })
    .await;
    // Then the stack, to a version of the same code: alias and stack say the same in the end.
    until("alias and stack to agree on good code", async || {
        let stack = production.stack_version().await?;
        let alias = production.version().await;
        (stack == alias && production.code(&alias).await == good_code).then_some(())
    })
    .await;
    let installed = &production.installed;
    let mail = production
        .cloud
        .mail(&[&format!("Rolled back: {} version {bad}", installed.function)])
        .await;
    for words in [
        run.as_str(),
        "Author: dan@example.com",
        "stage Deploy, then Release is rolled back to run",
        "Stage Release of pipeline",
    ] {
        assert!(mail.text.contains(words), "{words} is missing in {}", mail.text);
    }
    let runs = production.runs().await;
    let rollbacks: Vec<_> = runs
        .iter()
        .filter(|run| run["executionType"] == "ROLLBACK")
        .collect();
    assert_eq!(rollbacks.len(), 2, "one for each stage: {rollbacks:#?}");
    let subject = Subject::Run {
        pipeline: installed.pipeline.parse().unwrap(),
        execution: run.parse().unwrap(),
    };
    let timeline = production
        .ledger()
        .load_timeline(&subject)
        .await
        .unwrap()
        .timeline;
    assert_eq!(timeline.rollbacks.len(), 1, "{timeline:#?}");
}
