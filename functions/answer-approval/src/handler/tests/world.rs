//! The installation that the requests meet: a CodePipeline, a Secrets Manager and a Parameter Store of a few
//! calls each.

use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use serde_json::json;
use signalbox_decision::approval::keys::{Key, Keys};
use signalbox_decision::approval::link::Link;
use signalbox_decision::approval::{ApprovalAction, Evidence, Record, Token};
use signalbox_decision::names::{ActionName, Approver, ExecutionId, PipelineName, StageName};
use signalbox_ledger::{ApprovalKey, Ledger, StoredApproval};

use super::super::*;
use crate::app::Config;

pub(super) const RUN: &str = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
pub(super) const TOKEN: &str = "11111111-2222-3333-4444-555555555555";
pub(super) const KEY: &str = "0123456789abcdef0123456789abcdef";
pub(super) const HOST: &str = "abc.lambda-url.us-east-1.on.aws";
pub(super) const NOW: &str = "2026-05-29T15:00:00Z";

/// What AWS does with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Works,
    /// Takes the answer, and its confirmation is lost.
    LosesTheAnswer,
    /// Does not take it.
    Denies,
    /// The pipeline is not there any more.
    Deleted,
}

#[derive(Debug)]
pub(super) struct Aws {
    pub(super) mood: Mutex<Mood>,
    /// The action's latest execution, as `GetPipelineState` shows it.
    pub(super) action: Mutex<Value>,
    /// The policy document.
    pub(super) policy: Mutex<Option<String>>,
    /// The runs that wait in front of the stage.
    pub(super) newer: Mutex<Vec<&'static str>>,
    /// Every `PutApprovalResult`, whole.
    pub(super) answers: Mutex<Vec<Value>>,
}

impl Aws {
    fn answer(&self, operation: &str, input: Value) -> Result<(u16, Value), ConnectorError> {
        let error = |code: &str| Ok((400, json!({ "__type": code, "message": "no" })));
        let mood = *self.mood.lock().unwrap();
        match operation {
            "secretsmanager.GetSecretValue" if input["VersionStage"] == "AWSCURRENT" => Ok((
                200,
                json!({ "SecretString": json!({ "id": "k1", "key": KEY }).to_string() }),
            )),
            "secretsmanager.GetSecretValue" => error("ResourceNotFoundException"),
            "AmazonSSM.GetParameter" => match self.policy.lock().unwrap().clone() {
                Some(policy) => Ok((200, json!({ "Parameter": { "Value": policy } }))),
                None => error("ParameterNotFound"),
            },
            _ if mood == Mood::Deleted => error("PipelineNotFoundException"),
            "CodePipeline_20150709.GetPipelineState" => Ok((
                200,
                json!({ "stageStates": [{
                    "stageName": "Approval",
                    "latestExecution": { "pipelineExecutionId": RUN, "status": "InProgress" },
                    "inboundExecutions": self.newer.lock().unwrap().iter()
                        .map(|id| json!({ "pipelineExecutionId": id, "status": "InProgress" })).collect::<Vec<_>>(),
                    "actionStates": [{ "actionName": "Approve", "latestExecution": *self.action.lock().unwrap() }],
                }] }),
            )),
            "CodePipeline_20150709.PutApprovalResult" => {
                if mood == Mood::Denies {
                    return error("AccessDeniedException");
                }
                let mut action = self.action.lock().unwrap();
                if action["status"] != "InProgress" {
                    return error("ApprovalAlreadyCompletedException");
                }
                let status = if input["result"]["status"] == "Approved" {
                    "Succeeded"
                } else {
                    "Failed"
                };
                *action = json!({ "status": status, "summary": input["result"]["summary"], "lastStatusChange": 1_780_066_800 });
                self.answers.lock().unwrap().push(input);
                if mood == Mood::LosesTheAnswer {
                    return Err(ConnectorError::io("connection reset".into()));
                }
                Ok((200, json!({ "approvedAt": 1_780_066_800 })))
            }
            _ => error("UnknownOperationException"),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Connector(Arc<Aws>);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = request
            .headers()
            .get("x-amz-target")
            .unwrap_or_default()
            .to_owned();
        let input = serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap_or_default();
        HttpConnectorFuture::ready(self.0.answer(&operation, input).map(|(status, body)| {
            HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body.to_string()))
        }))
    }
}

/// One installation, one approval that waits for Ann and Bob.
pub(super) struct Case {
    pub(super) aws: Arc<Aws>,
    pub(super) app: App,
}

pub(super) fn approver(address: &str) -> Approver {
    Approver::new(address).unwrap()
}

pub(super) fn link(address: &str) -> Link {
    Link {
        approval: ApprovalAction {
            pipeline: PipelineName::new("p").unwrap(),
            execution: ExecutionId::new(RUN).unwrap(),
            stage: StageName::new("Approval").unwrap(),
            action: ActionName::new("Approve").unwrap(),
        },
        token: Token::new(TOKEN).hash(),
        approver: approver(address),
        expires: "2026-06-05T14:05:00Z".parse().unwrap(),
    }
}

pub(super) fn approval_key() -> ApprovalKey {
    crate::gather::key(&link("ann@example.com"))
}

pub(super) fn policy(quorum: usize, superseded: &str) -> String {
    let approvers = ["ann", "bob", "carol"].map(|name| json!({ "email": format!("{name}@example.com") }));
    json!({ "version": 1, "approvers": approvers, "quorum": quorum, "superseded": superseded }).to_string()
}

pub(super) async fn case() -> Case {
    let aws = Arc::new(Aws {
        mood: Mutex::new(Mood::Works),
        action: Mutex::new(
            json!({ "status": "InProgress", "token": TOKEN, "lastStatusChange": 1_780_063_500 }),
        ),
        policy: Mutex::new(Some(policy(1, "warn"))),
        newer: Mutex::default(),
        answers: Mutex::default(),
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
        pipeline: PipelineName::new("p").unwrap(),
        policy_parameter: "/policy".to_owned(),
        slack: None,
        ledger_table: "unused".to_owned(),
        signing_secret: "secret".to_owned(),
    };
    let ledger = Ledger::memory();
    let record = Record {
        approval: link("ann@example.com").approval,
        token_hash: link("ann@example.com").token,
        asked: ["ann", "bob", "carol"]
            .map(|name| approver(&format!("{name}@example.com")))
            .to_vec(),
        opened: "2026-05-29T14:05:00Z".parse().unwrap(),
        expires: "2026-06-05T14:05:00Z".parse().unwrap(),
        evidence: Evidence {
            author: Some("carol@example.com".to_owned()),
            ..Evidence::default()
        },
    };
    let until = "2026-09-01T00:00:00Z".parse().unwrap();
    ledger
        .open_approval(&approval_key(), &json!(record), NOW.parse().unwrap(), until)
        .await
        .unwrap();
    Case {
        aws,
        app: App::new(config, ledger, &sdk),
    }
}

pub(super) struct Answered {
    pub(super) status: u64,
    pub(super) body: String,
    pub(super) cookie: Option<String>,
}

impl Case {
    pub(super) async fn send(&self, method: &str, segment: &str, more: Value) -> Answered {
        let mut event = json!({
            "rawPath": format!("/a/{segment}"),
            "headers": {
                "host": HOST, "x-forwarded-proto": "https", "origin": "null", "sec-fetch-site": "same-origin",
                "content-type": "application/x-www-form-urlencoded",
            },
            "requestContext": { "domainName": HOST, "http": { "method": method, "sourceIp": "203.0.113.7" } },
        });
        for (name, value) in more.as_object().unwrap() {
            match value.as_object() {
                Some(headers) => event[name].as_object_mut().unwrap().extend(headers.clone()),
                None => event[name] = value.clone(),
            }
        }
        let now: Timestamp = NOW.parse().unwrap();
        let invocation = Invocation {
            now,
            deadline: now + jiff::SignedDuration::from_secs(15),
            request_id: "r".to_owned(),
        };
        let response = handle(event, &self.app, invocation).await.unwrap();
        let logged = format!("{response:?}");
        let response = serde_json::to_value(&response).unwrap();
        assert!(logged.len() < 50, "{logged}");
        Answered {
            status: response["statusCode"].as_u64().unwrap(),
            body: response["body"].as_str().unwrap().to_owned(),
            cookie: response["cookies"][0]
                .as_str()
                .map(|cookie| cookie.split(';').next().unwrap().to_owned()),
        }
    }

    pub(super) fn segment(address: &str) -> String {
        link(address).sign(&Keys::new(Key::new("k1", KEY).unwrap(), None))
    }

    /// Opens the page, as a browser does, and sends its form.
    pub(super) async fn answer(&self, address: &str, verdict: &str) -> Answered {
        let segment = Self::segment(address);
        let page = self.send("GET", &segment, json!({})).await;
        let nonce = page
            .body
            .split_once("name=\"nonce\" value=\"")
            .map_or("", |(_, rest)| rest.split('"').next().unwrap());
        let body = format!("nonce={nonce}&comment=fine&verdict={verdict}");
        self.send(
            "POST",
            &segment,
            json!({ "body": body, "cookies": [page.cookie.unwrap_or_default()] }),
        )
        .await
    }

    pub(super) fn answers(&self) -> usize {
        self.aws.answers.lock().unwrap().len()
    }

    pub(super) async fn stored(&self) -> StoredApproval {
        self.app
            .ledger
            .load_approval(&approval_key())
            .await
            .unwrap()
            .unwrap()
    }
}
