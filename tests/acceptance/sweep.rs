//! The sweep, with a pipeline whose events never arrive: the rules that would deliver them are disabled, so
//! that everything that happens is the sweep's doing. And the audit's exporter, as its real binary.

use std::process::{Command, Output};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_s3::primitives::ByteStream;
use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_bootstrap::Aws;
use signalbox_decision::approval::{ApprovalAction, Token};
use signalbox_decision::names::{ActionName, ExecutionId, PipelineName, StageName};
use signalbox_decision::timeline::{State, Subject, Timeline};
use signalbox_ledger::{ApprovalKey, Ledger};
use signalbox_local::inbox::Mail;
use signalbox_local::install::{self, Installed, Plan};
use tokio::sync::OnceCell;

use crate::world::{World, package, until};

const CAROL: &str = "carol@example.com";
const DAN: &str = "dan@example.com";
const ON_CALL: &str = "oncall@example.com";
pub(crate) const OPERATORS: &str = "operators@example.com";

/// The age, in seconds, at which a freeze is first reminded of.
pub(crate) const FREEZE_REMINDER: i64 = 20;

/// The control plane of `production`, deaf to CodePipeline, CodeDeploy and alarms.
static SITE: OnceCell<Installed> = OnceCell::const_new();

pub(crate) async fn site(world: &World) -> &'static Installed {
    SITE.get_or_init(|| make_site(world)).await
}

async fn make_site(world: &World) -> Installed {
    let plan = Plan {
        environment: "production".to_owned(),
        approvers: vec![CAROL.to_owned(), DAN.to_owned()],
        watcher: OPERATORS.to_owned(),
    };
    let installed = install::install_control_plane(&world.running, &plan)
        .await
        .unwrap();
    let call = async |service: &str, operation: &str, input: Value| {
        world.running.call(service, operation, input).await.unwrap()
    };
    for rule in [
        "approval-started",
        "pipeline-changed",
        "deployment-changed",
        "alarm-raised",
    ] {
        call(
            "events",
            "DisableRule",
            json!({ "Name": format!("signalbox-production-{rule}") }),
        )
        .await;
    }
    // Links last for seven days of real time; the notice comes 20 s after the opening.
    let policy = json!({
        "version": 1, "approvers": [{ "email": CAROL }, { "email": DAN }], "quorum": 2,
        "reminders": ["PT1S"], "escalation": { "after": "PT2S", "contact": ON_CALL },
        "expiry_notice": "PT167H59M40S",
    });
    let parameter = json!({
        "Name": "/signalbox/production/approval-policy", "Type": "String", "Overwrite": true,
        "Value": policy.to_string(),
    });
    call("ssm", "PutParameter", parameter).await;
    let sweep = json!({ "FunctionName": "signalbox-production-sweep" });
    let mut configuration =
        call("lambda", "GetFunctionConfiguration", sweep.clone()).await["Environment"].clone();
    configuration["Variables"]["FREEZE_REMINDER"] = json!(format!("PT{FREEZE_REMINDER}S"));
    let mut changed = sweep;
    changed["Environment"] = configuration;
    call("lambda", "UpdateFunctionConfiguration", changed).await;
    let topic = json!({
        "TopicArn": "arn:aws:sns:us-east-1:123456789012:signalbox-production-approvals", "Protocol": "email",
        "Endpoint": ON_CALL, "Attributes": { "FilterPolicy": json!({ "approver": [ON_CALL] }).to_string() },
    });
    call("sns", "Subscribe", topic).await;
    let kind = |category: &str, provider: &str| json!({ "category": category, "owner": "AWS", "provider": provider, "version": "1" });
    // 20 minutes are 40 s here.
    let pipeline = json!({
        "name": installed.pipeline, "pipelineType": "V2", "executionMode": "PARALLEL",
        "roleArn": "arn:aws:iam::123456789012:role/pipeline",
        "artifactStore": { "type": "S3", "location": installed.artifact_bucket },
        "stages": [
            { "name": "Source", "actions": [{
                "name": "Source", "actionTypeId": kind("Source", "S3"), "runOrder": 1,
                "configuration": {
                    "S3Bucket": installed.source_bucket, "S3ObjectKey": "source/main/lambda-function.zip",
                    "PollForSourceChanges": "false", "AllowOverrideForS3ObjectKey": "true",
                },
                "outputArtifacts": [{ "name": "SourceOutput" }],
            }]},
            { "name": "Approval", "actions": [{
                "name": "Approve", "actionTypeId": kind("Approval", "Manual"), "runOrder": 1,
                "timeoutInMinutes": 20,
            }]},
            { "name": "Release", "actions": [{
                "name": "Release", "actionTypeId": kind("Approval", "Manual"), "runOrder": 1,
            }]},
        ],
    });
    call("codepipeline", "CreatePipeline", json!({ "pipeline": pipeline })).await;
    installed
}

/// Uploads a package and answers the run that it starts. Each under a key of its own: of two uploads of one key
/// only the newer one runs.
async fn start_run(world: &World, site: &Installed) -> String {
    let upload = world.running.s3().put_object().bucket(&site.source_bucket);
    let upload = upload
        .key(format!("source/main/{}.zip", uuid::Uuid::new_v4()))
        .body(ByteStream::from(package()));
    let version = upload.send().await.unwrap().version_id().unwrap().to_owned();
    until("a run of the upload", async || {
        let input = json!({ "pipelineName": site.pipeline, "maxResults": 100 });
        let answer = world
            .running
            .call("codepipeline", "ListPipelineExecutions", input)
            .await
            .unwrap();
        let runs = answer
            .get("pipelineExecutionSummaries")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let run = runs.into_iter().find(|run| run.to_string().contains(&version))?;
        run.get("pipelineExecutionId")?.as_str().map(str::to_owned)
    })
    .await
}

/// Sweeps, and shows what failed.
pub(crate) async fn sweep(world: &World) -> Value {
    let payload = base64_of(include_str!("../../events/sweep/scheduled.json"));
    let input = json!({ "FunctionName": "signalbox-production-sweep", "Payload": payload });
    let answer = world.running.call("lambda", "Invoke", input).await.unwrap();
    assert!(
        answer.get("FunctionError").is_none_or(Value::is_null),
        "the sweep failed: {}",
        text_of(&answer)
    );
    answer
}

pub(crate) fn base64_of(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

pub(crate) fn text_of(answer: &Value) -> String {
    use base64::Engine;
    let payload = answer.get("Payload").and_then(Value::as_str).unwrap_or_default();
    String::from_utf8_lossy(
        &base64::engine::general_purpose::STANDARD
            .decode(payload)
            .unwrap_or_default(),
    )
    .into_owned()
}

pub(crate) fn ledger(world: &World, table: &str) -> Ledger {
    let credentials = Credentials::new("local", "local", None, None, "local");
    let aws = Aws::new("us-east-1".to_owned(), credentials, Some(world.running.url()));
    Ledger::dynamodb(aws_sdk_dynamodb::Client::new(aws.sdk()), table)
}

fn about<'a>(to: &'a str, subject: &'a str, run: &'a str) -> impl Fn(&Mail) -> bool + 'a {
    move |mail| mail.to == to && mail.subject.starts_with(subject) && mail.text.contains(run)
}

/// Every event of the run is lost; still everybody is asked, and the ledger and the team know of the run.
pub(crate) async fn h07_a_run_whose_every_event_is_lost_is_repaired(world: &World) {
    let site = site(world).await;
    let run = start_run(world, site).await;
    let subject = Subject::Run {
        pipeline: PipelineName::new(site.pipeline.as_str()).unwrap(),
        execution: ExecutionId::new(run.as_str()).unwrap(),
    };
    // The schedule alone does it: nobody calls the sweep here.
    let asked = world
        .mail("that asks Carol", about(CAROL, "Approve?", &run))
        .await;
    assert!(asked.text.contains("/a/"), "{}", asked.text);
    world.mail("that asks Dan", about(DAN, "Approve?", &run)).await;
    let ledger = ledger(world, &site.ledger_table);
    let timeline = until("the run's timeline", async || {
        let timeline = ledger.load_timeline(&subject).await.unwrap().timeline;
        (timeline.actions.len() == 2 && timeline.status() == Some(&State::InProgress)).then_some(timeline)
    })
    .await;
    assert!(timeline.stages.contains_key("Approval"), "{timeline:?}");
    world
        .mail("that tells of the run", |mail| {
            mail.to == OPERATORS && mail.text.contains(&run)
        })
        .await;
    // Another sweep asks nobody again.
    sweep(world).await;
    assert_eq!(world.mails(about(CAROL, "Approve?", &run)), 1);
}

/// One run through all that is told about an approval which nobody answers.
pub(crate) async fn sweep_reminds_escalates_and_tells_of_the_expiry_once_each(world: &World) {
    let site = site(world).await;
    let run = start_run(world, site).await;
    until("the approval", async || {
        sweep(world).await;
        (world.mails(about(CAROL, "Approve?", &run)) > 0).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    sweep(world).await;
    for person in [CAROL, DAN] {
        let reminder = world.mail("that reminds", about(person, "Reminder:", &run)).await;
        assert!(reminder.text.contains("/a/"), "{}", reminder.text);
    }
    for reader in [ON_CALL, OPERATORS] {
        let escalation = world
            .mail("that escalates", about(reader, "Nobody decides:", &run))
            .await;
        assert!(
            escalation.text.contains(CAROL) && !escalation.text.contains("/a/"),
            "{}",
            escalation.text
        );
    }
    // From here on it is the schedule's.
    for reader in [CAROL, DAN, OPERATORS] {
        world
            .mail("before the expiry", about(reader, "Expires soon:", &run))
            .await;
    }
    for reader in [CAROL, DAN, OPERATORS] {
        world
            .mail("after the expiry", about(reader, "Expired:", &run))
            .await;
    }
    sweep(world).await;
    sweep(world).await;
    for (reader, subject) in [
        (CAROL, "Approve?"),
        (CAROL, "Reminder:"),
        (ON_CALL, "Nobody decides:"),
        (OPERATORS, "Nobody decides:"),
        (CAROL, "Expires soon:"),
        (DAN, "Expired:"),
        (OPERATORS, "Expired:"),
    ] {
        assert_eq!(
            world.mails(about(reader, subject, &run)),
            1,
            "{subject} to {reader}"
        );
    }
    let noted = |mail: &Mail| mail.to == ON_CALL && !mail.subject.starts_with("Nobody decides:");
    assert_eq!(
        world.mails(noted),
        0,
        "who is on call got more than the escalation"
    );
}

fn signalbox(world: &World, arguments: &[&str]) -> Output {
    let program = world.running.paths.binaries.join("signalbox");
    let url = world.running.url();
    let output = Command::new(&program)
        .args(arguments)
        .arg(format!("--local={url}"))
        .env_clear()
        .output();
    output.unwrap_or_else(|error| {
        panic!(
            "{}: {error}; `cargo build --bin signalbox` makes it",
            program.display()
        )
    })
}

/// Who, when, what: by the real binary, from the real table.
pub(crate) async fn the_audit_is_exported_as_json_lines_and_as_a_table(world: &World) {
    let ledger = ledger(world, &world.installed.ledger_table);
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let approval = ApprovalAction {
        pipeline: PipelineName::new("audited-pipeline").unwrap(),
        execution: ExecutionId::new("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0").unwrap(),
        stage: StageName::new("Approval").unwrap(),
        action: ActionName::new("Approve").unwrap(),
    };
    let subject = Subject::Run {
        pipeline: approval.pipeline.clone(),
        execution: approval.execution.clone(),
    };
    let opened = at("2026-05-29T14:05:00Z");
    let _ = ledger
        .save_timeline(&subject, &Timeline::default(), None, opened)
        .await
        .unwrap();
    let key = ApprovalKey::new(&approval, Token::new("a secret token").hash());
    let record = json!({ "opened": "2026-05-29T14:05:00Z", "asked": [CAROL, DAN] });
    ledger
        .open_approval(&key, &record, opened, Timestamp::MAX)
        .await
        .unwrap();
    for (person, moment, outcome) in [
        (
            DAN,
            "2026-05-29T14:10:00Z",
            "refused: the form came from another site",
        ),
        (CAROL, "2026-05-29T14:20:00Z", "decided"),
    ] {
        let attempt = json!({ "person": person, "at": moment, "address": "203.0.113.9", "outcome": outcome });
        ledger.record_attempt(&key, attempt, at(moment)).await.unwrap();
    }
    let decision = json!({ "verdict": "approved", "by": CAROL, "via": "link", "at": "2026-05-29T14:20:00Z", "comment": "go" });
    let _ = ledger
        .record_decision(&key, decision, at("2026-05-29T14:20:00Z"))
        .await
        .unwrap();

    let arguments = ["audit", "--pipeline", "audited-pipeline"];
    let output = signalbox(world, &[&arguments[..], &["--json"]].concat());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines: Vec<Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["event"].as_str().unwrap(),
                line["at"].as_str().unwrap(),
                line["detail"]["person"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("asked", "2026-05-29T14:05:00Z", None),
            ("attempt", "2026-05-29T14:10:00Z", Some(DAN)),
            ("attempt", "2026-05-29T14:20:00Z", Some(CAROL)),
            ("decision", "2026-05-29T14:20:00Z", None),
        ]
    );
    assert_eq!(lines[3]["detail"]["by"], CAROL);
    assert!(!String::from_utf8_lossy(&output.stdout).contains("a secret token"));

    let output = signalbox(world, &arguments);
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && output.stderr.is_empty());
    let row = table
        .lines()
        .find(|row| row.contains("decision"))
        .unwrap_or_else(|| panic!("no decision in {table}"));
    for part in [
        "2026-05-29 14:20:00 UTC",
        "0f1e2d3c",
        CAROL,
        "link",
        "approved",
        "go",
    ] {
        assert!(row.contains(part), "{part} is missing in {row}");
    }
    assert!(
        table.contains("203.0.113.9") && table.contains("from another site"),
        "{table}"
    );

    let output = signalbox(
        world,
        &[
            "audit",
            "--pipeline",
            "audited-pipeline",
            "--environment",
            "nowhere",
        ],
    );
    assert_eq!(
        output.status.code(),
        Some(1),
        "a table that does not exist is an error, and no empty audit"
    );
}
