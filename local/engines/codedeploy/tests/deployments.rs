//! Deployments over virtual time, against a Lambda of one alias that remembers its changes.
#![expect(clippy::unwrap_used, reason = "a test's helper may fail the test")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use signalbox_local_codedeploy::CodeDeployEngine;
use signalbox_local_core::testing::{Recorded, TestCloud};
use signalbox_local_core::{AwsError, Caller, Engine};

const CANARY: &str = "CodeDeployDefault.LambdaCanary10Percent5Minutes";
const LINEAR: &str = "CodeDeployDefault.LambdaLinear10PercentEvery1Minute";
const ALL_AT_ONCE: &str = "CodeDeployDefault.LambdaAllAtOnce";

/// What Lambda and CloudWatch say, and may be made to say by a test.
struct World {
    alias: Value,
    /// (seconds since the start, version, weights) of every change that CodeDeploy made.
    changes: Vec<(u64, String, Value)>,
    alarms: Vec<&'static str>,
    cloudwatch_is_down: bool,
    hooks_are_gone: bool,
}

struct Stage {
    cloud: Arc<TestCloud>,
    engine: Arc<CodeDeployEngine>,
    world: Arc<Mutex<World>>,
}

fn answer(world: &Mutex<World>, start: tokio::time::Instant, call: &Recorded) -> Result<Value, AwsError> {
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
    async fn new(group: Value) -> Self {
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

    async fn group(&self, name: &str, mut group: Value) {
        group["applicationName"] = json!("app");
        group["deploymentGroupName"] = json!(name);
        group["serviceRoleArn"] = json!("arn:aws:iam::123456789012:role/deploy");
        self.ok("CreateDeploymentGroup", group).await;
    }

    async fn call(&self, operation: &str, input: Value) -> Result<Value, AwsError> {
        self.engine.call(&Caller::Admin, operation, input).await
    }

    async fn ok(&self, operation: &str, input: Value) -> Value {
        self.call(operation, input).await.unwrap()
    }

    async fn deploy(&self, more: Value) -> String {
        self.try_deploy(more).await.unwrap()
    }

    async fn try_deploy(&self, more: Value) -> Result<String, AwsError> {
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

    async fn info(&self, id: &str) -> Value {
        self.ok("GetDeployment", json!({"deploymentId": id})).await["deploymentInfo"].clone()
    }

    async fn status(&self, id: &str) -> String {
        self.info(id).await["status"].as_str().unwrap().to_owned()
    }

    async fn lifecycle(&self, id: &str) -> Vec<String> {
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

    fn changes(&self) -> Vec<(u64, String, Value)> {
        self.world.lock().unwrap().changes.clone()
    }

    /// The payload of the latest hook.
    fn hook(&self) -> Value {
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

    async fn answer_hook(&self, status: &str) -> Result<Value, AwsError> {
        let hook = self.hook();
        let input = json!({
            "deploymentId": hook["DeploymentId"],
            "lifecycleEventHookExecutionId": hook["LifecycleEventHookExecutionId"],
            "status": status,
        });
        self.call("PutLifecycleEventHookExecutionStatus", input).await
    }

    fn states(&self, id: &str) -> Vec<String> {
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

fn revision(current: &str, target: &str, hooks: bool) -> Value {
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

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Lets every task that is ready run.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn rolling_back(config: &str, events: &[&str]) -> Value {
    json!({"deploymentConfigName": config, "autoRollbackConfiguration": {"enabled": true, "events": events}})
}

#[tokio::test(start_paused = true)]
async fn a_canary_waits_and_then_takes_everything() {
    let stage = Stage::new(json!({"deploymentConfigName": CANARY})).await;
    let id = stage.deploy(json!({})).await;
    pass(299).await;
    assert_eq!(stage.status(&id).await, "InProgress");
    let target = stage
        .ok(
            "BatchGetDeploymentTargets",
            json!({"deploymentId": id, "targetIds": ["f:live"]}),
        )
        .await;
    assert_eq!(
        target["deploymentTargets"][0]["lambdaTarget"]["lambdaFunctionInfo"]["targetVersionWeight"],
        10.0
    );
    pass(2).await;
    assert_eq!(stage.status(&id).await, "Succeeded");
    assert_eq!(
        stage.changes(),
        [
            (0, "1".to_owned(), json!({"2": 0.1})),
            (300, "2".to_owned(), json!({}))
        ]
    );
    assert_eq!(stage.lifecycle(&id).await, ["Skipped", "Succeeded", "Skipped"]);

    let info = stage.info(&id).await;
    assert_eq!(info["creator"], "user");
    assert_eq!(info["deploymentOverview"]["Succeeded"], 1);
    assert!(info["completeTime"].as_f64().unwrap() >= info["startTime"].as_f64().unwrap() + 300.0);
    assert_eq!(stage.states(&id), ["START", "SUCCESS"]);
    let event = &stage.cloud.events()[0];
    assert_eq!(
        event.detail_type,
        "CodeDeploy Deployment State-change Notification"
    );
    assert_eq!(
        event.resources,
        [
            "arn:aws:codedeploy:us-east-1:123456789012:application:app",
            "arn:aws:codedeploy:us-east-1:123456789012:deploymentgroup:app/live"
        ]
    );
    let group = stage
        .ok(
            "GetDeploymentGroup",
            json!({"applicationName": "app", "deploymentGroupName": "live"}),
        )
        .await;
    assert_eq!(
        group["deploymentGroupInfo"]["lastSuccessfulDeployment"]["deploymentId"],
        id.as_str()
    );
}

#[tokio::test(start_paused = true)]
async fn linear_and_at_once_and_custom_shift_as_they_say() {
    let stage = Stage::new(json!({"deploymentConfigName": LINEAR})).await;
    let id = stage.deploy(json!({})).await;
    pass(10 * 60).await;
    assert_eq!(stage.status(&id).await, "Succeeded");
    let changes = stage.changes();
    let expected: Vec<_> = (1..10)
        .map(|step| {
            (
                (step - 1) * 60,
                "1".to_owned(),
                json!({"2": f64::from(u32::try_from(step).unwrap() * 10) / 100.0}),
            )
        })
        .collect();
    assert_eq!(changes[..9], expected);
    assert_eq!(changes[9], (540, "2".to_owned(), json!({})));

    let id = stage
        .deploy(json!({"revision": revision("2", "3", false), "deploymentConfigName": ALL_AT_ONCE}))
        .await;
    settle().await;
    assert_eq!(stage.status(&id).await, "Succeeded");
    assert_eq!(stage.changes()[10..], [(600, "3".to_owned(), json!({}))]);
    assert_eq!(
        stage.info(&id).await["previousRevision"]["revisionType"],
        "AppSpecContent"
    );

    let config = json!({"deploymentConfigName": "Custom.Lambda40PercentEvery2Minutes", "computePlatform": "Lambda",
        "trafficRoutingConfig": {"type": "TimeBasedLinear", "timeBasedLinear": {"linearPercentage": 40, "linearInterval": 2}}});
    stage.ok("CreateDeploymentConfig", config).await;
    stage.deploy(json!({"revision": revision("3", "4", false), "deploymentConfigName": "Custom.Lambda40PercentEvery2Minutes"})).await;
    pass(5 * 60).await;
    let weights: Vec<Value> = stage.changes()[11..]
        .iter()
        .map(|(_, _, weights)| weights.clone())
        .collect();
    assert_eq!(weights, [json!({"4": 0.4}), json!({"4": 0.8}), json!({})]);
}

#[tokio::test(start_paused = true)]
async fn hooks_hold_the_deployment_until_they_answer() {
    let stage = Stage::new(json!({"deploymentConfigName": ALL_AT_ONCE})).await;
    let id = stage.deploy(json!({"revision": revision("1", "2", true)})).await;
    pass(1_800).await;
    assert_eq!(stage.changes(), []);
    assert_eq!(stage.lifecycle(&id).await, ["InProgress", "Pending", "Pending"]);
    stage.answer_hook("Succeeded").await.unwrap();
    assert_eq!(
        stage.answer_hook("Succeeded").await.unwrap_err().code,
        "LifecycleEventAlreadyCompletedException"
    );
    settle().await;
    assert_eq!(stage.changes().len(), 1);
    assert_eq!(
        stage.lifecycle(&id).await,
        ["Succeeded", "Succeeded", "InProgress"]
    );
    assert_eq!(
        stage.answer_hook("Pending").await.unwrap_err().code,
        "InvalidLifecycleEventHookExecutionStatusException"
    );
    stage.answer_hook("Succeeded").await.unwrap();
    settle().await;
    assert_eq!(stage.status(&id).await, "Succeeded");
    let unknown = json!({"deploymentId": id, "lifecycleEventHookExecutionId": "x", "status": "Succeeded"});
    assert_eq!(
        stage
            .call("PutLifecycleEventHookExecutionStatus", unknown)
            .await
            .unwrap_err()
            .code,
        "InvalidLifecycleEventHookExecutionIdException"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failing_hook_fails_the_deployment_before_any_traffic() {
    let stage = Stage::new(json!({"deploymentConfigName": CANARY})).await;
    let id = stage.deploy(json!({"revision": revision("1", "2", true)})).await;
    settle().await;
    stage.answer_hook("Failed").await.unwrap();
    settle().await;
    let info = stage.info(&id).await;
    assert_eq!(
        (&info["status"], &info["errorInformation"]["code"]),
        (&json!("Failed"), &json!("HOOK_EXECUTION_FAILURE"))
    );
    assert_eq!(stage.changes(), []);
    assert_eq!(stage.lifecycle(&id).await, ["Failed", "Skipped", "Skipped"]);
    assert_eq!(stage.states(&id), ["START", "FAILURE"]);
    assert_eq!(info.get("rollbackInfo"), None);
}

#[tokio::test(start_paused = true)]
async fn a_failing_last_hook_takes_the_alias_back_by_a_deployment_of_its_own() {
    let stage = Stage::new(rolling_back(ALL_AT_ONCE, &["DEPLOYMENT_FAILURE"])).await;
    let id = stage.deploy(json!({"revision": revision("1", "2", true)})).await;
    settle().await;
    stage.answer_hook("Succeeded").await.unwrap();
    settle().await;
    stage.answer_hook("Failed").await.unwrap();
    settle().await;
    let versions: Vec<String> = stage
        .changes()
        .into_iter()
        .map(|(_, version, _)| version)
        .collect();
    assert_eq!(versions, ["2", "1"]);

    let rollback = stage.info(&id).await["rollbackInfo"]["rollbackDeploymentId"]
        .as_str()
        .unwrap()
        .to_owned();
    let info = stage.info(&rollback).await;
    assert_eq!(
        (&info["creator"], &info["status"]),
        (&json!("codeDeployRollback"), &json!("Succeeded"))
    );
    assert_eq!(
        info["rollbackInfo"]["rollbackTriggeringDeploymentId"],
        id.as_str()
    );
    assert_eq!(stage.states(&id), ["START", "FAILURE"]);
    assert_eq!(stage.states(&rollback), ["START", "SUCCESS"]);
    let listed = stage
        .ok(
            "ListDeployments",
            json!({"applicationName": "app", "deploymentGroupName": "live"}),
        )
        .await;
    assert_eq!(listed["deployments"], json!([rollback, id]));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_carries_the_revision_that_was_good() {
    let stage = Stage::new(rolling_back(CANARY, &["DEPLOYMENT_STOP_ON_REQUEST"])).await;
    let good = stage.deploy(json!({"deploymentConfigName": ALL_AT_ONCE})).await;
    settle().await;
    let id = stage.deploy(json!({"revision": revision("2", "3", false)})).await;
    settle().await;
    stage.ok("StopDeployment", json!({"deploymentId": id})).await;
    settle().await;
    let rollback = stage.info(&id).await["rollbackInfo"]["rollbackDeploymentId"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        stage.info(&rollback).await["revision"],
        stage.info(&good).await["revision"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_hook_fails_after_an_hour() {
    let stage = Stage::new(json!({"deploymentConfigName": CANARY})).await;
    let id = stage.deploy(json!({"revision": revision("1", "2", true)})).await;
    pass(3_599).await;
    assert_eq!(stage.status(&id).await, "InProgress");
    pass(2).await;
    let info = stage.info(&id).await;
    assert_eq!(
        (&info["status"], &info["errorInformation"]["code"]),
        (&json!("Failed"), &json!("TIMEOUT"))
    );
    assert_eq!(
        stage.answer_hook("Succeeded").await.unwrap_err().code,
        "LifecycleEventAlreadyCompletedException"
    );
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_cannot_be_called_fails_at_once() {
    let stage = Stage::new(json!({})).await;
    stage.world.lock().unwrap().hooks_are_gone = true;
    let id = stage.deploy(json!({"revision": revision("1", "2", true)})).await;
    settle().await;
    assert_eq!(
        stage.info(&id).await["errorInformation"]["code"],
        "HOOK_EXECUTION_FAILURE"
    );

    let content = revision("1", "2", true)
        .to_string()
        .replace("CodeDeployHook_before", "some-function");
    let id = stage
        .deploy(json!({"revision": serde_json::from_str::<Value>(&content).unwrap()}))
        .await;
    settle().await;
    assert_eq!(
        stage.info(&id).await["errorInformation"]["code"],
        "IAM_ROLE_PERMISSIONS"
    );
}

#[tokio::test(start_paused = true)]
async fn stopping_leaves_the_traffic_or_takes_it_back() {
    let stage = Stage::new(json!({"deploymentConfigName": CANARY})).await;
    let id = stage.deploy(json!({})).await;
    pass(60).await;
    let stopped = stage
        .ok(
            "StopDeployment",
            json!({"deploymentId": id, "autoRollbackEnabled": false}),
        )
        .await;
    assert_eq!(stopped["status"], "Pending");
    settle().await;
    let info = stage.info(&id).await;
    assert_eq!(
        (&info["status"], &info["errorInformation"]["code"]),
        (&json!("Stopped"), &json!("MANUAL_STOP"))
    );
    assert_eq!(stage.changes(), [(0, "1".to_owned(), json!({"2": 0.1}))]);
    assert_eq!(stage.states(&id), ["START", "STOP"]);
    let again = stage
        .call("StopDeployment", json!({"deploymentId": id}))
        .await
        .unwrap_err();
    assert_eq!(again.code, "DeploymentAlreadyCompletedException");
    pass(600).await;
    assert_eq!(stage.changes().len(), 1);

    let id = stage.deploy(json!({})).await;
    pass(60).await;
    stage
        .ok(
            "StopDeployment",
            json!({"deploymentId": id, "autoRollbackEnabled": true}),
        )
        .await;
    settle().await;
    assert_eq!(stage.changes().last().unwrap(), &(720, "1".to_owned(), json!({})));
    assert!(stage.info(&id).await["rollbackInfo"]["rollbackDeploymentId"].is_string());
}

#[tokio::test(start_paused = true)]
async fn an_alarm_stops_the_deployment_and_takes_it_back() {
    let mut group = rolling_back(CANARY, &["DEPLOYMENT_STOP_ON_ALARM"]);
    group["alarmConfiguration"] =
        json!({"enabled": true, "alarms": [{"name": "errors"}, {"name": "duration"}]});
    let stage = Stage::new(group).await;
    let id = stage.deploy(json!({})).await;
    pass(100).await;
    stage.world.lock().unwrap().alarms.push("errors");
    pass(11).await;
    let info = stage.info(&id).await;
    assert_eq!(
        (&info["status"], &info["errorInformation"]["code"]),
        (&json!("Stopped"), &json!("ALARM_ACTIVE"))
    );
    assert!(
        info["errorInformation"]["message"]
            .as_str()
            .unwrap()
            .ends_with("Activated alarms: <errors>")
    );
    assert_eq!(stage.changes().last().unwrap().1, "1");
    assert_eq!(stage.states(&id), ["START", "STOP"]);

    let red = stage.deploy(json!({})).await;
    settle().await;
    assert_eq!(stage.status(&red).await, "Stopped");

    let hotfix = stage
        .deploy(json!({"overrideAlarmConfiguration": {"enabled": false}}))
        .await;
    pass(301).await;
    assert_eq!(stage.status(&hotfix).await, "Succeeded");
}

#[tokio::test(start_paused = true)]
async fn alarms_that_cannot_be_read_fail_the_deployment_unless_told_otherwise() {
    let stage =
        Stage::new(json!({"alarmConfiguration": {"enabled": true, "alarms": [{"name": "errors"}]}})).await;
    stage.world.lock().unwrap().cloudwatch_is_down = true;
    let id = stage.deploy(json!({})).await;
    settle().await;
    assert_eq!(stage.status(&id).await, "Failed");
    let lenient = json!({"enabled": true, "ignorePollAlarmFailure": true, "alarms": [{"name": "errors"}]});
    let id = stage.deploy(json!({"overrideAlarmConfiguration": lenient})).await;
    settle().await;
    assert_eq!(stage.status(&id).await, "Succeeded");
}

#[tokio::test(start_paused = true)]
async fn an_alias_moved_by_somebody_else_fails_the_deployment_and_stays_where_it_is() {
    let stage = Stage::new(rolling_back(CANARY, &["DEPLOYMENT_FAILURE"])).await;
    let wrong = stage.deploy(json!({"revision": revision("7", "8", false)})).await;
    settle().await;
    assert_eq!(
        stage.info(&wrong).await["errorInformation"]["code"],
        "INVALID_LAMBDA_CONFIGURATION"
    );

    let id = stage.deploy(json!({})).await;
    pass(30).await;
    stage.world.lock().unwrap().alias = json!({"FunctionVersion": "9"});
    pass(11).await;
    let info = stage.info(&id).await;
    assert_eq!(
        (&info["status"], &info["errorInformation"]["code"]),
        (&json!("Failed"), &json!("INVALID_LAMBDA_CONFIGURATION"))
    );
    assert_eq!(stage.changes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn groups_deploy_one_at_a_time_each_and_beside_each_other() {
    let stage = Stage::new(json!({"deploymentConfigName": CANARY})).await;
    stage
        .group("other", json!({"deploymentConfigName": ALL_AT_ONCE}))
        .await;
    let id = stage.deploy(json!({})).await;
    let second = stage.try_deploy(json!({})).await.unwrap_err();
    assert_eq!(second.code, "DeploymentLimitExceededException");
    assert!(second.message.contains(&id));
    let other = revision("1", "2", false).to_string().replace("live", "blue");
    let beside = stage.deploy(json!({"deploymentGroupName": "other", "revision": serde_json::from_str::<Value>(&other).unwrap()})).await;
    settle().await;
    let in_group = |group: &str| json!({"applicationName": "app", "deploymentGroupName": group});
    assert_eq!(
        stage.ok("ListDeployments", in_group("other")).await["deployments"],
        json!([beside])
    );
    let mut running = in_group("live");
    running["includeOnlyStatuses"] = json!(["InProgress"]);
    assert_eq!(
        stage.ok("ListDeployments", running).await["deployments"],
        json!([id])
    );
}

#[tokio::test(start_paused = true)]
async fn who_made_it_is_written_down() {
    let stage = Stage::new(json!({})).await;
    let input = |description: &str, current: &str, target: &str| json!({"applicationName": "app", "deploymentGroupName": "live", "revision": revision(current, target, false), "description": description});
    let cloudformation = Caller::service("cloudformation.amazonaws.com");
    for (description, creator, current, target) in [
        ("CloudFormation update", "CloudFormation", "1", "2"),
        (
            "CloudFormation rollback of d-X",
            "CloudFormationRollback",
            "2",
            "1",
        ),
    ] {
        let answer = stage
            .engine
            .call(
                &cloudformation,
                "CreateDeployment",
                input(description, current, target),
            )
            .await
            .unwrap();
        settle().await;
        assert_eq!(
            stage.info(answer["deploymentId"].as_str().unwrap()).await["creator"],
            creator
        );
    }
}

#[tokio::test(start_paused = true)]
async fn revisions_are_known_by_their_digest() {
    let stage = Stage::new(json!({})).await;
    let id = stage.deploy(json!({})).await;
    settle().await;
    let digest = stage.info(&id).await["revision"]["appSpecContent"]["sha256"].clone();
    let short = json!({"revisionType": "AppSpecContent", "appSpecContent": {"sha256": digest}});
    let known = stage
        .ok(
            "GetApplicationRevision",
            json!({"applicationName": "app", "revision": short}),
        )
        .await;
    assert_eq!(known["revisionInfo"]["deploymentGroups"], json!(["live"]));
    assert!(known["revision"]["appSpecContent"]["content"].is_string());
    assert_eq!(
        stage
            .ok("ListApplicationRevisions", json!({"applicationName": "app"}))
            .await["revisions"],
        json!([short])
    );

    stage.world.lock().unwrap().alias = json!({"FunctionVersion": "1"});
    let again = stage.deploy(json!({"revision": short})).await;
    settle().await;
    assert_eq!(stage.status(&again).await, "Succeeded");

    use signalbox_local_core::Cloud as _;
    let content = revision("2", "3", false)["appSpecContent"]["content"]
        .as_str()
        .unwrap()
        .to_owned();
    stage
        .cloud
        .put_object("b", "appspec.json", content.into_bytes())
        .await
        .unwrap();
    let stored = json!({"revisionType": "S3", "s3Location": {"bucket": "b", "key": "appspec.json", "bundleType": "JSON"}});
    let from_bucket = stage.deploy(json!({"revision": stored})).await;
    settle().await;
    assert_eq!(stage.status(&from_bucket).await, "Succeeded");
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_refused_by_name() {
    let stage = Stage::new(json!({})).await;
    let code = async |operation: &str, input: Value| stage.call(operation, input).await.unwrap_err().code;
    let deployment = |more: Value| {
        let mut input = json!({"applicationName": "app", "deploymentGroupName": "live", "revision": revision("1", "2", false)});
        input
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        input
    };
    for (more, expected) in [
        (
            json!({"applicationName": "x"}),
            "ApplicationDoesNotExistException",
        ),
        (
            json!({"deploymentGroupName": "x"}),
            "DeploymentGroupDoesNotExistException",
        ),
        (
            json!({"deploymentConfigName": "CodeDeployDefault.Lambda10PercentEvery5Minutes"}),
            "DeploymentConfigDoesNotExistException",
        ),
        (
            json!({"revision": {"revisionType": "AppSpecContent", "appSpecContent": {"content": "{"}}}),
            "InvalidRevisionException",
        ),
        (
            json!({"revision": {"revisionType": "GitHub"}}),
            "InvalidRevisionException",
        ),
        (
            json!({"revision": {"revisionType": "AppSpecContent", "appSpecContent": {"content": "x", "sha256": "00"}}}),
            "InvalidRevisionException",
        ),
        (
            json!({"revision": {"revisionType": "AppSpecContent", "appSpecContent": {"sha256": "00"}}}),
            "RevisionDoesNotExistException",
        ),
        (
            json!({"revision": {"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k"}}}),
            "RevisionDoesNotExistException",
        ),
        (
            json!({"autoRollbackConfiguration": {"enabled": true}}),
            "InvalidAutoRollbackConfigException",
        ),
        (
            json!({"overrideAlarmConfiguration": {"enabled": true}}),
            "InvalidAlarmConfigException",
        ),
    ] {
        assert_eq!(
            code("CreateDeployment", deployment(more.clone())).await,
            expected,
            "{more}"
        );
    }
    assert_eq!(
        code("CreateApplication", json!({"applicationName": "s"})).await,
        "InvalidComputePlatformException"
    );
    assert_eq!(
        code(
            "CreateApplication",
            json!({"applicationName": "app", "computePlatform": "Lambda"})
        )
        .await,
        "ApplicationAlreadyExistsException"
    );
    assert_eq!(
        code("GetDeployment", json!({"deploymentId": "d-X"})).await,
        "DeploymentDoesNotExistException"
    );
    assert_eq!(
        code("GetDeploymentConfig", json!({"deploymentConfigName": "x"})).await,
        "DeploymentConfigDoesNotExistException"
    );
    let taken = json!({"deploymentConfigName": "CodeDeployDefault.Mine", "computePlatform": "Lambda"});
    assert_eq!(
        code("CreateDeploymentConfig", taken).await,
        "InvalidDeploymentConfigNameException"
    );
    assert_eq!(
        code("ListDeployments", json!({"applicationName": "app"})).await,
        "DeploymentGroupNameRequiredException"
    );
    let id = stage.deploy(json!({})).await;
    assert_eq!(
        code("ListDeploymentTargets", json!({"deploymentId": id})).await,
        "DeploymentNotStartedException"
    );
    settle().await;
    assert_eq!(
        stage
            .ok("ListDeploymentTargets", json!({"deploymentId": id}))
            .await["targetIds"],
        json!(["f:live"])
    );
    assert_eq!(
        code(
            "GetDeploymentTarget",
            json!({"deploymentId": id, "targetId": "x"})
        )
        .await,
        "DeploymentTargetDoesNotExistException"
    );
    assert_eq!(
        code("ContinueDeployment", json!({"deploymentId": id})).await,
        "DeploymentAlreadyCompletedException"
    );
}

#[tokio::test(start_paused = true)]
async fn groups_are_changed_renamed_tagged_and_deleted() {
    let stage = Stage::new(json!({"tags": [{"Key": "a", "Value": "1"}]})).await;
    let update = json!({"applicationName": "app", "currentDeploymentGroupName": "live", "newDeploymentGroupName": "prod", "deploymentConfigName": CANARY});
    stage.ok("UpdateDeploymentGroup", update).await;
    assert_eq!(
        stage
            .ok("ListDeploymentGroups", json!({"applicationName": "app"}))
            .await["deploymentGroups"],
        json!(["prod"])
    );
    let batch = json!({"applicationName": "app", "deploymentGroupNames": ["prod", "live"]});
    let described = stage.ok("BatchGetDeploymentGroups", batch).await;
    assert_eq!(
        described["deploymentGroupsInfo"][0]["deploymentConfigName"],
        CANARY
    );
    assert!(described["errorMessage"].as_str().unwrap().contains("live"));
    let arn = json!("arn:aws:codedeploy:us-east-1:123456789012:deploymentgroup:app/prod");
    assert_eq!(
        stage.ok("ListTagsForResource", json!({"ResourceArn": arn})).await["Tags"],
        json!([{"Key": "a", "Value": "1"}])
    );
    stage
        .ok(
            "DeleteDeploymentGroup",
            json!({"applicationName": "app", "deploymentGroupName": "prod"}),
        )
        .await;
    stage
        .ok("DeleteApplication", json!({"applicationName": "app"}))
        .await;
    assert_eq!(
        stage.ok("ListApplications", json!({})).await["applications"],
        json!([])
    );
    assert_eq!(
        stage.ok("ListDeploymentConfigs", json!({})).await["deploymentConfigsList"]
            .as_array()
            .unwrap()
            .len(),
        9
    );
}
