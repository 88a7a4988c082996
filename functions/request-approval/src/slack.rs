//! The request in Slack: posted once, in the run's thread, and edited once the action has ended.
//!
//! What was posted stands in the ledger under two names: `slack-thread` / `<pipeline>#<execution>` is the
//! run's first message, whose thread takes the later ones; [`Asked`] is the message of the last asking.

use jiff::Timestamp;
use serde_json::json;
use signalbox_bootstrap::Invocation;
use signalbox_decision::approval::policy::{Policy, SlackPlace};
use signalbox_decision::approval::quorum::Tally;
use signalbox_decision::approval::slack::{self, Ended, Open};
use signalbox_decision::approval::standing::Standing;
use signalbox_decision::approval::{ApprovalAction, Decision, Record, keys::Keys};
use signalbox_ledger::ApprovalKey;
use signalbox_slack::{Asked, Posted, Slack};
use tracing::info;

use crate::app::App;
use crate::effects::{claim, until};
use crate::error::Error;
use crate::gather::standing;

const THREAD: &str = "slack-thread";

fn run(approval: &ApprovalAction) -> String {
    format!("{}#{}", approval.pipeline, approval.execution)
}

/// Posts the request, once; `false` if it had been posted.
pub(crate) async fn post(
    app: &App,
    to: (&Slack, &SlackPlace, &Policy),
    record: &Record,
    keys: &Keys,
    invocation: &Invocation,
) -> Result<bool, Error> {
    let Some(claim) = claim(app, record, &format!("slack {}", to.1.channel), invocation).await? else {
        return Ok(false);
    };
    match send(app, to, record, keys, invocation.now).await {
        Ok(posted) => {
            app.ledger.complete(claim, &posted.ts, invocation.now).await?;
            info!(channel = posted.channel, execution = %record.approval.execution, "asked in Slack");
            Ok(true)
        }
        Err(error) => {
            if error.is_refusal() {
                app.ledger.release(claim, invocation.now).await?;
            }
            Err(error)
        }
    }
}

async fn send(
    app: &App,
    (slack, place, policy): (&Slack, &SlackPlace, &Policy),
    record: &Record,
    keys: &Keys,
    now: Timestamp,
) -> Result<Posted, Error> {
    let approval = &record.approval;
    let value =
        slack::button(record, keys).ok_or_else(|| Error::Message("a button has no value".to_owned()))?;
    let thread = app.ledger.get_value(THREAD, &run(approval), now).await?;
    let thread: Option<Posted> = thread.and_then(|value| serde_json::from_value(value).ok());
    let thread = thread.filter(|thread| thread.channel == place.channel);
    let parent = thread.as_ref().map(|thread| thread.ts.as_str());
    let open = Open {
        tally: &Tally::of(&[], policy, record),
        newer: &record.evidence.newer_waiting,
    };
    let posted = slack
        .post(&place.channel, parent, &slack::ask(record, &value, open, now))
        .await?;
    let expires = Some(until(record));
    let asked = Asked {
        posted: posted.clone(),
        token_hash: record.token_hash,
    };
    app.ledger
        .put_value(Asked::KIND, &Asked::name(approval), &json!(asked), now, expires)
        .await?;
    if thread.is_none() {
        app.ledger
            .put_value(THREAD, &run(approval), &json!(posted), now, expires)
            .await?;
    }
    Ok(posted)
}

/// The action has ended: the message says how, and by whom. Where nothing was posted, or it still waits
/// (the event was of an earlier asking), nothing happens; the inner error says why.
pub(crate) async fn close(
    app: &App,
    approval: &ApprovalAction,
    now: Timestamp,
) -> Result<Result<(), &'static str>, Error> {
    let Some(slack) = &app.slack else {
        return Ok(Err("an end, and Slack is off"));
    };
    let asked = app
        .ledger
        .get_value(Asked::KIND, &Asked::name(approval), now)
        .await?;
    let Some(asked) = asked else {
        return Ok(Err("an end, and nothing was posted in Slack"));
    };
    let malformed = |error: serde_json::Error| Error::Record(format!("{:?}", error.classify()));
    let asked: Asked = serde_json::from_value(asked).map_err(malformed)?;
    let key = ApprovalKey::new(approval, asked.token_hash);
    let Some(stored) = app.ledger.load_approval(&key).await? else {
        return Ok(Err("an end, and the ledger has no record of its asking"));
    };
    let record: Record = serde_json::from_value(stored.record).map_err(malformed)?;
    let known: Option<Decision> = stored
        .decision
        .map(serde_json::from_value)
        .transpose()
        .map_err(malformed)?;
    let ended = match known {
        Some(decision) => Ended::Decided(decision),
        None => match standing(app, approval).await? {
            Standing::Waiting { .. } | Standing::NotReady => return Ok(Err("an end of an earlier asking")),
            Standing::Lapsed => Ended::Expired,
            Standing::Gone(why) => Ended::Gone(why.to_string()),
            decided @ Standing::Decided { .. } => match decided.decision() {
                Some(decision) => Ended::Decided(decision),
                None => return Ok(Err("an end that CodePipeline does not show")),
            },
        },
    };
    slack
        .update(&asked.posted, &slack::ended(&record, &ended))
        .await?;
    info!(channel = asked.posted.channel, execution = %approval.execution, "the message in Slack says how it ended");
    Ok(Ok(()))
}
