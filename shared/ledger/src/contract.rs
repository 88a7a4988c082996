//! What every backend holds. Tests run it against the twin in memory and against DynamoDB (or what stands
//! in for it); it panics on nothing, and answers with the first rule that is broken.

use std::fmt::Debug;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use signalbox_decision::approval::{ApprovalAction, Token};
use signalbox_decision::names::{
    ActionName, BucketName, ExecutionId, InvalidName, ObjectKey, PipelineName, StageName,
};
use signalbox_decision::start::{InvalidSequencer, Sequencer};
use signalbox_decision::timeline::{Progress, State, Subject, Timeline};
use tokio::task::JoinSet;

use crate::table::{Put, RowKey, row};
use crate::{
    Advance, ApprovalKey, Claim, ClaimKey, ClaimOutcome, ClaimStanding, DecisionOutcome, Ledger, LedgerError,
    Saved, StoredTimeline, VoteOutcome,
};

type Held = Result<(), Broken>;

/// The rule that is broken, or why it could not be tried.
struct Broken(String);

impl From<LedgerError> for Broken {
    fn from(error: LedgerError) -> Self {
        Self(error.to_string())
    }
}

impl From<InvalidName> for Broken {
    fn from(error: InvalidName) -> Self {
        Self(error.to_string())
    }
}

impl From<InvalidSequencer> for Broken {
    fn from(error: InvalidSequencer) -> Self {
        Self(error.to_string())
    }
}

impl From<jiff::Error> for Broken {
    fn from(error: jiff::Error) -> Self {
        Self(error.to_string())
    }
}

fn hold(rule: &str, holds: bool, found: &impl Debug) -> Held {
    if holds {
        Ok(())
    } else {
        Err(Broken(format!("{rule}; found {found:?}")))
    }
}

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Tries every rule. Rows are named anew for each call, so that one table serves many.
///
/// # Errors
/// The first rule that does not hold, and what was found instead.
pub async fn suite(ledger: &Ledger) -> Result<(), String> {
    // Distinct for each call on one table, and repeatable within it.
    let run = Timestamp::now().as_nanosecond().unsigned_abs().to_string();
    let now = start().map_err(|Broken(rule)| rule)?;
    let tried = async {
        claims(ledger, &run, now).await?;
        crashes(ledger, &run, now).await?;
        releases(ledger, &run, now).await?;
        races(ledger, &run, now).await?;
        sequencers(ledger, &run, now).await?;
        timelines(ledger, &run, now).await?;
        approvals(ledger, &run, now).await?;
        rollbacks(ledger, &run).await?;
        values(ledger, &run, now).await?;
        deferrals(ledger, &run, now).await?;
        lost_answers(ledger, &run, now).await
    };
    tried.await.map_err(|Broken(rule)| rule)
}

fn start() -> Result<Timestamp, Broken> {
    // Far enough ahead that a table with a working TTL does not sweep the suite's own rows away.
    Ok(Timestamp::from_second(1_900_000_000)?)
}

async fn claim(
    ledger: &Ledger,
    key: &ClaimKey,
    payload: &str,
    now: Timestamp,
) -> Result<ClaimOutcome, LedgerError> {
    ledger
        .claim(key, "request-1", now, MINUTE, DAY * 30, payload)
        .await
}

async fn won(ledger: &Ledger, key: &ClaimKey, now: Timestamp) -> Result<Claim, Broken> {
    match claim(ledger, key, "payload", now).await? {
        ClaimOutcome::Won(claim) => Ok(claim),
        other => Err(Broken(format!("the claim is free; found {other:?}"))),
    }
}

async fn claims(ledger: &Ledger, run: &str, now: Timestamp) -> Held {
    let key = ClaimKey::new("contract", format!("{run}/claims"));
    let looked = ledger.look_at_claim(&key, now).await?;
    hold("to look at a free claim finds nothing", looked.is_none(), &looked)?;
    let held = won(ledger, &key, now).await?;
    let looked = ledger.look_at_claim(&key, now).await?;
    let is_seen = looked == Some(ClaimStanding::InProgress);
    hold("to look at a held claim takes nothing", is_seen, &looked)?;
    let again = claim(ledger, &key, "payload", now + SignedDuration::from_secs(59)).await?;
    let is_held = matches!(again, ClaimOutcome::InProgress { until } if until == now + MINUTE);
    hold("a held claim is in progress until its deadline", is_held, &again)?;
    let other = claim(ledger, &key, "another payload", now).await?;
    hold(
        "the same key with another payload is a conflict",
        matches!(other, ClaimOutcome::Conflict),
        &other,
    )?;
    ledger.complete(held, "the result", now).await?;
    let looked = ledger.look_at_claim(&key, now).await?;
    let is_seen = looked == Some(ClaimStanding::Done("the result".to_owned()));
    hold("to look at a completed claim finds its result", is_seen, &looked)?;
    for later in [SignedDuration::ZERO, DAY * 2, DAY * 29] {
        let done = claim(ledger, &key, "payload", now + later).await?;
        let is_done = matches!(&done, ClaimOutcome::Done(result) if result == "the result");
        hold(
            "a completed claim answers its result, days later too",
            is_done,
            &done,
        )?;
    }
    let conflict = claim(ledger, &key, "another payload", now + DAY).await?;
    hold(
        "a completed claim refuses another payload",
        matches!(conflict, ClaimOutcome::Conflict),
        &conflict,
    )?;
    let expired = claim(ledger, &key, "another payload", now + DAY * 30).await?;
    hold(
        "a row past its expiry counts as absent",
        matches!(expired, ClaimOutcome::Won(_)),
        &expired,
    )?;
    let long = ClaimKey::new("contract", format!("{run}/{}", "x".repeat(5000)));
    won(ledger, &long, now).await.map(drop)
}

async fn crashes(ledger: &Ledger, run: &str, now: Timestamp) -> Held {
    let key = ClaimKey::new("contract", format!("{run}/crashes"));
    let crashed = won(ledger, &key, now).await?;
    let second = won(ledger, &key, now + MINUTE).await?;
    let third = claim(ledger, &key, "payload", now + MINUTE).await?;
    hold(
        "a claim that was taken over is held again",
        matches!(third, ClaimOutcome::InProgress { .. }),
        &third,
    )?;
    // Not crashed after all, only slow: the effect was performed, and that is what counts.
    ledger.complete(crashed, "slow", now + MINUTE).await?;
    ledger.complete(second, "fast", now + MINUTE).await?;
    let done = claim(ledger, &key, "payload", now + MINUTE).await?;
    hold(
        "the first completion stands",
        matches!(&done, ClaimOutcome::Done(result) if result == "slow"),
        &done,
    )?;

    let timed_out = ClaimKey::new("contract", format!("{run}/timed-out"));
    let none_left = ledger
        .claim(&timed_out, "r", now, SignedDuration::ZERO, DAY, "payload")
        .await?;
    hold(
        "a claim can be had with no time left",
        matches!(none_left, ClaimOutcome::Won(_)),
        &none_left,
    )?;
    won(ledger, &timed_out, now + SignedDuration::from_secs(1))
        .await
        .map(drop)
}

async fn releases(ledger: &Ledger, run: &str, now: Timestamp) -> Held {
    let key = ClaimKey::new("contract", format!("{run}/releases"));
    let given_back = won(ledger, &key, now).await?;
    ledger.release(given_back, now).await?;
    let first = won(ledger, &key, now).await?;
    let overdue = now + MINUTE;
    let second = won(ledger, &key, overdue).await?;
    ledger.release(first, overdue).await?;
    let third = claim(ledger, &key, "payload", overdue).await?;
    hold(
        "only its holder gives a claim back",
        matches!(third, ClaimOutcome::InProgress { .. }),
        &third,
    )?;
    ledger.complete(second, "done", overdue).await?;
    Ok(())
}

async fn races(ledger: &Ledger, run: &str, now: Timestamp) -> Held {
    let mut claimants = JoinSet::new();
    for n in 0..8 {
        let (ledger, key) = (ledger.clone(), ClaimKey::new("contract", format!("{run}/races")));
        claimants.spawn(async move {
            ledger
                .claim(&key, &format!("r{n}"), now, MINUTE, DAY, "payload")
                .await
        });
    }
    let mut winners = 0;
    while let Some(outcome) = claimants.join_next().await {
        let outcome = outcome.map_err(|error| Broken(error.to_string()))??;
        winners += usize::from(matches!(outcome, ClaimOutcome::Won(_)));
    }
    hold("of claimants at once exactly one wins", winners == 1, &winners)?;

    let mut writers = JoinSet::new();
    for _ in 0..5 {
        let (ledger, kind) = (ledger.clone(), format!("{run}-races"));
        writers.spawn(async move { ledger.count(&kind, now).await });
    }
    while let Some(count) = writers.join_next().await {
        count.map_err(|error| Broken(error.to_string()))??;
    }
    let counted = ledger.counted(&format!("{run}-races"), now).await?;
    hold("of writers at once none is lost", counted == 5, &counted)?;

    let mut writers = JoinSet::new();
    for n in 0..5 {
        let (ledger, kind) = (ledger.clone(), format!("{run}-races"));
        writers.spawn(async move {
            let add = |found: Option<Value>| {
                let mut all = found
                    .and_then(|found| found.as_array().cloned())
                    .unwrap_or_default();
                all.push(json!(n));
                Value::Array(all)
            };
            ledger.change_value(&kind, "all", add, now, None).await
        });
    }
    while let Some(added) = writers.join_next().await {
        added.map_err(|error| Broken(error.to_string()))??;
    }
    let all = ledger.get_value(&format!("{run}-races"), "all", now).await?;
    let count = all.as_ref().and_then(Value::as_array).map_or(0, Vec::len);
    hold("of changes at once none is lost", count == 5, &all)
}

async fn sequencers(ledger: &Ledger, run: &str, now: Timestamp) -> Held {
    let bucket = BucketName::new("contract")?;
    let key = ObjectKey::new(format!("source/{run}/a+b c \u{1f680}\0.zip"))?;
    let advance = async |text: &str| -> Result<Advance, Broken> {
        Ok(ledger
            .advance_sequencer(&bucket, &key, &Sequencer::new(text)?, "v", now)
            .await?)
    };
    let newest = ledger.newest_sequencer(&bucket, &key, now).await?;
    hold("an unseen key has no sequencer", newest.is_none(), &newest)?;
    for (text, expected) in [
        ("0A", Advance::Newest),
        ("0a00", Advance::Same),
        ("0A01", Advance::Newest),
    ] {
        let advanced = advance(text).await?;
        hold(
            "a sequencer goes up, compared as padded hexadecimal",
            advanced == expected,
            &(text, &advanced),
        )?;
    }
    let older = advance("0A00F").await?;
    let newest = Sequencer::new("0A01")?;
    hold(
        "an older upload is told the newest",
        older
            == Advance::Older {
                newest: newest.clone(),
            },
        &older,
    )?;
    let found = ledger.newest_sequencer(&bucket, &key, now).await?;
    hold("an older upload changes nothing", found == Some(newest), &found)
}

async fn timelines(ledger: &Ledger, run: &str, now: Timestamp) -> Held {
    let digits: String = run.chars().take(30).collect();
    let subject = Subject::Run {
        pipeline: PipelineName::new("contract")?,
        execution: ExecutionId::new(digits)?,
    };
    let empty = ledger.load_timeline(&subject).await?;
    hold(
        "an unsaved timeline is empty",
        empty == StoredTimeline::default(),
        &empty,
    )?;
    let mut timeline = Timeline::default();
    timeline
        .run
        .insert(1, Progress::seen(State::Succeeded, Some(now)));
    timeline.told.insert("notice/\u{1f680}\0".to_owned());
    let saved = ledger
        .save_timeline(&subject, &timeline, empty.version, now)
        .await?;
    hold("the first save succeeds", saved == Saved::Saved(1), &saved)?;
    let stale = ledger
        .save_timeline(&subject, &Timeline::default(), empty.version, now)
        .await?;
    hold(
        "a save from before another's is stale",
        stale == Saved::Stale,
        &stale,
    )?;
    let loaded = ledger.load_timeline(&subject).await?;
    hold(
        "what was saved is loaded",
        loaded.timeline == timeline && loaded.version == Some(1),
        &loaded,
    )?;
    let saved = ledger
        .save_timeline(&subject, &timeline, loaded.version, now)
        .await?;
    hold(
        "a save from the latest succeeds",
        saved == Saved::Saved(2),
        &saved,
    )?;
    let build = ledger
        .load_timeline(&Subject::Build {
            id: format!("p:{run}"),
        })
        .await?;
    hold(
        "another subject has another timeline",
        build.version.is_none(),
        &build,
    )
}

async fn approvals(ledger: &Ledger, run: &str, now: Timestamp) -> Held {
    let approval = ApprovalAction {
        pipeline: PipelineName::new("contract")?,
        execution: ExecutionId::new(run.chars().take(30).collect::<String>())?,
        stage: StageName::new("Approval")?,
        action: ActionName::new("ManualApproval")?,
    };
    let key = ApprovalKey::new(&approval, Token::new(format!("{run}-1")).hash());
    let expires = now + DAY;
    let record = json!({"asked": ["ann@example.com"]});
    let unopened = ledger.load_approval(&key).await?;
    hold("an unopened approval is not there", unopened.is_none(), &unopened)?;
    let opened = ledger.open_approval(&key, &record, now, expires).await?;
    let again = ledger
        .open_approval(&key, &json!({"asked": []}), now, expires)
        .await?;
    hold("an approval is opened once", opened && !again, &(opened, again))?;
    for n in 0..3 {
        ledger.record_attempt(&key, json!({"by": n}), now).await?;
    }
    let votes = [
        json!({"person": "ann@example.com"}),
        json!({"person": "ben@example.com"}),
    ];
    for vote in [&votes[0], &json!({"person": "ANN@example.com"}), &votes[1]] {
        let outcome = ledger.record_vote(&key, vote.clone(), now).await?;
        hold(
            "a vote counts",
            matches!(outcome, VoteOutcome::Counted(_)),
            &outcome,
        )?;
    }
    let nobody = ledger.record_vote(&key, json!({}), now).await;
    hold("a vote without a person does not", nobody.is_err(), &nobody)?;
    let first = ledger.record_decision(&key, json!("approved"), now).await?;
    hold(
        "the first decision is recorded",
        first == DecisionOutcome::Recorded,
        &first,
    )?;
    let second = ledger.record_decision(&key, json!("rejected"), now).await?;
    let stands = second == DecisionOutcome::AlreadyDecided(json!("approved"));
    hold("a second decision is told the first", stands, &second)?;
    let late = ledger
        .record_vote(&key, json!({"person": "cat@example.com"}), now)
        .await?;
    let is_late = late == VoteOutcome::AlreadyDecided(json!("approved"));
    hold("a vote after the decision is told it", is_late, &late)?;
    let stored = ledger.load_approval(&key).await?;
    let is_whole = stored.as_ref().is_some_and(|stored| {
        stored.record == record
            && stored.decision == Some(json!("approved"))
            && stored.votes == votes
            && stored.attempts == [json!({"by": 0}), json!({"by": 1}), json!({"by": 2})]
    });
    hold(
        "record, attempts in order, and decision are kept",
        is_whole,
        &stored,
    )?;
    let retried = ApprovalKey::new(&approval, Token::new(format!("{run}-2")).hash());
    let reopened = ledger.open_approval(&retried, &record, now, expires).await?;
    hold("a retried stage asks anew", reopened, &reopened)?;
    let too_large = ledger.record_attempt(&key, json!("x".repeat(2000)), now).await;
    hold(
        "an oversized attempt is refused",
        matches!(too_large, Err(LedgerError::TooLarge { .. })),
        &too_large,
    )?;

    let unknown = ApprovalKey::new(&approval, Token::new(format!("{run}-3")).hash());
    ledger
        .record_attempt(&unknown, json!({"by": "nobody"}), now)
        .await?;
    let opened = ledger.open_approval(&unknown, &record, now, expires).await?;
    let stored = ledger.load_approval(&unknown).await?;
    let kept = stored.as_ref().is_some_and(|stored| stored.attempts.len() == 1);
    hold("an attempt before the opening is kept", opened && kept, &stored)?;

    let pipeline = PipelineName::new(format!("contract-{}", run.chars().take(30).collect::<String>()))?;
    for n in 0..2 {
        ledger.record_stranger(&pipeline, json!({"n": n}), now).await?;
    }
    let strangers = ledger.strangers(&pipeline, now).await?;
    hold(
        "strangers are kept by the day",
        strangers.attempts.len() == 2,
        &strangers,
    )?;
    let tomorrow = ledger.strangers(&pipeline, now + DAY).await?;
    hold("another day has its own", tomorrow.attempts.is_empty(), &tomorrow)
}

async fn rollbacks(ledger: &Ledger, run: &str) -> Held {
    let deployment = format!("d-{run}");
    let none = ledger.load_rollback(&deployment).await?;
    hold("a deployment without rollback has none", none.is_none(), &none)?;
    for action in ["stopped", "redeployed"] {
        ledger
            .record_rollback(&deployment, json!({"action": action}))
            .await?;
        let found = ledger.load_rollback(&deployment).await?;
        hold(
            "the latest record of a rollback is kept",
            found == Some(json!({"action": action})),
            &found,
        )?;
    }
    Ok(())
}

async fn values(ledger: &Ledger, run: &str, now: Timestamp) -> Held {
    let kind = format!("{run}-values");
    ledger
        .put_value(&kind, "a", &json!([1]), now, Some(now + MINUTE))
        .await?;
    ledger
        .put_value(&kind, "a", &json!([2]), now, Some(now + MINUTE))
        .await?;
    let there = ledger.get_value(&kind, "a", now).await?;
    hold("the latest value is kept", there == Some(json!([2])), &there)?;
    let expired = ledger.get_value(&kind, "a", now + MINUTE).await?;
    hold("an expired value is not there", expired.is_none(), &expired)?;
    for expected in [1, 2] {
        let count = ledger.count(&kind, now).await?;
        hold("a count goes up by one", count == expected, &count)?;
    }
    let next_day = ledger.count(&kind, now + DAY).await?;
    hold("each day counts for itself", next_day == 1, &next_day)
}

async fn deferrals(ledger: &Ledger, run: &str, now: Timestamp) -> Held {
    let none = ledger.deferred(run, now).await?;
    hold("nothing is put off by itself", none.is_empty(), &none)?;
    ledger.defer(run, "b", &json!({"upload": 2}), now).await?;
    ledger.defer(run, "a", &json!({"upload": 1}), now).await?;
    let mut waiting = ledger.deferred(run, now + DAY * 365).await?;
    let events: Vec<_> = waiting.iter().map(|deferred| deferred.event.clone()).collect();
    hold(
        "what is put off waits without an end",
        events == [json!({"upload": 1}), json!({"upload": 2})],
        &events,
    )?;
    // Handed over, one is put off again before that is noted; the other is not.
    ledger.defer(run, "a", &json!({"upload": 1}), now).await?;
    for (expected, rule) in [
        (true, "what was handed over waits no more"),
        (false, "what was put off anew waits on"),
    ] {
        let Some(deferred) = waiting.pop() else {
            return Err(Broken("two events were put off".to_owned()));
        };
        let ended = ledger.resumed(deferred, now).await?;
        hold(rule, ended == expected, &ended)?;
    }
    let left = ledger.deferred(run, now).await?;
    let events: Vec<_> = left.iter().map(|deferred| deferred.event.clone()).collect();
    hold("only that one is left", events == [json!({"upload": 1})], &events)?;
    ledger.defer(run, "b", &json!({"upload": 2}), now).await?;
    let again = ledger.deferred(run, now).await?;
    hold(
        "what was handed over can be put off again",
        again.len() == 2,
        &again,
    )
}

/// The SDK sends a write again when its answer is lost; the second then finds the first in its way.
async fn lost_answers(ledger: &Ledger, run: &str, now: Timestamp) -> Held {
    let key = RowKey::new(format!("VALUE#{run}"), "lost");
    let written = row(&key, 1, Some(now + DAY), &json!("mine"))?;
    for expected in ["the first", "the repeated"] {
        let put = ledger.table.put(&key, written.clone(), None).await?;
        hold(
            &format!("{expected} write is known as ours"),
            matches!(put, Put::Written),
            &put,
        )?;
    }
    let other = row(&key, 1, Some(now + DAY), &json!("theirs"))?;
    let put = ledger.table.put(&key, other, None).await?;
    hold("another's write is not", matches!(put, Put::Changed(_)), &put)
}
