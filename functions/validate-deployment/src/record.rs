//! What the ledger keeps of a question that was judged: the report with its numbers, and the verdict that stands.
//!
//! The report is written *before* whoever waits is told: what follows from the verdict (the deployment's last event, the
//! pipeline's next action) then finds it. It is written only where none of the same question is there, since that one
//! may be what AWS has taken. What the telling came to is written afterwards: where AWS took this report it is the one
//! that stands; where AWS had another one it is marked as too late, and no timeline takes it up. Of a try that died in
//! between the report says nothing of that, and is taken up once its deployment or action is over.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use signalbox_bootstrap::Invocation;
use signalbox_decision::validation::Report;
use signalbox_events::job::Asked;
use tracing::warn;

use crate::app::{App, Hook};
use crate::effects::Told;

/// How long a report is kept: as long as a run's timeline.
pub(crate) const KEPT: SignedDuration = SignedDuration::from_hours(400 * 24);

/// The ledger's kind of reports: by deployment and hook, or by job. The run's timeline takes them up by these names.
const REPORT: &str = "validation";
/// The ledger's kind of verdicts, by what was asked: a delivery that comes again finds it.
const VERDICT: &str = "validation-verdict";
/// The verdict has to be told in what is kept back of the function's time.
pub(crate) const TO_NOTE: Duration = Duration::from_secs(3);

/// The verdict that was reported to the same question before. Where the ledger cannot tell, the question is
/// judged again, and AWS keeps the first verdict.
pub(crate) async fn verdict_of(app: &App, asked: &Asked, invocation: &Invocation) -> Option<String> {
    let found = app
        .ledger
        .get_value(VERDICT, &question(asked), invocation.now)
        .await;
    match found {
        Ok(found) => found?.as_str().map(str::to_owned),
        Err(error) => {
            warn!(cause = %error, "it is not known whether this was judged before");
            None
        }
    }
}

/// What tells one question from another, whoever delivers it.
fn question(asked: &Asked) -> String {
    match asked {
        Asked::Hook {
            deployment,
            hook_execution,
        } => format!("{deployment}/{hook_execution}"),
        Asked::Job { id, .. } => id.clone(),
    }
}

/// Under which name a report is kept.
pub(crate) fn name(subject: &str, hook: Hook) -> String {
    format!("{subject}/{hook}")
}

/// A report on its way.
pub(crate) struct Record {
    name: String,
    value: Value,
    /// Whether it is in the ledger, and none was there before.
    is_first: bool,
}

/// Keeps the report, unless there is one of the same question. It is told whether it could be kept or not.
pub(crate) async fn keep(app: &App, asked: &Asked, report: &Report, invocation: &Invocation) -> Record {
    let (subject, hook) = match asked {
        Asked::Hook { deployment, .. } => (deployment.as_str(), app.config.hook),
        Asked::Job { id, .. } => (id.as_str(), Hook::Job),
    };
    let mut record = Record {
        name: name(subject, hook),
        value: json!({
            "hook": hook.to_string(), "at": invocation.now, "report": report,
            "request": invocation.request_id,
        }),
        is_first: false,
    };
    let mut is_first = false;
    let unless_there = |found: Option<Value>| {
        is_first = found.is_none();
        found.unwrap_or_else(|| record.value.clone())
    };
    let kept = change(app, &record.name, unless_there, invocation);
    match tokio::time::timeout(TO_NOTE, kept).await {
        Ok(true) => record.is_first = is_first,
        Ok(false) => {}
        Err(_) => warn!("the report could not be kept in time"),
    }
    record
}

/// Writes down what the telling came to: the report and the verdict that stand. A report that was told and cannot be
/// kept stands all the same.
pub(crate) async fn settle(
    app: &App,
    asked: &Asked,
    record: Record,
    report: &Report,
    told: Told,
    invocation: &Invocation,
) {
    let with_told = |mut value: Value| {
        value["told"] = json!(told);
        value
    };
    match told {
        // What an earlier try left was never taken.
        Told::Accepted => {
            change(app, &record.name, |_| with_told(record.value.clone()), invocation).await;
        }
        Told::TooLate if record.is_first => {
            let is_ours = |found: &Value| found.get("request") == record.value.get("request");
            let mark = |found: Option<Value>| match found {
                Some(anothers) if !is_ours(&anothers) => anothers,
                found => with_told(found.unwrap_or_else(|| record.value.clone())),
            };
            change(app, &record.name, mark, invocation).await;
        }
        Told::TooLate => {}
    }
    if told == Told::Accepted {
        let (question, verdict) = (question(asked), json!(report.verdict.to_string()));
        let expires = invocation.now.saturating_add(KEPT).ok();
        let kept = app
            .ledger
            .put_value(VERDICT, &question, &verdict, invocation.now, expires);
        if let Err(error) = kept.await {
            warn!(cause = %error, "the verdict could not be kept");
        }
    }
}

/// Changes a report's row; answers whether that could be done.
async fn change(
    app: &App,
    name: &str,
    change: impl FnMut(Option<Value>) -> Value,
    invocation: &Invocation,
) -> bool {
    let expires = invocation.now.saturating_add(KEPT).ok();
    let changed = app
        .ledger
        .change_value(REPORT, name, change, invocation.now, expires)
        .await;
    if let Err(error) = &changed {
        warn!(cause = %error, "the report could not be kept");
    }
    changed.is_ok()
}
