//! Carries out what was decided: the ledger's record first, then one message for each approver.

use aws_sdk_sns::types::MessageAttributeValue;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use signalbox_bootstrap::{Invocation, aws_failure};
use signalbox_decision::approval::message::Message;
use signalbox_decision::approval::request::Letter;
use signalbox_decision::approval::{ApprovalAction, Record};
use signalbox_decision::claim::digest;
use signalbox_decision::names::Approver;
use signalbox_ledger::{ApprovalKey, Claim, ClaimKey, ClaimOutcome};
use tracing::info;

use crate::app::App;
use crate::error::Error;

/// Past an invocation's own end nobody is sending any more.
const CLAIM_MARGIN: SignedDuration = SignedDuration::from_secs(5);

/// How long a delivery of the same event at the same time is waited for: one message's time.
const PATIENCE: SignedDuration = SignedDuration::from_secs(2);

/// The record outlives the approval, so that late links are still told the truth.
const KEEP_AFTER_END: SignedDuration = SignedDuration::from_hours(90 * 24);

/// In the place of an address, where no approver is configured.
const EVERYBODY: &str = "everybody";

/// Writes the record of the asking, unless it is there already.
pub(crate) async fn open(app: &App, record: &Record, now: Timestamp) -> Result<(), Error> {
    let key = ApprovalKey::new(&record.approval, record.token_hash);
    app.ledger
        .open_approval(&key, &json!(record), now, until(record))
        .await?;
    Ok(())
}

pub(crate) fn until(record: &Record) -> Timestamp {
    record
        .expires
        .saturating_add(KEEP_AFTER_END)
        .unwrap_or(Timestamp::MAX)
}

/// Sends one approver's letter, once; `false` if it had been sent.
pub(crate) async fn ask(
    app: &App,
    record: &Record,
    letter: &Letter,
    invocation: &Invocation,
) -> Result<bool, Error> {
    let Some(claim) = claim(app, record, letter.approver.as_str(), invocation).await? else {
        return Ok(false);
    };
    let message = send(
        app,
        claim,
        &letter.message,
        Some(&letter.approver),
        invocation.now,
    )
    .await?;
    info!(approver = %letter.approver, execution = %record.approval.execution, message, "asked");
    Ok(true)
}

/// Tells everybody who listens that nobody can be asked, once; `false` if they were told.
pub(crate) async fn tell(
    app: &App,
    record: &Record,
    notice: &Message,
    invocation: &Invocation,
) -> Result<bool, Error> {
    let Some(claim) = claim(app, record, EVERYBODY, invocation).await? else {
        return Ok(false);
    };
    send(app, claim, notice, None, invocation.now).await?;
    Ok(true)
}

/// The right to send one message; `None` if it was sent.
pub(crate) async fn claim(
    app: &App,
    record: &Record,
    to: &str,
    invocation: &Invocation,
) -> Result<Option<Claim>, Error> {
    let ApprovalAction {
        pipeline,
        execution,
        stage,
        action,
    } = &record.approval;
    let token = record.token_hash.to_string();
    let name = digest(&[
        pipeline.as_str(),
        execution.as_str(),
        stage.as_str(),
        action.as_str(),
        &token,
        to,
    ]);
    let content = digest(&[to, &record.expires.to_string()]);
    let outcome = app
        .ledger
        .claim_patiently(
            &ClaimKey::new("request-approval", &name),
            &invocation.request_id,
            invocation.now,
            invocation.deadline.duration_since(invocation.now) + CLAIM_MARGIN,
            until(record).duration_since(invocation.now),
            &content,
            PATIENCE,
        )
        .await?;
    match outcome {
        ClaimOutcome::Won(claim) => Ok(Some(claim)),
        ClaimOutcome::Done(_) => Ok(None),
        ClaimOutcome::InProgress { .. } => Err(Error::Busy(to.to_owned())),
        ClaimOutcome::Conflict => Err(Error::Conflict(to.to_owned())),
    }
}

/// Sends one message and records that it was sent. Where SNS plainly refused it, the claim is given back,
/// so that the next attempt need not wait; where nobody knows, the claim's own deadline decides.
async fn send(
    app: &App,
    claim: Claim,
    message: &Message,
    to: Option<&Approver>,
    now: Timestamp,
) -> Result<String, Error> {
    match publish(app, &claim, message, to).await {
        Ok(id) => {
            app.ledger.complete(claim, &id, now).await?;
            Ok(id)
        }
        Err(error) => {
            if error.is_refusal() {
                app.ledger.release(claim, now).await?;
            }
            Err(error)
        }
    }
}

/// Publishes one message: with the attribute `approver` only that person's subscription passes it on,
/// without it only subscriptions that filter nothing.
async fn publish(
    app: &App,
    _claim: &Claim,
    message: &Message,
    to: Option<&Approver>,
) -> Result<String, Error> {
    let mut publish = app
        .topics
        .publish()
        .topic_arn(&app.config.topic)
        .subject(&message.subject)
        .message(&message.body);
    if let Some(approver) = to {
        let attribute = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(approver.as_str())
            .build();
        let attribute = attribute.map_err(|error| Error::Message(error.to_string()))?;
        publish = publish.message_attributes("approver", attribute);
    }
    let sent = publish.send().await.map_err(|error| Error::Aws {
        call: "Publish",
        failure: aws_failure(&error),
    })?;
    Ok(sent.message_id.unwrap_or_default())
}
