//! Slack, as its own servers would act: signed clicks over HTTP against the real function, and a small
//! Slack that remembers what it was told. An environment of its own, since the policy names its channel.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_decision::approval::message::{Rules, ask};
use signalbox_decision::approval::{Record, evidence::Known};
use signalbox_decision::names::Approver;
use signalbox_local::install;
use tokio::sync::OnceCell;

use crate::runs::{action_of, status_and_summary};
use crate::slack_server::{
    ANN_IN_SLACK, BOT, CHANNEL, Server, TEAM, button, click, make_secret, now, send, send_click, sign, signed,
};
use crate::world::{ANN, BEN, World, package, until};

const ENVIRONMENT: &str = "slack";
/// Long enough that a subject with it must be cut.
const PIPELINE: &str = "slack-pipeline-with-a-name-that-is-so-long-that-no-subject-of-a-mail-can-hold-it-all";

struct Slack {
    server: &'static Server,
    /// Where clicks are posted to.
    url: String,
    /// Our Slack's root.
    root: String,
}

static SLACK: OnceCell<Slack> = OnceCell::const_new();

/// The environment, installed by whichever test comes first.
async fn slack(world: &World) -> &'static Slack {
    SLACK.get_or_init(|| install(world)).await
}

async fn install(world: &World) -> Slack {
    let (server, root) = Server::start().await;
    let secret = make_secret(world, ENVIRONMENT).await;
    let policy = json!({
        "version": 1, "approvers": [{ "email": ANN, "slack": ANN_IN_SLACK }, { "email": BEN }],
        "slack": { "team": TEAM, "channel": CHANNEL },
    });
    // A third environment: the template knows two, and both belong to others here.
    let template = std::fs::read_to_string(world.running.paths.project.join("template.yaml")).unwrap();
    let template = template.replacen(
        "AllowedValues: [staging, production]",
        "AllowedValues: [slack]",
        1,
    );
    let template = template.replacen("Default: staging", "Default: slack", 1);
    let parameters = [
        ("Environment", ENVIRONMENT),
        ("PipelineName", PIPELINE),
        ("SourceBucketName", "nobody-uploads-here"),
        ("ApprovalPolicy", &policy.to_string()),
        ("SlackSecretArn", &secret),
        ("SlackApiUrl", &format!("{root}/api")),
    ];
    let outputs = install::create_stack(&world.running, "signalbox-slack", &template, &parameters)
        .await
        .unwrap();
    let output = |name: &str| outputs.iter().find(|(key, _)| key == name).unwrap().1.clone();
    let input = json!({
        "TopicArn": output("ApprovalTopicArn"), "Protocol": "email", "Endpoint": ANN,
        "Attributes": { "FilterPolicy": json!({ "approver": [ANN] }).to_string() },
    });
    world.running.call("sns", "Subscribe", input).await.unwrap();
    create_pipeline(world).await;
    Slack {
        server,
        url: output("SlackRequestUrl"),
        root,
    }
}

async fn create_pipeline(world: &World) {
    let kind = |category: &str, provider: &str| json!({ "category": category, "owner": "AWS", "provider": provider, "version": "1" });
    let pipeline = json!({
        "name": PIPELINE, "pipelineType": "V2", "executionMode": "PARALLEL",
        "roleArn": "arn:aws:iam::123456789012:role/pipeline",
        "artifactStore": { "type": "S3", "location": world.installed.artifact_bucket },
        "stages": [
            { "name": "Source", "actions": [{
                "name": "Source", "actionTypeId": kind("Source", "S3"), "runOrder": 1,
                "configuration": {
                    "S3Bucket": world.installed.source_bucket, "S3ObjectKey": "slack/package.zip",
                    "PollForSourceChanges": "false",
                },
                "outputArtifacts": [{ "name": "SourceOutput" }],
            }]},
            { "name": "Approval", "actions": [{
                "name": "Approve", "actionTypeId": kind("Approval", "Manual"), "runOrder": 1,
            }]},
        ],
    });
    let request = world
        .running
        .s3()
        .put_object()
        .bucket(&world.installed.source_bucket)
        .key("slack/package.zip");
    let request = request.metadata(
        "codepipeline-artifact-revision-summary",
        "Two lines<br>Author: carol@example.com",
    );
    request.body(package().into()).send().await.unwrap();
    world
        .running
        .call("codepipeline", "CreatePipeline", json!({ "pipeline": pipeline }))
        .await
        .unwrap();
}

/// A run that waits for its approval, and the message that asked about it.
struct Waiting {
    run: String,
    message: Value,
    /// Its button's value.
    value: String,
}

impl Slack {
    async fn waiting(&self, world: &World) -> Waiting {
        let answer = world
            .running
            .call(
                "codepipeline",
                "StartPipelineExecution",
                json!({ "name": PIPELINE }),
            )
            .await;
        let run = answer.unwrap()["pipelineExecutionId"]
            .as_str()
            .unwrap()
            .to_owned();
        let message = until("a message in Slack", async || {
            self.server.told("api/chat.postMessage", &run).pop()
        })
        .await;
        let value = button(&message, "signalbox_approve");
        Waiting { run, message, value }
    }

    async fn send(&self, headers: &[(&str, &str)], body: &str) -> u16 {
        send(&self.url, headers, body).await
    }

    async fn click(&self, body: &str) -> u16 {
        send_click(&self.url, body).await
    }
}

/// The approval action of a run: its status and what CodePipeline has as its summary.
async fn action(world: &World, run: &str) -> (String, String) {
    let action = action_of(world, PIPELINE, run, "Approve").await;
    status_and_summary(&action.unwrap())
}

async fn still_waits(world: &World, run: &str) -> bool {
    action(world, run).await.0 == "InProgress"
}

pub(crate) async fn h57_a_time_that_is_301_seconds_off_is_refused(world: &World) {
    let slack = slack(world).await;
    let waiting = slack.waiting(world).await;
    let body = click(&waiting.value, |_| ());
    // A second more than needed, since one may pass on the way.
    for off in [-302, 302] {
        let time = (Timestamp::now().as_second() + off).to_string();
        assert_eq!(
            slack.send(&signed(&time, &sign(&time, &body)), &body).await,
            401,
            "{off}"
        );
    }
    assert!(still_waits(world, &waiting.run).await);
    // What came for the first time 290 s late is fresh.
    let time = (Timestamp::now().as_second() - 290).to_string();
    assert_eq!(slack.send(&signed(&time, &sign(&time, &body)), &body).await, 200);
    assert!(!still_waits(world, &waiting.run).await);
}

pub(crate) async fn h58_a_body_that_was_changed_is_refused(world: &World) {
    let slack = slack(world).await;
    let waiting = slack.waiting(world).await;
    let time = now();
    let rejecting = click(&waiting.value, |payload| {
        payload["actions"][0]["action_id"] = json!("signalbox_reject");
    });
    let signature = sign(&time, &rejecting);
    assert_eq!(
        slack
            .send(&signed(&time, &signature), &click(&waiting.value, |_| ()))
            .await,
        401
    );
    assert_eq!(
        slack
            .send(&signed(&time, &signature), &format!("{rejecting}&x=1"))
            .await,
        401
    );
    assert!(still_waits(world, &waiting.run).await);
}

pub(crate) async fn h59_a_missing_or_doubled_header_is_refused(world: &World) {
    let slack = slack(world).await;
    let waiting = slack.waiting(world).await;
    let body = click(&waiting.value, |_| ());
    let time = now();
    let signature = sign(&time, &body);
    let [kind, stamp, mark] = signed(&time, &signature);
    for headers in [
        vec![kind],
        vec![kind, stamp],
        vec![kind, mark],
        vec![kind, stamp, mark, mark],
        vec![kind, stamp, stamp, mark],
    ] {
        assert_eq!(
            slack.send(&headers, &body).await,
            401,
            "{} headers",
            headers.len()
        );
    }
    assert!(still_waits(world, &waiting.run).await);
}

pub(crate) async fn h60_a_body_in_base64_is_read(world: &World) {
    let slack = slack(world).await;
    let waiting = slack.waiting(world).await;
    let body = click(&waiting.value, |_| ());
    let time = now();
    let event = json!({
        "version": "2.0", "rawPath": "/slack", "body": STANDARD.encode(&body), "isBase64Encoded": true,
        "headers": {
            "content-type": "application/x-www-form-urlencoded",
            "x-slack-request-timestamp": time, "x-slack-signature": sign(&time, &body),
        },
        "requestContext": { "http": { "method": "POST", "sourceIp": "203.0.113.7" } },
    });
    let input = json!({
        "FunctionName": format!("signalbox-{ENVIRONMENT}-answer-approval"),
        "Payload": STANDARD.encode(event.to_string()),
    });
    let answer = world.running.call("lambda", "Invoke", input).await.unwrap();
    let answer = STANDARD.decode(answer["Payload"].as_str().unwrap()).unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["statusCode"], 200, "{answer}");
    assert_eq!(action(world, &waiting.run).await.0, "Succeeded");
}

pub(crate) async fn h61_a_double_click_decides_once(world: &World) {
    let slack = slack(world).await;
    let waiting = slack.waiting(world).await;
    assert_eq!(waiting.message["channel"], CHANNEL);
    let token = slack.server.told.lock().unwrap().last().unwrap().2.clone();
    assert_eq!(token, format!("Bearer {BOT}"));
    let body = click(&waiting.value, |_| ());
    let (first, second) = tokio::join!(slack.click(&body), slack.click(&body));
    assert_eq!((first, second), (200, 200));
    let (status, summary) = action(world, &waiting.run).await;
    assert_eq!(status, "Succeeded");
    assert!(
        summary.starts_with(&format!("Approved by {ANN} via Slack")),
        "{summary}"
    );
    assert_eq!(
        slack.click(&body).await,
        200,
        "a third one is told, and decides nothing"
    );

    // The message that asked says who decided, in its place and without buttons.
    let edited = until("the message's edit", async || {
        slack.server.told("api/chat.update", &waiting.run).pop()
    })
    .await;
    let shown = edited["blocks"].to_string();
    assert!(
        shown.contains(&format!("Approved by {ANN}")) && !shown.contains("signalbox_approve"),
        "{shown}"
    );
    assert_eq!(edited["channel"], CHANNEL);
    assert_eq!(slack.server.told("api/chat.postMessage", &waiting.run).len(), 1);
}

pub(crate) async fn h62_a_response_url_elsewhere_is_not_fetched(world: &World) {
    let slack = slack(world).await;
    let waiting = slack.waiting(world).await;
    let hook = format!("{}/hook/{}", slack.root, waiting.run);
    let body = click(&waiting.value, |payload| payload["response_url"] = json!(hook));
    assert_eq!(slack.click(&body).await, 200);
    assert_eq!(action(world, &waiting.run).await.0, "Succeeded");
    let told = slack.server.told.lock().unwrap();
    assert!(
        told.iter().all(|(path, ..)| !path.starts_with("hook")),
        "{:?}",
        told.last().map(|told| &told.0)
    );
}

pub(crate) async fn h63_another_workspace_or_user_is_refused(world: &World) {
    let slack = slack(world).await;
    let waiting = slack.waiting(world).await;
    let other_team = click(&waiting.value, |payload| {
        payload["team"]["id"] = json!("T0OTHER000");
    });
    assert_eq!(slack.click(&other_team).await, 403);
    let other_user = click(&waiting.value, |payload| {
        payload["user"]["id"] = json!("U0EVE00001");
    });
    assert_eq!(slack.click(&other_user).await, 403);
    let forged = click(&waiting.value[..waiting.value.len() - 4], |_| ());
    assert_eq!(slack.click(&forged).await, 403);
    assert!(still_waits(world, &waiting.run).await);
    // The button's value is worth nothing as a link of the page.
    let page = format!("{}a/{}", slack.url.strip_suffix("slack").unwrap(), waiting.value);
    assert_eq!(reqwest::get(page).await.unwrap().status().as_u16(), 403);
}

pub(crate) async fn h67_a_subject_that_is_too_long_or_has_line_feeds_is_cleaned(world: &World) {
    let slack = slack(world).await;
    let waiting = slack.waiting(world).await;
    let mail = world
        .mail("about a run with a long name", |mail| {
            mail.to == ANN && mail.text.contains(&waiting.run)
        })
        .await;
    assert!(
        mail.subject.len() < 100 && mail.subject.is_ascii() && !mail.subject.contains(['\r', '\n']),
        "{}",
        mail.subject
    );
    assert!(
        mail.subject.starts_with("Approve? slack-pipeline"),
        "{}",
        mail.subject
    );
    for gap in [
        "Change set   none: no action of this run prepared a change set",
        "Tests        not known: no build",
    ] {
        assert!(mail.text.contains(gap), "{gap:?} is missing in {}", mail.text);
    }
}

pub(crate) async fn h68_a_message_that_is_too_long_is_trimmed_and_keeps_its_link(world: &World) {
    let _ = slack(world).await;
    let mut record: Record = serde_json::from_value(json!({
        "approval": { "pipeline": PIPELINE, "execution": "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", "stage": "Approval", "action": "Approve" },
        "tokenHash": "00112233445566778899aabbccddeeff", "asked": [ANN],
        "opened": "2026-05-29T14:05:00Z", "expires": "2026-06-05T14:05:00Z",
        "evidence": { "environment": ENVIRONMENT, "passed": ["\u{e4}".repeat(131_073)] },
    }))
    .unwrap();
    record.evidence.preview.tests = Known::Is("12 of 12 passed".to_owned());
    let url = "https://answer.example/a/SEGMENT";
    let rules = Rules {
        quorum: 1,
        author_may_approve: false,
    };
    let message = ask(&record, &Approver::new(ANN).unwrap(), url, rules, record.opened);
    assert!(message.body.contains(url) && message.body.contains("(shortened)"));
    // SNS itself is the judge of what is too long; the attribute counts.
    let topic = format!("arn:aws:sns:us-east-1:123456789012:signalbox-{ENVIRONMENT}-approvals");
    let input = json!({
        "TopicArn": topic, "Subject": message.subject, "Message": message.body,
        "MessageAttributes": { "approver": { "DataType": "String", "StringValue": "nobody@example.com" } },
    });
    world.running.call("sns", "Publish", input).await.unwrap();
}
