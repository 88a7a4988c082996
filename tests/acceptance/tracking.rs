//! Hazards 6 to 8: a run's events come in another order, not at all, or for another attempt.

use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_decision::names::{ExecutionId, PipelineName};
use signalbox_decision::timeline::{State, Subject, Timeline};

use crate::packages;
use crate::runs;
use crate::source::{automatic, put};
use crate::world::{TEAM, World, until};

/// An event of CodePipeline's about the run, its stage `Approval` or that one's action.
pub(crate) fn pipeline_event(world: &World, run: &str, level: &str, state: &str) -> Value {
    event_at(world, run, level, state, Timestamp::now())
}

fn event_at(world: &World, run: &str, level: &str, state: &str, at: Timestamp) -> Value {
    let pipeline = &world.installed.pipeline;
    let mut detail = json!({
        "pipeline": pipeline, "execution-id": run, "start-time": at.to_string(), "state": state, "version": 1.0,
        "pipeline-execution-attempt": 1.0,
    });
    if level != "Pipeline" {
        detail["stage"] = json!("Approval");
    }
    if level == "Action" {
        detail["action"] = json!("Approve");
        detail["type"] =
            json!({ "owner": "AWS", "provider": "Manual", "category": "Approval", "version": "1" });
    }
    json!({
        "version": "0", "id": uuid::Uuid::new_v4().to_string(), "source": "aws.codepipeline", "account": "123456789012",
        "detail-type": format!("CodePipeline {level} Execution State Change"), "region": "us-east-1",
        "time": at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), "detail": detail,
        "resources": [format!("arn:aws:codepipeline:us-east-1:123456789012:{pipeline}")],
    })
}

/// What the ledger knows of the run.
async fn timeline(world: &World, run: &str) -> Timeline {
    let subject = Subject::Run {
        pipeline: PipelineName::new(&world.installed.pipeline).unwrap(),
        execution: ExecutionId::new(run).unwrap(),
    };
    world.ledger().load_timeline(&subject).await.unwrap().timeline
}

/// Waits until the ledger knows the run's attempt in that state.
async fn known(world: &World, run: &str, attempt: u32, state: &State) {
    until(
        &format!("attempt {attempt} of run {run} as {state} in the ledger"),
        async || {
            let timeline = timeline(world, run).await;
            timeline
                .run
                .get(&attempt)
                .filter(|progress| progress.state == *state)
                .map(drop)
        },
    )
    .await;
}

/// Waits until the ledger knows the first attempt of the stage in that state.
async fn known_stage(world: &World, run: &str, stage: &str, state: &State) {
    until(
        &format!("stage {stage} of run {run} as {state} in the ledger"),
        async || {
            let timeline = timeline(world, run).await;
            let attempt = timeline.stages.get(stage)?.get(&1)?;
            (attempt.state == *state).then_some(())
        },
    )
    .await;
}

/// The states of the run's attempts and of its stages' attempts.
fn states(timeline: &Timeline) -> Vec<(String, u32, State)> {
    let run = timeline
        .run
        .iter()
        .map(|(attempt, progress)| (String::new(), *attempt, progress.state.clone()));
    let stages = timeline.stages.iter().flat_map(|(stage, attempts)| {
        attempts
            .iter()
            .map(|(attempt, progress)| (stage.clone(), *attempt, progress.state.clone()))
    });
    run.chain(stages).collect()
}

/// The notices about the run whose subject begins so.
fn notices(world: &World, run: &str, subject: &str) -> usize {
    world.mails(|mail| mail.to == TEAM && mail.text.contains(run) && mail.subject.starts_with(subject))
}

async fn noticed(world: &World, run: &str, subject: &str, count: usize) {
    until(
        &format!("notice {count} \"{subject}\" of run {run}"),
        async || (notices(world, run, subject) >= count).then_some(()),
    )
    .await;
}

/// What track-run told, by what happened.
fn told(answer: &crate::world::Answer) -> Vec<String> {
    assert!(!answer.failed, "{answer:?}");
    let told = answer
        .payload
        .get("told")
        .and_then(Value::as_array)
        .unwrap_or_else(|| panic!("{answer:?}"));
    told.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

pub(crate) async fn h06_succeeded_before_started_keeps_the_final_state(world: &World) {
    // A run that AWS no longer knows: events are all there is, and they come the wrong way round.
    let run = uuid::Uuid::new_v4().to_string();
    let started = Timestamp::from_second(Timestamp::now().as_second() - 90).unwrap();
    let ended = Timestamp::from_second(started.as_second() + 80).unwrap();
    let last = world
        .invoke(
            "track-run",
            &event_at(world, &run, "Pipeline", "SUCCEEDED", ended),
        )
        .await;
    assert!(
        told(&last).contains(&"notice/run/1/Succeeded".to_owned()),
        "{last:?}"
    );
    let first = world
        .invoke(
            "track-run",
            &event_at(world, &run, "Pipeline", "STARTED", started),
        )
        .await;
    assert_eq!(
        first.payload.get("status"),
        Some(&json!("Succeeded")),
        "{first:?}"
    );
    assert_eq!(
        told(&first),
        Vec::<String>::new(),
        "nobody hears that it started after it has ended"
    );
    let progress = timeline(world, &run).await.run.remove(&1).unwrap();
    assert_eq!(progress.state, State::Succeeded);
    assert_eq!(
        (progress.started, progress.ended),
        (Some(started), Some(ended)),
        "both have added what they know"
    );
    assert_eq!(
        (
            notices(world, &run, "Run succeeded"),
            notices(world, &run, "Run started")
        ),
        (1, 0)
    );

    // A run of its own: all of its events again, latest first, after its end.
    let stored = put(world, &automatic("h06"), packages::sound("h06")).await;
    let run = world.run_of(&stored.version).await;
    runs::answer(world, &run, 1, "Approved").await;
    runs::ended(world, &run, "Succeeded").await;
    known(world, &run, 1, &State::Succeeded).await;
    known_stage(world, &run, "Source", &State::Succeeded).await;
    known_stage(world, &run, "Approval", &State::Succeeded).await;
    noticed(world, &run, "Run succeeded", 1).await;
    let before = timeline(world, &run).await;
    let about = |event: &Value| event.pointer("/detail/execution-id").and_then(Value::as_str) == Some(&run);
    let mut events: Vec<Value> = world
        .running
        .events
        .events_seen()
        .into_iter()
        .filter(about)
        .collect();
    // Two each of the run, both stages and both actions.
    assert_eq!(events.len(), 10, "{events:#?}");
    events.reverse();
    for event in &events {
        let answer = world.invoke("track-run", event).await;
        assert_eq!(
            answer.payload.get("status"),
            Some(&json!("Succeeded")),
            "{answer:?} to {event}"
        );
    }
    let after = timeline(world, &run).await;
    // Times may become more exact: events have whole seconds.
    assert_eq!(states(&after), states(&before));
    assert_eq!(
        notices(world, &run, "Run succeeded"),
        1,
        "one notice, however often the events come"
    );
    assert!(notices(world, &run, "Run started") <= 1);
}

pub(crate) async fn h07_a_lost_event_is_made_up_for_by_the_next(world: &World) {
    let stored = put(world, &automatic("h07"), packages::sound("h07")).await;
    let run = world.run_of(&stored.version).await;
    noticed(world, &run, "Approval waits", 1).await;
    runs::answer(world, &run, 1, "Rejected").await;
    known(world, &run, 1, &State::Failed).await;
    noticed(world, &run, "Run failed", 1).await;
    known_stage(world, &run, "Approval", &State::Failed).await;

    // From here on the run's events are lost: those of the retry, STARTED among them.
    world.lose_events_of(&run);
    runs::retry(world, &run).await;
    runs::asked(world, &run, 2).await;
    let unseen = timeline(world, &run).await;
    assert_eq!(
        unseen.run.keys().copied().collect::<Vec<_>>(),
        [1],
        "the second attempt is not known"
    );

    // One event of any kind says enough, since what AWS says is read anew.
    let next = world
        .invoke("track-run", &pipeline_event(world, &run, "Action", "STARTED"))
        .await;
    let told_then = told(&next);
    assert!(
        told_then.contains(&"notice/run/2/InProgress".to_owned()),
        "{next:?}"
    );
    let repaired = timeline(world, &run).await;
    assert_eq!(repaired.run.get(&1).map(|it| &it.state), Some(&State::Failed));
    assert_eq!(repaired.run.get(&2).map(|it| &it.state), Some(&State::InProgress));
    assert_eq!(
        repaired.stages["Approval"].get(&2).map(|it| &it.state),
        Some(&State::InProgress)
    );
    assert_eq!(
        notices(world, &run, "Approval waits"),
        2,
        "the second request is told of"
    );

    // The end is lost as well; even a late STARTED brings it to light.
    runs::answer(world, &run, 2, "Approved").await;
    runs::ended(world, &run, "Succeeded").await;
    assert_eq!(notices(world, &run, "Run succeeded"), 0);
    let late = world
        .invoke("track-run", &pipeline_event(world, &run, "Pipeline", "STARTED"))
        .await;
    assert_eq!(late.payload.get("status"), Some(&json!("Succeeded")), "{late:?}");
    assert_eq!(notices(world, &run, "Run succeeded"), 1);
}

pub(crate) async fn h08_a_retried_stage_has_a_new_notice(world: &World) {
    let stored = put(world, &automatic("h08"), packages::sound("h08")).await;
    let run = world.run_of(&stored.version).await;
    noticed(world, &run, "Approval waits", 1).await;
    runs::answer(world, &run, 1, "Rejected").await;
    runs::ended(world, &run, "Failed").await;
    noticed(world, &run, "Not approved", 1).await;
    noticed(world, &run, "Run failed", 1).await;

    runs::retry(world, &run).await;
    noticed(world, &run, "Approval waits", 2).await;
    noticed(world, &run, "Run goes on after a retry", 1).await;
    runs::answer(world, &run, 2, "Rejected").await;
    runs::ended(world, &run, "Failed").await;
    noticed(world, &run, "Not approved", 2).await;
    noticed(world, &run, "Run failed", 2).await;
    let second = |mail: &signalbox_local::inbox::Mail| {
        mail.to == TEAM
            && mail.text.contains(&run)
            && mail.subject.starts_with("Not approved")
            && mail.text.contains("Attempt: 2\n")
    };
    assert_eq!(
        world.mails(second),
        1,
        "the second notice says which attempt it is about"
    );

    // All of its events once more: what has been told of either attempt is not told again.
    let about = |event: &Value| event.pointer("/detail/execution-id").and_then(Value::as_str) == Some(&run);
    for event in world.running.events.events_seen().into_iter().filter(about) {
        assert_eq!(
            told(&world.invoke("track-run", &event).await),
            Vec::<String>::new(),
            "{event}"
        );
    }
    for (subject, count) in [
        ("Approval waits", 2),
        ("Not approved", 2),
        ("Run failed", 2),
        ("Run goes on after a retry", 1),
    ] {
        assert_eq!(notices(world, &run, subject), count, "notices \"{subject}\"");
    }
}
