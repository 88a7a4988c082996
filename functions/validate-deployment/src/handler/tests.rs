use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use aws_types::region::Region;
use jiff::Timestamp;
use serde_json::json;
use signalbox_decision::names::FunctionName;
use signalbox_decision::validation::policy::Inconclusive;
use signalbox_decision::validation::{Check, Finding};
use signalbox_ledger::Ledger;

use super::*;
use crate::app::{Config, Hook};

mod alarms;
mod asked;
mod jobs;
mod recorded;

/// What was sent to AWS: the operation's name and the request.
type Calls = Arc<Mutex<Vec<(String, Value)>>>;

/// AWS as far as a report goes: it takes every report, or says that there was one.
#[derive(Debug, Clone)]
struct Aws {
    calls: Calls,
    refuses: Option<&'static str>,
}

impl HttpConnector for Aws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = request.body().bytes().map(<[u8]>::to_vec).unwrap_or_default();
        let input = serde_json::from_slice(&body).unwrap_or_default();
        self.calls.lock().unwrap().push((operation, input));
        let (status, answer) = match self.refuses {
            Some(code) => (400, json!({ "__type": code, "message": "refused" })),
            None => (200, json!({})),
        };
        let body = SdkBody::from(answer.to_string());
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status.try_into().unwrap(), body)))
    }
}

fn app(refuses: Option<&'static str>) -> (App, Calls) {
    let calls = Calls::default();
    let aws = Aws {
        calls: Arc::clone(&calls),
        refuses,
    };
    (app_over(aws, Hook::BeforeAllowTraffic), calls)
}

fn app_over(aws: impl HttpConnector + 'static, hook: Hook) -> App {
    let aws = SharedHttpConnector::new(aws);
    let sdk = SdkConfig::builder()
        .behavior_version(aws_sdk_codedeploy::config::BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "a", "b", None, None, "test",
        )))
        .http_client(http_client_fn(move |_, _| aws.clone()))
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .build();
    let config = Config {
        hook,
        function: FunctionName::new("app").unwrap(),
        alias: "live".to_owned(),
        policy_parameter: "/signalbox/test/validation".to_owned(),
    };
    App::new(config, Ledger::memory(), &sdk)
}

fn invocation() -> Invocation {
    let now = Timestamp::now();
    Invocation {
        now,
        deadline: now + SignedDuration::from_mins(5),
        request_id: "request-1".to_owned(),
    }
}

fn hook() -> Asked {
    Asked::parse(json!({ "DeploymentId": "d-1", "LifecycleEventHookExecutionId": "x-1" })).unwrap()
}

fn job() -> Asked {
    Asked::parse(json!({ "CodePipeline.job": { "id": "11111111-abcd-1111-abcd-111111abcdef" } })).unwrap()
}

fn reports(calls: &Calls) -> Vec<(String, Value)> {
    let calls = calls.lock().unwrap();
    calls
        .iter()
        .filter(|(name, _)| name.starts_with("Put") && name != "PutMetricData")
        .cloned()
        .collect()
}

fn verdict(verdict: Verdict) -> Result<Judged, Error> {
    let finding = Finding::new(Check::Invocation, verdict, "1 of 1");
    Ok(Judged::Verdict(Report::of(vec![finding], Inconclusive::Fail)))
}

#[tokio::test(start_paused = true)]
async fn h81_a_panic_in_a_check_is_reported_as_a_failure_with_what_was_found_before() {
    for (asked, call) in [
        (hook(), "PutLifecycleEventHookExecutionStatus"),
        (job(), "PutJobFailureResult"),
    ] {
        let (app, calls) = app(None);
        let notes = Notes::default();
        let work = async {
            notes.add(Finding::new(Check::Invocation, Verdict::Passed, "1 of 1 served"));
            let empty: Vec<u8> = Vec::new();
            // What a mistake in a check would do.
            let at = notes.findings().len() + 6;
            Err(Error::Foreign(format!("{}", empty[at])))
        };
        let judged = within(Duration::from_secs(60), work).await;
        let outcome = conclude(&app, &asked, judged, &notes, &invocation())
            .await
            .unwrap();
        assert_eq!(
            (outcome.verdict, outcome.reported),
            (Some(Verdict::Failed), Told::Accepted)
        );
        let text = outcome.summary;
        assert!(
            text.contains("a check panicked: index out of bounds") && text.contains("1 of 1 served"),
            "{text}"
        );
        let reports = reports(&calls);
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert_eq!(reports[0].0, call);
        if call.starts_with("PutLifecycle") {
            assert_eq!(reports[0].1["status"], "Failed");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn h84_checks_that_do_not_end_are_reported_as_a_failure_in_time() {
    let (app, calls) = app(None);
    let notes = Notes::default();
    let judged = within(Duration::from_secs(290), std::future::pending()).await;
    let outcome = conclude(&app, &hook(), judged, &notes, &invocation())
        .await
        .unwrap();
    assert_eq!(outcome.verdict, Some(Verdict::Failed));
    assert!(
        outcome.summary.contains("did not end within 290 s"),
        "{}",
        outcome.summary
    );
    assert_eq!(reports(&calls)[0].1["status"], "Failed");
}

#[tokio::test(start_paused = true)]
async fn h82_what_was_judged_already_is_not_judged_again() {
    let (app, calls) = app(None);
    let event = json!({ "DeploymentId": "d-1", "LifecycleEventHookExecutionId": "x-1" });
    let first = conclude(
        &app,
        &hook(),
        verdict(Verdict::Passed),
        &Notes::default(),
        &invocation(),
    )
    .await
    .unwrap();
    assert_eq!(first.reported, Told::Accepted);
    let told = calls.lock().unwrap().len();
    let second = handle(event, &app, invocation()).await.unwrap();
    assert_eq!((second.verdict, second.reported), (None, Told::TooLate));
    assert_eq!(second.summary, "the verdict was passed");
    assert_eq!(
        calls.lock().unwrap().len(),
        told,
        "nothing was asked or told again"
    );
}

#[tokio::test(start_paused = true)]
async fn h83_a_late_failure_changes_neither_the_verdict_nor_the_record() {
    for (asked, code) in [
        (hook(), "LifecycleEventAlreadyCompletedException"),
        (job(), "InvalidJobStateException"),
        (job(), "JobNotFoundException"),
    ] {
        let (app, calls) = app(Some(code));
        let late = conclude(
            &app,
            &asked,
            verdict(Verdict::Failed),
            &Notes::default(),
            &invocation(),
        )
        .await
        .unwrap();
        assert_eq!(late.reported, Told::TooLate, "{code}");
        assert_eq!(
            record::verdict_of(&app, &asked, &invocation()).await,
            None,
            "no record of what does not stand"
        );
        let published = calls
            .lock()
            .unwrap()
            .iter()
            .any(|(name, _)| name == "PutMetricData");
        assert!(!published, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn h85_an_inconclusive_verdict_is_reported_as_no_pass() {
    let (app, calls) = app(None);
    conclude(
        &app,
        &hook(),
        verdict(Verdict::Inconclusive),
        &Notes::default(),
        &invocation(),
    )
    .await
    .unwrap();
    assert_eq!(reports(&calls)[0].1["status"], "Failed");
    let nothing = Ok(Judged::Verdict(Report::of(Vec::new(), Inconclusive::Fail)));
    let outcome = conclude(&app, &job(), nothing, &Notes::default(), &invocation())
        .await
        .unwrap();
    assert_eq!(outcome.verdict, Some(Verdict::Inconclusive));
    assert_eq!(reports(&calls)[1].0, "PutJobFailureResult");
}

#[tokio::test(start_paused = true)]
async fn a_report_that_aws_does_not_take_is_an_error_that_is_tried_again() {
    let (app, _) = app(Some("ThrottlingException"));
    let error = conclude(
        &app,
        &hook(),
        verdict(Verdict::Passed),
        &Notes::default(),
        &invocation(),
    )
    .await
    .unwrap_err();
    assert!(
        matches!(&error, Error::Aws { failure, .. } if failure.retryable),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_goes_on_asks_to_be_called_again_and_records_no_verdict() {
    let (app, calls) = app(None);
    let judged = Ok(Judged::CallAgain {
        token: "part-1".to_owned(),
    });
    let outcome = conclude(&app, &job(), judged, &Notes::default(), &invocation())
        .await
        .unwrap();
    assert_eq!(outcome.verdict, None);
    assert_eq!(
        reports(&calls),
        [(
            "PutJobSuccessResult".to_owned(),
            json!({
                "jobId": "11111111-abcd-1111-abcd-111111abcdef", "continuationToken": "part-1",
            })
        )]
    );
    assert_eq!(record::verdict_of(&app, &job(), &invocation()).await, None);
}
