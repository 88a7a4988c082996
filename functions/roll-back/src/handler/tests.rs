//! Whole alarms against a cloud of one deployment group, with a crash at every call.

use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use signalbox_bootstrap::Failure;
use signalbox_ledger::Ledger;

use super::*;
use crate::app::Config;

/// When the bad deployment began, in epoch seconds; the alarm fires 100 s later.
const BEGAN: i64 = 1_800_000_000;
const FIRED: i64 = BEGAN + 100;

#[derive(Debug)]
struct Cloud {
    calls: usize,
    /// At which call the function crashes, and whether the call still has its effect.
    crash: Option<(usize, bool)>,
    /// An operation that is refused, for want of a permission.
    refused: Option<&'static str>,
    in_alarm: bool,
    deployments: Vec<Value>,
    stopped: u32,
    created: u32,
    frozen: u32,
    notices: Vec<String>,
}

fn deployment(id: &str, status: &str, created: i64, from: u32, to: u32) -> Value {
    let spec = json!({ "version": 0.0, "Resources": [{ "f": { "Properties": {
        "Name": "app", "Alias": "live", "CurrentVersion": from.to_string(), "TargetVersion": to.to_string(),
    }}}]});
    let mut deployment = json!({
        "deploymentId": id, "status": status, "createTime": created, "creator": "CloudFormation",
        "revision": { "revisionType": "AppSpecContent", "appSpecContent": { "content": spec.to_string() } },
    });
    if status != "InProgress" {
        deployment["completeTime"] = json!(created + 60);
    }
    deployment
}

impl Cloud {
    fn new(status: &str) -> Self {
        Self {
            calls: 0,
            crash: None,
            refused: None,
            in_alarm: true,
            // Not newest first: AWS promises no order.
            deployments: vec![
                deployment("d-OLD", "Succeeded", BEGAN - 1000, 2, 3),
                deployment("d-BAD", status, BEGAN, 3, 4),
                deployment("d-OLDER", "Succeeded", BEGAN - 2000, 1, 2),
            ],
            stopped: 0,
            created: 0,
            frozen: 0,
            notices: Vec::new(),
        }
    }

    fn of(&mut self, id: &Value) -> &mut Value {
        self.deployments
            .iter_mut()
            .find(|one| one["deploymentId"] == *id)
            .unwrap()
    }

    fn answer(&mut self, operation: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let ok = |value: Value| (200, value.to_string().into_bytes());
        let error = |code: &str| {
            (
                400,
                json!({ "__type": code, "message": "no" })
                    .to_string()
                    .into_bytes(),
            )
        };
        let input: Value = serde_json::from_slice(body).unwrap_or_default();
        if self.refused.is_some_and(|refused| operation.ends_with(refused)) {
            return error("AccessDeniedException");
        }
        match operation.rsplit(['.', '/']).next().unwrap() {
            "DescribeAlarms" => (200, alarms(if self.in_alarm { "ALARM" } else { "OK" })),
            "GetDeploymentGroup" => ok(json!({ "deploymentGroupInfo": {
                "alarmConfiguration": { "enabled": false, "alarms": [{ "name": "errors" }] },
            }})),
            "ListDeployments" => {
                let ids: Vec<&Value> = self.deployments.iter().map(|one| &one["deploymentId"]).collect();
                ok(json!({ "deployments": ids }))
            }
            "BatchGetDeployments" => ok(json!({ "deploymentsInfo": self.deployments })),
            "GetDeployment" => ok(json!({ "deploymentInfo": self.of(&input["deploymentId"]) })),
            "StopDeployment" => {
                let bad = self.of(&input["deploymentId"]);
                if bad["status"] != "InProgress" {
                    return error("DeploymentAlreadyCompletedException");
                }
                bad["status"] = json!("Stopped");
                bad["completeTime"] = json!(FIRED + 5);
                let mut back = deployment("d-BACK", "Succeeded", FIRED + 5, 4, 3);
                back["creator"] = json!("codeDeployRollback");
                self.deployments.push(back);
                self.stopped += 1;
                ok(json!({ "status": "Pending" }))
            }
            "CreateDeployment" => {
                let mut back = deployment("d-BACK", "InProgress", FIRED + 5, 4, 3);
                back["creator"] = json!("user");
                back["description"] = input["description"].clone();
                self.deployments.push(back);
                self.created += 1;
                ok(json!({ "deploymentId": "d-BACK" }))
            }
            "DisableStageTransition" => {
                self.frozen += 1;
                ok(json!({}))
            }
            _ => {
                self.notices.push(
                    String::from_utf8_lossy(body)
                        .replace("%20", " ")
                        .replace('+', " "),
                );
                let answer = "<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>";
                (200, answer.as_bytes().to_vec())
            }
        }
    }
}

/// `DescribeAlarms`' answer; CloudWatch speaks CBOR.
fn alarms(state: &str) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).unwrap();
        let mut bytes = if length < 24 {
            vec![0x60 + length]
        } else {
            vec![0x78, length]
        };
        bytes.extend(text.as_bytes());
        bytes
    };
    let mut out = vec![0xA1];
    out.extend(text("MetricAlarms"));
    out.extend([0x81, 0xA3]);
    out.extend([text("StateValue"), text(state)].concat());
    out.extend([text("ActionsEnabled"), vec![0xF5]].concat());
    out.extend(text("StateTransitionedTimestamp"));
    // Tag 1 (epoch), a 64-bit float.
    out.extend([0xC1, 0xFB]);
    let fired: f64 = "1800000100".parse().unwrap();
    out.extend(fired.to_be_bytes());
    out
}

#[derive(Debug, Clone)]
struct Connector(Arc<Mutex<Cloud>>);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut cloud = self.0.lock().unwrap();
        cloud.calls += 1;
        let operation = request
            .headers()
            .get("x-amz-target")
            .unwrap_or(request.uri())
            .to_owned();
        let is_crash = cloud.crash.is_some_and(|(at, _)| at == cloud.calls);
        if is_crash && cloud.crash.is_some_and(|(_, has_effect)| !has_effect) {
            return HttpConnectorFuture::new(std::future::pending());
        }
        let (status, body) = cloud.answer(&operation, request.body().bytes().unwrap_or_default());
        if is_crash {
            return HttpConnectorFuture::new(std::future::pending());
        }
        let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        if operation.contains("DescribeAlarms") {
            response.headers_mut().insert("smithy-protocol", "rpc-v2-cbor");
            response.headers_mut().insert("content-type", "application/cbor");
        }
        HttpConnectorFuture::ready(Ok(response))
    }
}

struct Case {
    cloud: Arc<Mutex<Cloud>>,
    app: App,
}

fn case(cloud: Cloud) -> Case {
    let cloud = Arc::new(Mutex::new(cloud));
    let connector = SharedHttpConnector::new(Connector(cloud.clone()));
    let credentials = Credentials::new("a", "b", None, None, "test");
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .sleep_impl(TokioSleep::new())
        .retry_config(RetryConfig::disabled())
        .build();
    let config = Config {
        pipeline: "pipeline".parse().unwrap(),
        release_stage: "Release".parse().unwrap(),
        application: "app".parse().unwrap(),
        group: "app-live".parse().unwrap(),
        notice_topic: "arn:aws:sns:us-east-1:123456789012:notices".to_owned(),
        bake: SignedDuration::from_mins(30),
    };
    let app = App {
        config,
        ledger: Ledger::memory(),
        alarms: aws_sdk_cloudwatch::Client::new(&sdk),
        deployments: aws_sdk_codedeploy::Client::new(&sdk),
        pipelines: aws_sdk_codepipeline::Client::new(&sdk),
        topics: aws_sdk_sns::Client::new(&sdk),
    };
    Case { cloud, app }
}

impl Case {
    /// Delivers the alarm so many seconds after it fired; `None` where the function crashed over it.
    async fn deliver(&self, after: i64) -> Option<Result<Outcome, Failure>> {
        let now = Timestamp::from_second(FIRED + after).unwrap();
        let at = Timestamp::from_second(FIRED).unwrap().to_string();
        let event =
            json!({ "detail": { "alarmName": "errors", "state": { "value": "ALARM", "timestamp": at } } });
        let invocation = Invocation {
            now,
            deadline: now + SignedDuration::from_secs(60),
            request_id: "r".to_owned(),
        };
        let limit = std::time::Duration::from_secs(60);
        let handled = tokio::time::timeout(limit, handle(event, &self.app, invocation)).await;
        handled.ok().map(|result| result.map_err(Failure::from))
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_deployment_is_stopped_frozen_and_told_once() {
    let case = case(Cloud::new("InProgress"));
    let stopped = Outcome::Stopped {
        deployment: "d-BAD".to_owned(),
    };
    assert_eq!(case.deliver(1).await, Some(Ok(stopped.clone())));
    // Delivered again, by then without a red alarm: the same answer, and nothing more happens.
    case.cloud.lock().unwrap().in_alarm = false;
    assert_eq!(case.deliver(90).await, Some(Ok(stopped)));
    let cloud = case.cloud.lock().unwrap();
    assert_eq!((cloud.stopped, cloud.frozen, cloud.notices.len()), (1, 1, 1));
}

/// Crashes at every call, before and after its effect; then the event's retry comes a minute later.
#[tokio::test(start_paused = true)]
async fn a_crash_anywhere_loses_nothing_that_follows_from_a_rollback() {
    for (status, stays_red) in [
        ("InProgress", true),
        ("InProgress", false),
        ("Succeeded", true),
        ("Succeeded", false),
    ] {
        for at in 1.. {
            let mut crashed = false;
            for has_effect in [false, true] {
                let case = case(Cloud {
                    crash: Some((at, has_effect)),
                    ..Cloud::new(status)
                });
                crashed |= case.deliver(1).await.is_none();
                {
                    let mut cloud = case.cloud.lock().unwrap();
                    cloud.in_alarm = stays_red;
                    cloud.crash = None;
                }
                let retried = case.deliver(62).await;
                let cloud = case.cloud.lock().unwrap();
                let what = format!(
                    "{status}, red {stays_red}, call {at}, effect {has_effect}: {retried:?} {cloud:#?}"
                );
                assert!(matches!(retried, Some(Ok(_))), "{what}");
                let undone = cloud.stopped + cloud.created;
                assert!(undone <= 1 && (undone == 1 || !stays_red), "{what}");
                assert_eq!(cloud.frozen > 0, undone == 1, "{what}");
                assert_eq!(!cloud.notices.is_empty(), undone == 1, "{what}");
            }
            if !crashed {
                assert!(at > 8, "only {at} calls were made");
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn people_are_told_also_where_the_stage_cannot_be_frozen() {
    let case = case(Cloud {
        refused: Some("DisableStageTransition"),
        ..Cloud::new("InProgress")
    });
    for after in [1, 62] {
        let failure = case.deliver(after).await.unwrap().unwrap_err();
        assert!(
            failure.message().contains("DisableStageTransition"),
            "{failure:?}"
        );
    }
    {
        let mut cloud = case.cloud.lock().unwrap();
        assert_eq!((cloud.stopped, cloud.frozen, cloud.notices.len()), (1, 0, 1));
        assert!(
            cloud.notices[0].contains("could NOT be frozen"),
            "{:?}",
            cloud.notices
        );
        cloud.refused = None;
    }
    assert!(case.deliver(124).await.unwrap().is_ok());
    let cloud = case.cloud.lock().unwrap();
    assert_eq!((cloud.frozen, cloud.notices.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_person_is_called_once_where_aws_refuses_to_roll_back() {
    for (status, call) in [
        ("InProgress", "StopDeployment"),
        ("Succeeded", "CreateDeployment"),
    ] {
        let case = case(Cloud {
            refused: Some(call),
            ..Cloud::new(status)
        });
        for after in [1, 62] {
            let failure = case.deliver(after).await.unwrap().unwrap_err();
            assert!(!failure.is_retryable(), "{failure:?}");
        }
        let cloud = case.cloud.lock().unwrap();
        assert_eq!((cloud.frozen, cloud.notices.len()), (0, 1), "{call}");
        assert!(cloud.notices[0].contains("Needs a person"), "{:?}", cloud.notices);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_enables_the_stage_again_is_not_overruled_by_the_same_deployment() {
    let case = case(Cloud::new("InProgress"));
    assert!(case.deliver(1).await.unwrap().is_ok());
    case.cloud.lock().unwrap().frozen = 0;
    for after in [30, 60, 90] {
        assert!(case.deliver(after).await.unwrap().is_ok());
    }
    let cloud = case.cloud.lock().unwrap();
    assert_eq!((cloud.frozen, cloud.notices.len()), (0, 1));
}
