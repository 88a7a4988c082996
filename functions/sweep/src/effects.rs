//! Tells people, once each, and hands to other functions what was lost for them.

use std::time::Duration;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use aws_sdk_sns::types::MessageAttributeValue;
use aws_smithy_types::timeout::TimeoutConfig;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use signalbox_bootstrap::{Invocation, aws_failure};
use signalbox_decision::approval::{ApprovalAction, TokenHash};
use signalbox_decision::claim::digest;
use signalbox_decision::names::FunctionName;
use signalbox_decision::sweep::{Kind, Telling, To};
use signalbox_decision::text::shown;
use signalbox_ledger::{Claim, ClaimKey, ClaimOutcome};
use tracing::info;

use crate::app::App;
use crate::error::Error;
use crate::synthesized;

/// Longer than any approval waits (60 days), so that nothing is told anew.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(100 * 24);
/// What the ledger stays behind about is handed over again no more often than that.
const HANDED_OVER: SignedDuration = SignedDuration::from_hours(1);
/// Past an invocation's own end nobody is sending any more.
const CLAIM_MARGIN: SignedDuration = SignedDuration::from_secs(5);
/// request-approval's own timeout, 30 s by the template, and the way there and back.
const REPAIR_TAKES: Duration = Duration::from_secs(32);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Values of this kind say that every message of an asking was sent.
const ASKED: &str = "sweep-asked";

/// The right to do something once; `None` if it was done, or another sweep is at it.
async fn claim(
    app: &App,
    key: &ClaimKey,
    keep_for: SignedDuration,
    payload: &str,
    invocation: &Invocation,
) -> Result<Option<Claim>, Error> {
    let held_for = invocation.deadline.duration_since(invocation.now) + CLAIM_MARGIN;
    let (owner, now) = (&invocation.request_id, invocation.now);
    let outcome = app
        .ledger
        .claim(key, owner, now, held_for, keep_for, payload)
        .await?;
    Ok(match outcome {
        ClaimOutcome::Won(claim) => Some(claim),
        // A conflict cannot be, since the name is the payload; and if it were, something was done.
        ClaimOutcome::Done(_) | ClaimOutcome::InProgress { .. } | ClaimOutcome::Conflict => None,
    })
}

/// Sends a message, once; `false` if it had been sent.
pub(crate) async fn tell(app: &App, telling: &Telling, invocation: &Invocation) -> Result<bool, Error> {
    let key = ClaimKey::new("sweep", &telling.name);
    let Some(claim) = claim(app, &key, REMEMBERED, &telling.name, invocation).await? else {
        return Ok(false);
    };
    match publish(app, telling, &claim).await {
        Ok(message) => {
            app.ledger.complete(claim, &message, invocation.now).await?;
            info!(kind = ?telling.kind, to = ?telling.to, message, "told");
            Ok(true)
        }
        Err(error) => {
            // AWS refused: the next sweep need not wait for the claim's end.
            if matches!(&error, Error::Aws { failure, .. } if failure.refused) {
                app.ledger.release(claim, invocation.now).await?;
            }
            Err(error)
        }
    }
}

/// One person's message goes to the topic of the approvals, where their subscription filters for them.
async fn publish(app: &App, telling: &Telling, _claim: &Claim) -> Result<String, Error> {
    let severity = match telling.kind {
        Kind::Expired => "error",
        _ => "action",
    };
    let (topic, attributes) = match &telling.to {
        To::Person(person) => (&app.config.approval_topic, vec![("approver", person.as_str())]),
        To::Team => (
            &app.config.notice_topic,
            vec![
                ("topic", telling.kind.topic()),
                ("severity", severity),
                ("notice", telling.name.as_str()),
            ],
        ),
    };
    let mut publish = app
        .topics
        .publish()
        .topic_arn(topic)
        .subject(&telling.message.subject)
        .message(&telling.message.body);
    for (name, value) in attributes {
        let attribute = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(value)
            .build();
        let attribute = attribute.map_err(|error| Error::Message(error.to_string()))?;
        publish = publish.message_attributes(name, attribute);
    }
    let sent = publish.send().await.map_err(|error| Error::Aws {
        call: "Publish",
        failure: aws_failure(&error),
    })?;
    Ok(sent.message_id.unwrap_or_default())
}

fn asking(approval: &ApprovalAction, token: TokenHash) -> String {
    let ApprovalAction {
        pipeline,
        execution,
        stage,
        action,
    } = approval;
    digest(&[
        pipeline.as_str(),
        execution.as_str(),
        stage.as_str(),
        action.as_str(),
        &token.to_string(),
    ])
}

/// Whether every message of an asking is known to have been sent.
pub(crate) async fn is_asked(
    app: &App,
    approval: &ApprovalAction,
    token: TokenHash,
    now: Timestamp,
) -> Result<bool, Error> {
    let known = app.ledger.get_value(ASKED, &asking(approval, token), now).await?;
    Ok(known.is_some())
}

/// Waits for a function instead of asking it a second time while it is at it. What is refused at once, such as for too
/// many calls, is tried again all the same.
fn patient() -> aws_sdk_lambda::config::Builder {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(REPAIR_TAKES)
        .operation_timeout(REPAIR_TAKES);
    aws_sdk_lambda::config::Builder::new().timeout_config(timeouts.build())
}

/// Has the approval asked for, and waits for the answer as long as the function may take: only then is it known that
/// all were asked. The function claims each message, so that whoever was asked is not asked again.
pub(crate) async fn repair(
    app: &App,
    approval: &ApprovalAction,
    token: TokenHash,
    invocation: &Invocation,
) -> Result<(), Error> {
    let function = &app.config.request_approval;
    let event = synthesized::approval_started(approval, &app.config.region, invocation.now);
    let answer = app
        .functions
        .invoke()
        .function_name(function.as_str())
        .payload(Blob::new(event.to_string()))
        .customize()
        .config_override(patient())
        .send()
        .await
        .map_err(|error| Error::Aws {
            call: "Invoke",
            failure: aws_failure(&error),
        })?;
    if answer.function_error().is_some() {
        let payload = answer
            .payload()
            .map(|payload| payload.as_ref())
            .unwrap_or_default();
        let error: Value = serde_json::from_slice(payload).unwrap_or_default();
        let why = error
            .get("errorMessage")
            .and_then(Value::as_str)
            .unwrap_or("it failed");
        return Err(Error::Repair(
            function.to_string(),
            approval.execution.to_string(),
            shown(why, 300),
        ));
    }
    let until = invocation.now.saturating_add(REMEMBERED).ok();
    let id = asking(approval, token);
    app.ledger
        .put_value(ASKED, &id, &json!(true), invocation.now, until)
        .await?;
    info!(execution = %approval.execution, "asked again");
    Ok(())
}

/// Hands something to the function whose event was lost; `false` if that was done under the same name within
/// the hour.
pub(crate) async fn hand_over(
    app: &App,
    kind: &str,
    name: &str,
    function: &FunctionName,
    event: &Value,
    invocation: &Invocation,
) -> Result<bool, Error> {
    let key = ClaimKey::new(kind, name);
    let Some(claim) = claim(app, &key, HANDED_OVER, name, invocation).await? else {
        return Ok(false);
    };
    send(app, function, event).await?;
    app.ledger.complete(claim, "handed over", invocation.now).await?;
    Ok(true)
}

/// Lets a function hear of an event, and does not wait for it.
pub(crate) async fn send(app: &App, function: &FunctionName, event: &Value) -> Result<(), Error> {
    let sent = app
        .functions
        .invoke()
        .function_name(function.as_str())
        .invocation_type(InvocationType::Event)
        .payload(Blob::new(event.to_string()))
        .send()
        .await;
    sent.map(drop).map_err(|error| Error::Aws {
        call: "Invoke",
        failure: aws_failure(&error),
    })
}
