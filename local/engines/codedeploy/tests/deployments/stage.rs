//! The stage: an application with one group, a Lambda of one alias, and alarms that a test rings.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use signalbox_local_codedeploy::CodeDeployEngine;
use signalbox_local_core::testing::{Recorded, TestCloud};
use signalbox_local_core::{AwsError, Caller, Engine};

pub(crate) const CANARY: &str = "CodeDeployDefault.LambdaCanary10Percent5Minutes";
pub(crate) const LINEAR: &str = "CodeDeployDefault.LambdaLinear10PercentEvery1Minute";
pub(crate) const ALL_AT_ONCE: &str = "CodeDeployDefault.LambdaAllAtOnce";

/// What Lambda and CloudWatch say, and may be made to say by a test.
pub(crate) struct World {
    pub(crate) alias: Value,
    /// (seconds since the start, version, weights) of every change that CodeDeploy made.
    pub(crate) changes: Vec<(u64, String, Value)>,
    pub(crate) alarms: Vec<&'static str>,
    pub(crate) cloudwatch_is_down: bool,
    pub(crate) hooks_are_gone: bool,
}

pub(crate) struct Stage {
    pub(crate) cloud: Arc<TestCloud>,
    pub(crate) engine: Arc<CodeDeployEngine>,
    pub(crate) world: Arc<Mutex<World>>,
}

pub(crate) fn answer(
    world: &Mutex<World>,
    start: tokio::time::Instant,
    call: &Recorded,
) -> Result<Value, AwsError> {
    let mut world = world.lock().unwrap();
    match call.operation.as_str() {
        "GetAlias" => Ok(world.alias.clone()),
        "UpdateAlias" => {
            world.alias = json!({"FunctionVersion": call.input["FunctionVersion"], "RoutingConfig": call.input["RoutingConfig"]});
            let weights = call.input["RoutingConfig"]["AdditionalVersionWeights"].clone();
            let version = call.input["FunctionVersion"].as_str().unwrap().to_owned();
            world.changes.push((start.elapsed().as_secs(), version, weights));
            Ok(json!({}))
        }
        "Invoke" if world.hooks_are_gone => {
            Err(AwsError::new("ResourceNotFoundException", "Function not found"))
        }
        "DescribeAlarms" if world.cloudwatch_is_down => Err(AwsError::internal("down")),
        "DescribeAlarms" => {
            let alarms: Vec<Value> = call.input["AlarmNames"]
                .as_array()
                .unwrap()
                .iter()
                .map(|name| {
                    let state = if world.alarms.iter().any(|alarm| name == alarm) {
                        "ALARM"
                    } else {
                        "OK"
                    };
                    json!({"AlarmName": name, "StateValue": state})
                })
                .collect();
            Ok(json!({"MetricAlarms": alarms, "CompositeAlarms": []}))
        }
        _ => Ok(json!({})),
    }
}

impl Stage {
    pub(crate) async fn new(group: Value) -> Self {
        let world = Arc::new(Mutex::new(World {
            alias: json!({"FunctionVersion": "1"}),
            changes: Vec::new(),
            alarms: Vec::new(),
            cloudwatch_is_down: false,
            hooks_are_gone: false,
        }));
        let (shared, start) = (Arc::clone(&world), tokio::time::Instant::now());
        let cloud = TestCloud::answering(Path::new("/nonexistent"), move |call| {
            answer(&shared, start, call)
        });
        let engine = CodeDeployEngine::new(Arc::<TestCloud>::clone(&cloud));
        let stage = Self { cloud, engine, world };
        stage
            .ok(
                "CreateApplication",
                json!({"applicationName": "app", "computePlatform": "Lambda"}),
            )
            .await;
        stage.group("live", group).await;
        stage
    }

    pub(crate) async fn group(&self, name: &str, mut group: Value) {
        group["applicationName"] = json!("app");
        group["deploymentGroupName"] = json!(name);
        group["serviceRoleArn"] = json!("arn:aws:iam::123456789012:role/deploy");
        self.ok("CreateDeploymentGroup", group).await;
    }

    pub(crate) async fn call(&self, operation: &str, input: Value) -> Result<Value, AwsError> {
        self.engine.call(&Caller::Admin, operation, input).await
    }

    pub(crate) async fn ok(&self, operation: &str, input: Value) -> Value {
        self.call(operation, input).await.unwrap()
    }

    pub(crate) async fn deploy(&self, more: Value) -> String {
        self.try_deploy(more).await.unwrap()
    }

    pub(crate) async fn try_deploy(&self, more: Value) -> Result<String, AwsError> {
        let mut input = json!({"applicationName": "app", "deploymentGroupName": "live", "revision": revision("1", "2", false)});
        input
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        Ok(self.call("CreateDeployment", input).await?["deploymentId"]
            .as_str()
            .unwrap()
            .to_owned())
    }

    pub(crate) async fn info(&self, id: &str) -> Value {
        self.ok("GetDeployment", json!({"deploymentId": id})).await["deploymentInfo"].clone()
    }

    pub(crate) async fn status(&self, id: &str) -> String {
        self.info(id).await["status"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn lifecycle(&self, id: &str) -> Vec<String> {
        let target = self
            .ok(
                "GetDeploymentTarget",
                json!({"deploymentId": id, "targetId": "f:live"}),
            )
            .await;
        let events = target["deploymentTarget"]["lambdaTarget"]["lifecycleEvents"].clone();
        events
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["status"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(crate) fn changes(&self) -> Vec<(u64, String, Value)> {
        self.world.lock().unwrap().changes.clone()
    }

    /// The payload of the latest hook.
    pub(crate) fn hook(&self) -> Value {
        let call = self
            .cloud
            .calls()
            .into_iter()
            .rfind(|call| call.operation == "Invoke")
            .unwrap();
        let payload = base64::engine::general_purpose::STANDARD
            .decode(call.input["Payload"].as_str().unwrap())
            .unwrap();
        serde_json::from_slice(&payload).unwrap()
    }

    pub(crate) async fn answer_hook(&self, status: &str) -> Result<Value, AwsError> {
        let hook = self.hook();
        let input = json!({
            "deploymentId": hook["DeploymentId"],
            "lifecycleEventHookExecutionId": hook["LifecycleEventHookExecutionId"],
            "status": status,
        });
        self.call("PutLifecycleEventHookExecutionStatus", input).await
    }

    pub(crate) fn states(&self, id: &str) -> Vec<String> {
        let events = self
            .cloud
            .events()
            .into_iter()
            .filter(|event| event.detail["deploymentId"] == id);
        events
            .map(|event| event.detail["state"].as_str().unwrap().to_owned())
            .collect()
    }
}

pub(crate) fn revision(current: &str, target: &str, hooks: bool) -> Value {
    let mut spec = json!({
        "version": 0.0,
        "Resources": [{"fn": {"Type": "AWS::Lambda::Function",
            "Properties": {"Name": "f", "Alias": "live", "CurrentVersion": current, "TargetVersion": target}}}],
    });
    if hooks {
        spec["Hooks"] = json!([{"BeforeAllowTraffic": "CodeDeployHook_before"}, {"AfterAllowTraffic": "CodeDeployHook_after"}]);
    }
    json!({"revisionType": "AppSpecContent", "appSpecContent": {"content": spec.to_string()}})
}

pub(crate) async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Lets every task that is ready run.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

pub(crate) fn rolling_back(config: &str, events: &[&str]) -> Value {
    json!({"deploymentConfigName": config, "autoRollbackConfiguration": {"enabled": true, "events": events}})
}
