//! Whom a validation asks, and what it answers, with an AWS that has one version behind an alias.

use signalbox_decision::rollback::ROLLBACK_MARK;
use signalbox_decision::validation::job::{Parameters, State};
use signalbox_decision::validation::policy::Policy;

use super::*;

/// AWS as far as a validation goes.
#[derive(Debug, Clone, Default)]
pub(super) struct Site {
    /// What the deployment says of itself, besides its revision.
    pub(super) deployment: Value,
    /// Whether the version breaks at every request.
    pub(super) is_broken: bool,
    /// Whether a version by its number takes longer than anybody waits.
    pub(super) hangs: bool,
    /// Whether no report is taken now.
    pub(super) refuses_reports: bool,
    /// Each request's qualifier and payload.
    pub(super) asked: Arc<Mutex<Vec<(String, Value)>>>,
    pub(super) calls: Calls,
}

const SPEC: &str = r#"{"version":0.0,"Resources":[{"app":{"Type":"AWS::Lambda::Function","Properties":{"Name":"app","Alias":"live","CurrentVersion":"6","TargetVersion":"7"}}}]}"#;

impl Site {
    /// `None` is a refusal.
    fn answer(&self, operation: &str) -> Option<Value> {
        match operation {
            "GetDeployment" => {
                let mut info = self.deployment.clone();
                info["applicationName"] = json!("app");
                info["deploymentGroupName"] = json!("app-live");
                info["deploymentConfigName"] = json!("CodeDeployDefault.LambdaAllAtOnce");
                info["revision"] =
                    json!({ "revisionType": "AppSpecContent", "appSpecContent": { "content": SPEC } });
                Some(json!({ "deploymentInfo": info }))
            }
            "FilterLogEvents" => Some(json!({ "events": [
                { "logStreamName": "2026/01/31/[7]0123", "timestamp": 1, "message": "START RequestId: x Version: 7" },
            ]})),
            "PutLifecycleEventHookExecutionStatus" | "PutJobSuccessResult" | "PutJobFailureResult" => {
                (!self.refuses_reports).then(|| json!({}))
            }
            _ => None,
        }
    }
}

impl HttpConnector for Site {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = request.body().bytes().map(<[u8]>::to_vec).unwrap_or_default();
        let input: Value = serde_json::from_slice(&body).unwrap_or_default();
        let respond = |status: u16, body: &Value| {
            let mut answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body.to_string()));
            answer.headers_mut().insert("x-amz-executed-version", "7");
            if self.is_broken {
                answer.headers_mut().insert("x-amz-function-error", "Unhandled");
            }
            answer
        };
        if let Some((_, qualifier)) = request.uri().split_once("/invocations?Qualifier=") {
            self.asked
                .lock()
                .unwrap()
                .push((qualifier.to_owned(), input.clone()));
            if self.hangs && qualifier != "live" {
                return HttpConnectorFuture::new(std::future::pending());
            }
            let is_sound = input == Policy::default().invocation[0].payload;
            return HttpConnectorFuture::ready(Ok(respond(200, &json!({ "ok": is_sound }))));
        }
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let answer = self.answer(&operation);
        self.calls.lock().unwrap().push((operation, input));
        HttpConnectorFuture::ready(Ok(match answer {
            Some(answer) => respond(200, &answer),
            None => respond(
                400,
                &json!({ "__type": "AccessDeniedException", "message": "refused" }),
            ),
        }))
    }
}

impl Site {
    async fn validate(&self, hook: Hook, event: Value) -> Outcome {
        let app = app_over(self.clone(), hook);
        handle(event, &app, invocation()).await.unwrap()
    }

    /// What CodeDeploy is told of the deployment.
    async fn status(&self, hook: Hook) -> (Value, Outcome) {
        let event = json!({ "DeploymentId": "d-1", "LifecycleEventHookExecutionId": "x-1" });
        let outcome = self.validate(hook, event).await;
        (reports(&self.calls).remove(0).1["status"].clone(), outcome)
    }

    pub(super) fn through_alias(&self) -> Vec<Value> {
        let asked = self.asked.lock().unwrap();
        let through = asked.iter().filter(|(qualifier, _)| qualifier == "live");
        through.map(|(_, payload)| payload.clone()).collect()
    }
}

fn rollbacks() -> [Value; 4] {
    [
        json!({ "creator": "codeDeployRollback" }),
        json!({ "creator": "CloudFormationRollback" }),
        json!({ "creator": "user", "rollbackInfo": { "rollbackTriggeringDeploymentId": "d-0" } }),
        json!({ "creator": "user", "description": format!("{ROLLBACK_MARK}d-0: alarm app-errors") }),
    ]
}

/// Nothing but the version itself can be asked, not even the policy.
#[tokio::test(start_paused = true)]
async fn a_rollback_is_held_up_by_nothing_but_its_basic_invocation() {
    for hook in [Hook::BeforeAllowTraffic, Hook::AfterAllowTraffic] {
        for deployment in rollbacks() {
            let mut site = Site {
                deployment,
                ..Site::default()
            };
            let (status, outcome) = site.status(hook).await;
            assert_eq!(status, "Succeeded", "{hook} {outcome:?}");
            assert!(outcome.summary.contains("this is a rollback"), "{outcome:?}");
            site.is_broken = true;
            site.calls = Calls::default();
            let (status, outcome) = site.status(hook).await;
            assert_eq!(status, "Failed", "{hook} {outcome:?}");
        }
    }
    let site = Site {
        deployment: json!({ "creator": "user", "description": "not a Signalbox rollback of anything" }),
        ..Site::default()
    };
    let (status, outcome) = site.status(Hook::BeforeAllowTraffic).await;
    assert_eq!(status, "Failed", "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_whose_checks_do_not_end_in_time_goes_on_once_it_was_invoked() {
    let site = Site {
        deployment: json!({ "creator": "codeDeployRollback" }),
        hangs: true,
        ..Site::default()
    };
    let (status, outcome) = site.status(Hook::AfterAllowTraffic).await;
    assert_eq!(status, "Succeeded", "{outcome:?}");
    assert!(outcome.summary.contains("did not end within"), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn only_the_plain_request_goes_through_the_alias_whose_alarms_would_count_the_others() {
    let sound = Policy::default().invocation[0].payload.clone();
    let job = |checks: &[&str]| {
        let parameters = json!({ "checks": checks }).to_string();
        json!({ "CodePipeline.job": { "id": "11111111-abcd-1111-abcd-111111abcdef", "data": {
            "actionConfiguration": { "configuration": { "UserParameters": parameters } },
        }}})
    };
    let hook = json!({ "DeploymentId": "d-1", "LifecycleEventHookExecutionId": "x-1" });
    let all = ["invocation", "error-handling", "performance", "load", "logs"];
    for (of, event) in [
        (Hook::AfterAllowTraffic, hook),
        (Hook::Job, job(&all)),
        (Hook::Job, job(&["error-handling", "load"])),
    ] {
        let site = Site {
            // So that it needs no policy.
            deployment: json!({ "creator": "codeDeployRollback" }),
            ..Site::default()
        };
        let app = app_over(WithoutPolicy(site.clone()), of);
        handle(event.clone(), &app, invocation()).await.unwrap();
        assert_eq!(site.through_alias(), std::slice::from_ref(&sound), "{event}");
        let asked = site.asked.lock().unwrap();
        let of_version = asked.iter().filter(|(qualifier, _)| qualifier == "7").count();
        let expected = Policy::default().error_handling.len() + Policy::default().load.requests as usize;
        assert!(of_version >= expected, "{event}: {of_version}");
    }
}

/// There is no policy document, so that the defaults hold.
#[derive(Debug, Clone)]
pub(super) struct WithoutPolicy(pub(super) Site);

impl HttpConnector for WithoutPolicy {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        if target.ends_with("GetParameter") {
            let body = SdkBody::from(json!({ "__type": "ParameterNotFound" }).to_string());
            return HttpConnectorFuture::ready(Ok(HttpResponse::new(400.try_into().unwrap(), body)));
        }
        self.0.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn a_watching_job_looks_with_one_plain_request_and_no_burst() {
    let site = Site::default();
    let app = app_over(WithoutPolicy(site.clone()), Hook::Job);
    let now = Timestamp::now();
    let state = State {
        began: now,
        watching_since: now,
        parameters: Parameters {
            watch_seconds: 60,
            ..Parameters::default()
        },
        version: Some("7".parse().unwrap()),
        findings: Vec::new(),
        excused: Vec::new(),
    };
    let state = serde_json::to_value(&state).unwrap();
    app.ledger
        .put_value("validation-job", "part-1", &state, now, None)
        .await
        .unwrap();
    let event = json!({ "CodePipeline.job": {
        "id": "11111111-abcd-1111-abcd-111111abcdef", "data": { "continuationToken": "part-1" },
    }});
    handle(event, &app, invocation()).await.unwrap();
    assert_eq!(site.through_alias().len(), 1);
    // The other one shows that the log has arrived.
    assert_eq!(site.asked.lock().unwrap().len(), 2);
}
