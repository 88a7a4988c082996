//! An environment in which deployments are validated: the real functions of a control plane of its own, an
//! application with an alias, a deployment group and an alarm. One deployment at a time.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use signalbox_ledger::Ledger;
use signalbox_local::install;
use signalbox_local::sample::{self, Behaviour};
use signalbox_local_core::{Caller, Cloud};
use tokio::sync::{Mutex, MutexGuard, OnceCell};
use tokio::task::JoinHandle;

use crate::world::{World, until};

pub(crate) const FUNCTION: &str = "lambda-function-validation";
pub(crate) const GROUP: &str = "lambda-function-validation-live";
pub(crate) const BEFORE: &str = "CodeDeployHook_signalbox-validation-before-traffic";
pub(crate) const AFTER: &str = "CodeDeployHook_signalbox-validation-after-traffic";
pub(crate) const JOB: &str = "signalbox-validation-validate-job";
const ALARM: &str = "lambda-function-validation-errors";
const POLICY: &str = "/signalbox/validation/validation";
/// Half of the traffic for three minutes, which are six seconds here.
const HALF: &str = "Validation.Half3Minutes";
pub(crate) const ALL_AT_ONCE: &str = "CodeDeployDefault.LambdaAllAtOnce";

static INSTALLED: OnceCell<()> = OnceCell::const_new();
static TURN: Mutex<()> = Mutex::const_new(());

/// The environment, for one trial at a time.
pub(crate) struct Site<'a> {
    world: &'a World,
    _turn: Option<MutexGuard<'static, ()>>,
}

/// What a trial deploys.
pub(crate) struct Order {
    pub(crate) behaviour: Behaviour,
    pub(crate) config: &'static str,
    pub(crate) hooks: Vec<(&'static str, String)>,
    pub(crate) overrides_alarms: bool,
    /// What the alarm does with missing data: `breaching` makes it red.
    pub(crate) missing_data: &'static str,
}

impl Order {
    pub(crate) fn canary(behaviour: Behaviour) -> Self {
        Self {
            behaviour,
            config: HALF,
            hooks: vec![
                ("BeforeAllowTraffic", BEFORE.to_owned()),
                ("AfterAllowTraffic", AFTER.to_owned()),
            ],
            overrides_alarms: false,
            missing_data: "notBreaching",
        }
    }

    /// Only what comes before traffic.
    pub(crate) fn before(behaviour: Behaviour) -> Self {
        Self {
            config: ALL_AT_ONCE,
            hooks: vec![("BeforeAllowTraffic", BEFORE.to_owned())],
            ..Self::canary(behaviour)
        }
    }
}

/// How a deployment ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) id: String,
    pub(crate) status: String,
    /// The new version.
    pub(crate) version: String,
}

/// Few requests, generous bounds: the machine may be busy.
pub(crate) fn policy() -> Value {
    json!({
        "version": 1, "warm_up_requests": 3,
        "performance": {
            "requests": 6, "p50_ms": 10_000, "p95_ms": 20_000, "p99_ms": 30_000, "max_regression_ms": 5000,
        },
        "load": { "concurrency": 4, "requests": 8 },
        "canary": { "wait_seconds": 60, "min_samples": 10, "min_slowdown_ms": 400 },
    })
}

pub(crate) async fn site(world: &World) -> Site<'_> {
    let turn = TURN.lock().await;
    INSTALLED.get_or_init(|| install(world)).await;
    let site = Site {
        world,
        _turn: Some(turn),
    };
    site.set_policy(&policy().to_string()).await;
    site
}

/// In a world that no other trial uses.
pub(crate) async fn site_alone(world: &World) -> Site<'_> {
    install(world).await;
    Site { world, _turn: None }
}

async fn install(world: &World) {
    let template = std::fs::read_to_string(world.running.paths.project.join("template.yaml")).unwrap();
    // The template knows two environments, and both belong to others here.
    let template = template.replacen(
        "AllowedValues: [staging, production]",
        "AllowedValues: [validation]",
        1,
    );
    let template = template.replacen("Default: staging", "Default: validation", 1);
    let parameters = [
        ("Environment", "validation"),
        ("SourceBucketName", "nobody-uploads-here"),
        ("ValidationPolicy", &policy().to_string()),
    ];
    install::create_stack(&world.running, "signalbox-validation", &template, &parameters)
        .await
        .unwrap();
    // Who rolls back is not the question here.
    let rule = json!({ "Name": "signalbox-validation-alarm-raised" });
    let _ = world.running.call("events", "DisableRule", rule).await;
    let call = async |service: &str, operation: &str, input: Value| {
        world.running.call(service, operation, input).await.unwrap()
    };
    let input = json!({
        "FunctionName": FUNCTION, "Runtime": "nodejs20.x", "Handler": "index.handler", "Timeout": 20,
        "Role": "arn:aws:iam::123456789012:role/validation", "Code": { "ZipFile": code(world, "1.0.0", Behaviour::Good) },
        "Publish": true,
    });
    call("lambda", "CreateFunction", input).await;
    let alias = json!({ "FunctionName": FUNCTION, "Name": "live", "FunctionVersion": "1" });
    call("lambda", "CreateAlias", alias).await;
    alarm(world, "1", "notBreaching").await;
    let application = json!({ "applicationName": FUNCTION, "computePlatform": "Lambda" });
    call("codedeploy", "CreateApplication", application).await;
    let config = json!({
        "deploymentConfigName": HALF, "computePlatform": "Lambda",
        "trafficRoutingConfig": {
            "type": "TimeBasedCanary", "timeBasedCanary": { "canaryPercentage": 50, "canaryInterval": 3 },
        },
    });
    call("codedeploy", "CreateDeploymentConfig", config).await;
    let group = json!({
        "applicationName": FUNCTION, "deploymentGroupName": GROUP, "deploymentConfigName": HALF,
        "serviceRoleArn": "arn:aws:iam::123456789012:role/deployments",
        "deploymentStyle": { "deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL" },
        "alarmConfiguration": { "enabled": false, "alarms": [{ "name": ALARM }] },
        "autoRollbackConfiguration": { "enabled": true, "events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_REQUEST"] },
    });
    call("codedeploy", "CreateDeploymentGroup", group).await;
}

fn code(world: &World, version: &str, behaviour: Behaviour) -> String {
    STANDARD.encode(sample::function_zip(&world.running.paths.project, version, behaviour).unwrap())
}

/// Turns the alarm to a version, as the application's stack does with every release.
async fn alarm(world: &World, version: &str, missing_data: &str) {
    let input = json!({
        "AlarmName": ALARM, "Namespace": "AWS/Lambda", "MetricName": "Errors", "Statistic": "Sum", "Period": 60,
        "EvaluationPeriods": 1, "Threshold": 0.5, "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": missing_data,
        "Dimensions": [
            { "Name": "FunctionName", "Value": FUNCTION },
            { "Name": "Resource", "Value": format!("{FUNCTION}:live") },
            { "Name": "ExecutedVersion", "Value": version },
        ],
    });
    world
        .running
        .call("cloudwatch", "PutMetricAlarm", input)
        .await
        .unwrap();
}

impl Site<'_> {
    pub(crate) async fn call(&self, service: &str, operation: &str, input: Value) -> Value {
        self.world.running.call(service, operation, input).await.unwrap()
    }

    pub(crate) async fn set_policy(&self, policy: &str) {
        let input = json!({ "Name": POLICY, "Type": "String", "Overwrite": true, "Value": policy });
        self.call("ssm", "PutParameter", input).await;
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.world.ledger_of("signalbox-validation-ledger")
    }

    /// The version that users get.
    pub(crate) async fn live(&self) -> String {
        let alias = json!({ "FunctionName": FUNCTION, "Name": "live" });
        let alias = self.call("lambda", "GetAlias", alias).await;
        alias["FunctionVersion"].as_str().unwrap().to_owned()
    }

    /// Publishes a version.
    pub(crate) async fn publish(&self, behaviour: Behaviour) -> String {
        // Different code makes a version of its own.
        let release = format!("1.0.{}", uuid::Uuid::new_v4().as_u128() % 1_000_000_000);
        let code = json!({ "FunctionName": FUNCTION, "ZipFile": code(self.world, &release, behaviour) });
        self.call("lambda", "UpdateFunctionCode", code).await;
        let published = self
            .call("lambda", "PublishVersion", json!({ "FunctionName": FUNCTION }))
            .await;
        published["Version"].as_str().unwrap().to_owned()
    }

    /// Publishes a version and begins its deployment; answers the deployment and the version.
    pub(crate) async fn begin(&self, order: &Order) -> (String, String) {
        let version = self.publish(order.behaviour).await;
        alarm(self.world, &version, order.missing_data).await;
        if order.missing_data == "breaching" {
            self.until_red().await;
        }
        let hooks: Vec<Value> = order
            .hooks
            .iter()
            .map(|(event, name)| json!({ *event: name }))
            .collect();
        let spec = json!({
            "version": 0.0,
            "Resources": [{ "app": { "Type": "AWS::Lambda::Function", "Properties": {
                "Name": FUNCTION, "Alias": "live", "CurrentVersion": self.live().await, "TargetVersion": version,
            }}}],
            "Hooks": hooks,
        });
        let mut input = json!({
            "applicationName": FUNCTION, "deploymentGroupName": GROUP, "deploymentConfigName": order.config,
            "description": "the trial's", "revision": {
                "revisionType": "AppSpecContent", "appSpecContent": { "content": spec.to_string() },
            },
        });
        if order.overrides_alarms {
            input["overrideAlarmConfiguration"] = json!({ "enabled": false });
        }
        let made = self.call("codedeploy", "CreateDeployment", input).await;
        (made["deploymentId"].as_str().unwrap().to_owned(), version)
    }

    /// Turns the alarm to a version.
    pub(crate) async fn watch_version(&self, version: &str) {
        alarm(self.world, version, "notBreaching").await;
    }

    async fn until_red(&self) {
        until("the alarm is red", async || {
            let described = json!({ "AlarmNames": [ALARM] });
            let described = self.call("cloudwatch", "DescribeAlarms", described).await;
            (described["MetricAlarms"][0]["StateValue"] == "ALARM").then_some(())
        })
        .await;
    }

    pub(crate) async fn end(&self, (id, version): (String, String)) -> Ended {
        let ended = async {
            loop {
                let answer = self
                    .call("codedeploy", "GetDeployment", json!({ "deploymentId": id }))
                    .await;
                let info = &answer["deploymentInfo"];
                let status = info["status"].as_str().unwrap();
                // What it began to take back has to be back before the next trial.
                let taken_back = match info["rollbackInfo"]["rollbackDeploymentId"].as_str() {
                    None => true,
                    Some(id) => {
                        let by = self
                            .call("codedeploy", "GetDeployment", json!({ "deploymentId": id }))
                            .await;
                        by["deploymentInfo"]["status"] == "Succeeded"
                    }
                };
                if ["Succeeded", "Failed", "Stopped"].contains(&status) && taken_back {
                    return status.to_owned();
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let status = tokio::time::timeout(Duration::from_secs(240), ended).await;
        let status = status.unwrap_or_else(|_| panic!("deployment {id} does not end"));
        Ended { id, status, version }
    }

    pub(crate) async fn deploy(&self, order: &Order) -> Ended {
        self.end(self.begin(order).await).await
    }

    /// The report that a hook has kept.
    pub(crate) async fn report(&self, deployment: &str, hook: &str) -> Value {
        let ledger = self.ledger();
        let name = format!("{deployment}/{hook}");
        until("the report", async || {
            let now = jiff::Timestamp::now();
            ledger.get_value("validation", &name, now).await.unwrap()
        })
        .await
    }

    /// Users, until it is dropped.
    pub(crate) fn traffic(&self) -> Traffic {
        let cloud = self.world.running.cloud.clone();
        let payload = STANDARD.encode(br#"{"action":"list"}"#);
        let input = json!({ "FunctionName": FUNCTION, "Qualifier": "live", "Payload": payload });
        Traffic(tokio::spawn(async move {
            // Slow answers hold nobody up but their own user.
            let mut under_way = tokio::task::JoinSet::new();
            loop {
                while under_way.len() >= 20 {
                    under_way.join_next().await;
                }
                let (cloud, input) = (cloud.clone(), input.clone());
                under_way.spawn(async move {
                    let _ = cloud.call(&Caller::Admin, "lambda", "Invoke", input).await;
                });
                tokio::time::sleep(Duration::from_millis(35)).await;
            }
        }))
    }
}

pub(crate) struct Traffic(JoinHandle<()>);

impl Drop for Traffic {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A report's finding on a check: its verdict and evidence.
pub(crate) fn finding<'a>(report: &'a Value, check: &str) -> (&'a str, &'a str) {
    let findings = report["report"]["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["check"] == check);
    let found = found.unwrap_or_else(|| panic!("nothing was found on {check}: {report:#}"));
    (
        found["verdict"].as_str().unwrap(),
        found["evidence"].as_str().unwrap(),
    )
}

/// The checks that did not pass.
pub(crate) fn not_passed(report: &Value) -> Vec<&str> {
    let findings = report["report"]["findings"].as_array().unwrap();
    let bad = findings.iter().filter(|finding| finding["verdict"] != "passed");
    bad.filter_map(|finding| finding["check"].as_str()).collect()
}
