//! What CodeDeploy and CodePipeline ask of a function, caught by a stand-in: a trial then asks it itself.

use serde_json::{Value, json};
use signalbox_local_core::Cloud;

use crate::runs::{action_of, status_and_summary};
use crate::validation_site::{Order, Site};
use crate::world::{World, until};

/// Begins a deployment with that hook alone; answers it, and what the hook is asked.
pub(crate) async fn asked_by_codedeploy(
    world: &World,
    site: &Site<'_>,
    hook: &'static str,
    mut order: Order,
) -> ((String, String), Value) {
    let function = stand_in(world).await;
    order.hooks = vec![(hook, function.clone())];
    let begun = site.begin(&order).await;
    let mut asked = asked(world, &function, 1).await;
    (begun, asked.remove(0))
}

/// A job of a pipeline that waits for a stand-in's word.
pub(crate) struct AskedJob {
    function: String,
    run: (String, String),
    seen: usize,
}

impl AskedJob {
    pub(crate) async fn begin(world: &World, site: &Site<'_>, parameters: &Value) -> Self {
        let function = stand_in(world).await;
        let run = site.run_job(world, &function, parameters).await;
        Self {
            function,
            run,
            seen: 0,
        }
    }

    /// What the function is asked next.
    pub(crate) async fn next(&mut self, world: &World) -> Value {
        self.seen += 1;
        asked(world, &self.function, self.seen)
            .await
            .remove(self.seen - 1)
    }

    pub(crate) async fn status(&self, world: &World) -> String {
        let action = action_of(world, &self.run.0, &self.run.1, "Validate").await;
        status_and_summary(&action.unwrap()).0
    }
}

/// A function that only writes down what it is asked.
async fn stand_in(world: &World) -> String {
    let name = format!("CodeDeployHook_trial-{}", uuid::Uuid::new_v4().simple());
    let code = "exports.handler = async (event) => { console.log('ASKED ' + JSON.stringify(event)); };";
    crate::host::deploy(world, code, json!({ "FunctionName": name })).await;
    name
}

/// What it was asked, as soon as there is so much of it.
async fn asked(world: &World, function: &str, count: usize) -> Vec<Value> {
    until("what the function is asked", async || {
        let log = json!({ "logGroupName": format!("/aws/lambda/{function}") });
        let log = world
            .running
            .call("logs", "FilterLogEvents", log)
            .await
            .unwrap_or_default();
        let asked: Vec<Value> = log["events"]
            .as_array()?
            .iter()
            .filter_map(|event| event["message"].as_str()?.split_once("ASKED "))
            .filter_map(|(_, asked)| serde_json::from_str(asked.trim()).ok())
            .collect();
        (asked.len() >= count).then_some(asked)
    })
    .await
}

impl Site<'_> {
    /// A pipeline of a source and a job of that function, and its run.
    pub(crate) async fn run_job(
        &self,
        world: &World,
        function: &str,
        parameters: &Value,
    ) -> (String, String) {
        let kind = |category: &str, provider: &str| json!({ "category": category, "owner": "AWS", "provider": provider, "version": "1" });
        let name = format!("validation-{}", uuid::Uuid::new_v4().simple());
        let key = format!("{name}.zip");
        let package = crate::world::package();
        let bucket = &world.installed.artifact_bucket;
        world
            .running
            .cloud
            .put_object(bucket, &key, package)
            .await
            .unwrap();
        let role = crate::permissions::make_role(
            world,
            &json!([{ "Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*" }]),
        )
        .await;
        let pipeline = json!({
            "name": name, "pipelineType": "V2", "executionMode": "QUEUED", "roleArn": role,
            "artifactStore": { "type": "S3", "location": bucket },
            "stages": [
                { "name": "Source", "actions": [{
                    "name": "Source", "actionTypeId": kind("Source", "S3"), "runOrder": 1,
                    "configuration": { "S3Bucket": bucket, "S3ObjectKey": key, "PollForSourceChanges": "false" },
                    "outputArtifacts": [{ "name": "SourceOutput" }],
                }]},
                { "name": "Test", "actions": [{
                    "name": "Validate", "actionTypeId": kind("Invoke", "Lambda"), "runOrder": 1,
                    "configuration": { "FunctionName": function, "UserParameters": parameters.to_string() },
                }]},
            ],
        });
        self.call("codepipeline", "CreatePipeline", json!({ "pipeline": pipeline }))
            .await;
        let started = self
            .call("codepipeline", "StartPipelineExecution", json!({ "name": name }))
            .await;
        let run = started["pipelineExecutionId"].as_str().unwrap().to_owned();
        (name, run)
    }
}
