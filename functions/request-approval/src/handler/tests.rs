//! Whole events against a CodePipeline, a Secrets Manager and an SNS of one or two calls each.

use std::collections::HashMap;
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
use signalbox_decision::approval::keys::{Key, Keys};
use signalbox_decision::approval::link::Link;
use signalbox_decision::names::PipelineName;
use signalbox_ledger::Ledger;

use super::*;
use crate::app::Config;

const STARTED: &str = include_str!("../../../../events/request-approval/approval-started.json");
const RUN: &str = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
const TOKEN: &str = "11111111-2222-3333-4444-555555555555";
const KEY: &str = "0123456789abcdef0123456789abcdef";

#[derive(Debug, Default)]
struct Aws {
    /// Whether the approval's token is to be seen yet.
    ready: Mutex<bool>,
    /// How many more times SNS throttles Bob's message.
    throttled: Mutex<u32>,
    /// The approval policy.
    policy: Mutex<String>,
    /// The runs that wait in front of the stage.
    newer: Mutex<Vec<&'static str>>,
    /// Every `PutApprovalResult`.
    answers: Mutex<Vec<Value>>,
    /// Whether Ann was faster than any of them.
    ann_was_faster: Mutex<bool>,
    /// What was published, by approver (empty: by nobody's name), in order.
    published: Mutex<Vec<(String, String)>>,
}

impl Aws {
    fn answer(&self, operation: &str, body: &[u8]) -> (u16, String) {
        let json = |value: Value| (200, value.to_string());
        match operation {
            "secretsmanager.GetSecretValue" => {
                json(json!({ "SecretString": json!({ "id": "k1", "key": KEY }).to_string() }))
            }
            "CodePipeline_20150709.GetPipelineState" => {
                let mut action = json!({ "status": "InProgress", "lastStatusChange": 1_780_063_501 });
                if *self.ready.lock().unwrap() {
                    action["token"] = json!(TOKEN);
                }
                let answers = self.answers.lock().unwrap();
                if let (true, false) = (*self.ann_was_faster.lock().unwrap(), answers.is_empty()) {
                    action =
                        json!({ "status": "Succeeded", "summary": "Approved by ann@example.com via link" });
                }
                json(json!({ "stageStates": [{
                    "stageName": "Approval",
                    "latestExecution": { "pipelineExecutionId": RUN, "status": "InProgress" },
                    "inboundExecutions": self.newer.lock().unwrap().iter()
                        .map(|id| json!({ "pipelineExecutionId": id, "status": "InProgress" })).collect::<Vec<_>>(),
                    "actionStates": [{ "actionName": "Approve", "latestExecution": action }],
                }] }))
            }
            "CodePipeline_20150709.PutApprovalResult" => {
                let input = serde_json::from_slice(body).unwrap();
                self.answers.lock().unwrap().push(input);
                if *self.ann_was_faster.lock().unwrap() {
                    let error = json!({ "__type": "ApprovalAlreadyCompletedException", "message": "no" });
                    return (400, error.to_string());
                }
                json(json!({ "approvedAt": 1_780_063_502 }))
            }
            "CodePipeline_20150709.GetPipelineExecution" => {
                json(json!({ "pipelineExecution": { "status": "InProgress", "artifactRevisions": [] } }))
            }
            "CodePipeline_20150709.ListActionExecutions" => json(json!({ "actionExecutionDetails": [] })),
            "CodePipeline_20150709.ListPipelineExecutions" => {
                json(json!({ "pipelineExecutionSummaries": [] }))
            }
            "AmazonSSM.GetParameter" => {
                json(json!({ "Parameter": { "Value": *self.policy.lock().unwrap() } }))
            }
            _ => self.publish(body),
        }
    }

    fn publish(&self, body: &[u8]) -> (u16, String) {
        let fields: HashMap<String, String> = serde_urlencoded::from_bytes(body).unwrap();
        let to = fields
            .get("MessageAttributes.entry.1.Value.StringValue")
            .cloned()
            .unwrap_or_default();
        let mut throttled = self.throttled.lock().unwrap();
        if to.starts_with("bob") && *throttled > 0 {
            *throttled -= 1;
            let error = "<ErrorResponse><Error><Type>Sender</Type><Code>Throttled</Code><Message>slow</Message></Error></ErrorResponse>";
            return (429, error.to_owned());
        }
        self.published
            .lock()
            .unwrap()
            .push((to, fields["Message"].clone()));
        (
            200,
            "<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>"
                .to_owned(),
        )
    }
}

#[derive(Debug, Clone)]
struct Connector(Arc<Aws>);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = request
            .headers()
            .get("x-amz-target")
            .unwrap_or_default()
            .to_owned();
        let (status, body) = self
            .0
            .answer(&operation, request.body().bytes().unwrap_or_default());
        HttpConnectorFuture::ready(Ok(HttpResponse::new(
            status.try_into().unwrap(),
            SdkBody::from(body),
        )))
    }
}

struct Case {
    aws: Arc<Aws>,
    app: App,
}

fn case(approvers: &[&str]) -> Case {
    let aws = Arc::new(Aws {
        ready: Mutex::new(true),
        policy: Mutex::new(
            json!({
                "version": 1,
                "approvers": approvers.iter().map(|address| json!({ "email": address })).collect::<Vec<_>>(),
            })
            .to_string(),
        ),
        ..Aws::default()
    });
    let connector = SharedHttpConnector::new(Connector(aws.clone()));
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "a", "b", None, None, "test",
        )))
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .sleep_impl(TokioSleep::new())
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .build();
    let config = Config {
        environment: "production".to_owned(),
        pipeline: PipelineName::new("lambda-function-production-pipeline").unwrap(),
        policy_parameter: Some("/signalbox/production/approval-policy".to_owned()),
        slack: None,
        topic: "arn:aws:sns:us-east-1:123456789012:approvals".to_owned(),
        answer_url: "https://answer.example/".to_owned(),
        signing_secret: "secret".to_owned(),
        timeout: SignedDuration::from_hours(7 * 24),
        ledger_table: "unused".to_owned(),
    };
    Case {
        aws,
        app: App::new(config, Ledger::memory(), &sdk),
    }
}

impl Case {
    async fn deliver(&self, event: &str) -> Result<Outcome, Error> {
        let now: Timestamp = "2026-05-29T14:05:03Z".parse().unwrap();
        let invocation = Invocation {
            now,
            deadline: now + SignedDuration::from_secs(30),
            request_id: "r".to_owned(),
        };
        handle(serde_json::from_str(event).unwrap(), &self.app, invocation).await
    }

    fn published_to(&self) -> Vec<String> {
        self.aws
            .published
            .lock()
            .unwrap()
            .iter()
            .map(|(to, _)| to.clone())
            .collect()
    }
}

const BOTH: [&str; 2] = ["ann@example.com", "bob@example.com"];

#[tokio::test(start_paused = true)]
async fn each_approver_is_asked_once_however_often_the_event_comes() {
    let case = case(&BOTH);
    assert_eq!(
        case.deliver(STARTED).await.unwrap(),
        Outcome::Asked { now: 2, before: 0 }
    );
    assert_eq!(
        case.deliver(STARTED).await.unwrap(),
        Outcome::Asked { now: 0, before: 2 }
    );
    assert_eq!(case.published_to(), BOTH);
    let keys = Keys::new(Key::new("k1", KEY).unwrap(), None);
    for (to, message) in case.aws.published.lock().unwrap().iter() {
        let segment = message
            .split_once("https://answer.example/a/")
            .unwrap()
            .1
            .lines()
            .next()
            .unwrap();
        assert_eq!(Link::verify(segment, &keys).unwrap().link().approver.as_str(), to);
        assert!(!message.contains(TOKEN));
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_message_is_sent_after_all() {
    let case = case(&BOTH);
    *case.aws.throttled.lock().unwrap() = 2;
    assert_eq!(
        case.deliver(STARTED).await.unwrap(),
        Outcome::Asked { now: 2, before: 0 }
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_sent_fails_the_event_and_holds_back_no_other() {
    let case = case(&BOTH);
    *case.aws.throttled.lock().unwrap() = 99;
    let failure = Failure::from(case.deliver(STARTED).await.unwrap_err());
    assert!(failure.is_retryable(), "{}", failure.message());
    assert_eq!(case.published_to(), ["ann@example.com"]);
    *case.aws.throttled.lock().unwrap() = 0;
    assert_eq!(
        case.deliver(STARTED).await.unwrap(),
        Outcome::Asked { now: 1, before: 1 }
    );
    assert_eq!(case.published_to(), BOTH);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_to_be_seen_yet_is_come_back_for() {
    let case = case(&BOTH);
    *case.aws.ready.lock().unwrap() = false;
    assert!(Failure::from(case.deliver(STARTED).await.unwrap_err()).is_retryable());
    *case.aws.ready.lock().unwrap() = true;
    assert_eq!(
        case.deliver(STARTED).await.unwrap(),
        Outcome::Asked { now: 2, before: 0 }
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_valid_policy_everybody_who_listens_is_told_once_and_why() {
    let case = case(&[]);
    assert_eq!(case.deliver(STARTED).await.unwrap(), Outcome::AskedNobody);
    assert_eq!(case.deliver(STARTED).await.unwrap(), Outcome::AskedNobody);
    assert_eq!(case.published_to(), [""]);
    let told = case.aws.published.lock().unwrap()[0].1.clone();
    assert!(
        told.contains("is not valid") && told.contains("console"),
        "{told}"
    );
}

#[tokio::test(start_paused = true)]
async fn another_pipelines_approval_is_none_of_ours() {
    let case = case(&BOTH);
    let other = STARTED.replace("lambda-function-production-pipeline", "other");
    assert!(matches!(case.deliver(&other).await.unwrap(), Outcome::Ignored(_)));
    assert!(case.published_to().is_empty());
}

/// One of two waits, and the policy rejects it.
fn superseded() -> Case {
    let case = case(&BOTH);
    let policy = json!({ "version": 1, "approvers": [{ "email": BOTH[0] }], "superseded": "reject" });
    *case.aws.policy.lock().unwrap() = policy.to_string();
    *case.aws.newer.lock().unwrap() = vec!["ffff"];
    case
}

impl Case {
    async fn stored(&self) -> signalbox_ledger::StoredApproval {
        let started = Started::parse(serde_json::from_str(STARTED).unwrap());
        let approval = started.unwrap().unwrap().approval;
        let token = signalbox_decision::approval::Token::new(TOKEN).hash();
        let key = signalbox_ledger::ApprovalKey::new(&approval, token);
        self.app.ledger.load_approval(&key).await.unwrap().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_revision_is_rejected_by_the_policy_once_and_audited() {
    let case = superseded();
    assert_eq!(case.deliver(STARTED).await.unwrap(), Outcome::Rejected);
    assert_eq!(case.published_to(), Vec::<String>::new(), "nobody is asked");
    let answers = case.aws.answers.lock().unwrap().clone();
    assert_eq!((answers.len(), &answers[0]["token"]), (1, &json!(TOKEN)));
    assert_eq!(
        answers[0]["result"],
        json!({
            "status": "Rejected",
            "summary": "Rejected by signalbox via policy: a newer revision is waiting behind this one",
        })
    );
    let stored = case.stored().await;
    assert_eq!(stored.decision.unwrap()["via"], "policy");
    assert_eq!(
        (stored.attempts.len(), &stored.attempts[0]["channel"]),
        (1, &json!("policy"))
    );
    assert_eq!(
        case.deliver(STARTED).await.unwrap(),
        Outcome::Ignored("already Rejected".to_owned())
    );
    assert_eq!(case.aws.answers.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_somebody_was_faster_than_the_policy_their_decision_stands() {
    let case = superseded();
    *case.aws.ann_was_faster.lock().unwrap() = true;
    assert_eq!(
        case.deliver(STARTED).await.unwrap(),
        Outcome::Ignored("already Approved by ann@example.com".to_owned())
    );
    assert_eq!(case.stored().await.decision.unwrap()["by"], "ann@example.com");
}
