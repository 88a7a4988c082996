//! Hazards 11 to 14: the ledger's claims when time runs out, when keys meet, when rows are old, and when there
//! is no ledger at all.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use signalbox_ledger::{ClaimKey, ClaimOutcome};
use signalbox_local::faults::{Fault, Rule};

use crate::delivery::{claim, token_of};
use crate::failing_starts::{BRIEF, Start, given_up, hit, twin};
use crate::packages;
use crate::process;
use crate::runs;
use crate::source::{Stored, manual, put};
use crate::tracking::pipeline_event;
use crate::world::{TEAM, World, until};

const MONTH: SignedDuration = SignedDuration::from_hours(30 * 24);

pub(crate) async fn h11_a_claim_left_at_the_time_out_is_taken_over(world: &World) {
    let one = async |change: fn(Rule) -> Rule| {
        let start = Start::prepare(world, "h11", BRIEF).await;
        let hanging = start.fails("codepipeline", "StartPipelineExecution", Fault::Hang, change);
        let stop = async {
            hit(&hanging, 1).await;
            // From here on it can report nothing: it has no millisecond left.
            for pid in processes_of(&start.function) {
                kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
            }
        };
        let (ended, ()) = tokio::join!(start.arrives(), stop);
        assert_eq!(ended.error_type(), "Sandbox.Timedout", "{ended:?}");
        drop(hanging);
        // Nobody gave the claim back, and it does not outlast its holder.
        let run = start.started_at_last().await;
        assert_eq!(vec![run], world.runs_of(&start.stored.version).await);
        start.runs(1).await;
    };
    tokio::join!(one(|rule| rule), one(Rule::after));
}

/// The processes that serve a function.
fn processes_of(function: &str) -> Vec<i32> {
    let found = process::naming(&format!("AWS_LAMBDA_FUNCTION_NAME={function}"));
    assert!(!found.is_empty(), "no process serves {function}");
    let pid = |line: &String| line.split(' ').next().unwrap().parse().unwrap();
    found.iter().map(pid).collect()
}

pub(crate) async fn h12_the_same_key_with_another_content_is_refused_and_reported(world: &World) {
    let stored = put(world, &manual("h12"), packages::sound("h12")).await;
    let key = ClaimKey::new("start-run", token_of(world, &stored));
    let (ledger, now) = (world.ledger(), Timestamp::now());
    let minute = SignedDuration::from_mins(1);
    let other = ledger
        .claim(&key, "somebody", now, minute, MONTH, "another content")
        .await
        .unwrap();
    let ClaimOutcome::Won(other) = other else {
        panic!("{other:?}")
    };
    let event = stored.event(world, "A1");
    let refused = world.invoke("start-run", &event).await;
    assert_eq!(refused.error_type(), "NonRetryable");
    assert!(
        refused.text().contains("claimed with another content"),
        "{refused:?}"
    );

    // What was done for the other is not told as done for this one either.
    ledger.complete(other, "the other's result", now).await.unwrap();
    let input = json!({
        "FunctionName": world.function("start-run"), "InvocationType": "Event",
        "Payload": STANDARD.encode(event.to_string()),
    });
    world.running.call("lambda", "Invoke", input).await.unwrap();
    let record = given_up(world, &stored).await;
    let why = record["responsePayload"].to_string();
    assert!(
        why.contains("NonRetryable") && why.contains("claimed with another content"),
        "{why}"
    );
    runs::exactly(world, 0, &stored.version).await;
}

/// The row of an upload's claim, as DynamoDB has it.
async fn row(world: &World, stored: &Stored) -> Value {
    let pk = format!("CLAIM#start-run#{}", token_of(world, stored));
    let input = json!({
        "TableName": world.installed.ledger_table, "ConsistentRead": true,
        "Key": { "pk": { "S": pk }, "sk": { "S": "CLAIM" } },
    });
    world.running.call("dynamodb", "GetItem", input).await.unwrap()["Item"].clone()
}

pub(crate) async fn h13_a_row_past_its_ttl_counts_as_expired(world: &World) {
    let now = Timestamp::now();
    let long_ago = now - MONTH - SignedDuration::from_hours(24);
    for (test, done, content) in [
        ("h13 done", true, None),
        ("h13 in progress", false, None),
        ("h13 another content", true, Some("another content")),
    ] {
        let stored = put(world, &manual(test), packages::sound(test)).await;
        let (ledger, key) = (
            world.ledger(),
            ClaimKey::new("start-run", token_of(world, &stored)),
        );
        let of_upload = format!("{} {}", stored.size, stored.etag);
        let content = content.unwrap_or(&of_upload);
        // Longer in progress than the row is kept: only its expiry frees it.
        let held_for = MONTH;
        let won = ledger
            .claim(&key, "last month", long_ago, held_for, MONTH, content)
            .await
            .unwrap();
        let ClaimOutcome::Won(won) = won else {
            panic!("{won:?}")
        };
        if done {
            ledger
                .complete(won, r#"{"done":"started","execution":"last month's"}"#, long_ago)
                .await
                .unwrap();
        }
        let there = row(world, &stored).await;
        let expires: i64 = there["expires_at"]["N"].as_str().unwrap().parse().unwrap();
        assert!(
            expires < now.as_second(),
            "DynamoDB has not deleted it yet: {there}"
        );
        let answer = world.invoke("start-run", &stored.event(world, "A1")).await;
        assert_eq!(answer.done(), "started", "{test}");
        runs::exactly(world, 1, &stored.version).await;
        assert!(
            matches!(claim(world, &stored, now).await, ClaimOutcome::Done(_)),
            "{test}"
        );
    }
}

pub(crate) async fn h14_without_the_ledger_the_effect_is_withheld(world: &World) {
    let start = Start::prepare(world, "h14", BRIEF).await;
    let never = start.fails("codepipeline", "StartPipelineExecution", Fault::Reset, |rule| {
        rule
    });
    for (what, kind, words) in [
        (
            Fault::error("InternalServerError", 500),
            "Retryable",
            "the ledger is unavailable",
        ),
        (Fault::Reset, "Retryable", "DynamoDB could not be reached"),
        (Fault::Malformed, "Retryable", "an answer that cannot be read"),
        (
            Fault::error("ThrottlingException", 400),
            "Retryable",
            "ThrottlingException",
        ),
        (
            Fault::error("AccessDeniedException", 400),
            "NonRetryable",
            "check LEDGER_TABLE",
        ),
        (
            Fault::error("ResourceNotFoundException", 400),
            "NonRetryable",
            "check LEDGER_TABLE",
        ),
    ] {
        let rule = Rule::every("dynamodb", what.clone()).by(&start.function);
        let down = world.running.cloud.faults().inject(rule);
        let answer = start.arrives().await;
        assert_eq!(answer.error_type(), kind, "{what:?}");
        assert!(answer.text().contains(words), "{what:?}: {answer:?}");
        assert!(down.hits() > 0);
    }
    // Down between the claim and its completion: the run is started, and the next event finds it.
    assert_eq!(never.hits(), 0, "no run without the ledger");
    drop(never);
    let rule = Rule::new("dynamodb", "PutItem", Fault::error("InternalServerError", 500));
    let rule = rule.by(&start.function).containing("\\\"result\\\":");
    let down = world.running.cloud.faults().inject(rule);
    assert_eq!(start.arrives().await.error_type(), "Retryable");
    assert!(down.hits() > 0);
    drop(down);
    let run = world.run_of(&start.stored.version).await;
    assert_eq!(start.started_at_last().await, run);
    start.runs(1).await;

    // Nor is anybody told anything.
    let tracker = twin(world, "track-run", 20).await;
    let run = uuid::Uuid::new_v4().to_string();
    let event = pipeline_event(world, &run, "Pipeline", "SUCCEEDED");
    let rule = Rule::every("dynamodb", Fault::error("InternalServerError", 500)).by(&tracker);
    let down = world.running.cloud.faults().inject(rule);
    let answer = world.invoke_named(&tracker, &event).await;
    assert_eq!(answer.error_type(), "Retryable");
    let told = || world.mails(|mail| mail.to == TEAM && mail.text.contains(&run));
    assert_eq!(told(), 0);
    drop(down);
    assert!(!world.invoke_named(&tracker, &event).await.failed);
    until("the notice", async || (told() == 1).then_some(())).await;
}
