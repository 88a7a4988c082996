//! One alarm: parse, gather, decide, execute; for each deployment group that the alarm speaks for.

use serde::Serialize;
use serde_json::Value;
use signalbox_bootstrap::Invocation;
use signalbox_decision::names::AlarmName;
use signalbox_decision::rollback::command::Command;
use signalbox_decision::rollback::{self, Begun, Decision};
use signalbox_events::alarm::AlarmChange;
use tracing::{error, info};

use crate::app::App;
use crate::effects::{Effect, begun, execute};
use crate::error::Error;
use crate::facts::gather;
use crate::groups::{Linked, linked};
use crate::manual;

/// What was done, as Lambda's answer says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// The deployment was stopped.
    Stopped { deployment: String },
    /// A good version was deployed again.
    Redeployed { undone: String, deployment: String },
    /// Somebody else had acted already.
    Reported { deployment: String, reason: String },
    /// A person was asked to act.
    Paged { reason: String },
    /// Nothing was done.
    Ignored { reason: String },
    /// The alarm speaks for several deployment groups.
    Several { outcomes: Vec<Outcome> },
    /// A person's command was not carried out.
    Refused { reason: String },
    /// What a command would do without `dry_run`.
    Would { action: String },
    /// A stage's inbound transition is disabled.
    Frozen { stage: String },
    /// A stage's inbound transition is enabled.
    Unfrozen { stage: String },
    /// Code that is remembered as bad may be released again.
    Allowed {
        function: String,
        version: String,
        code_sha256: String,
    },
    /// How things stand.
    Status { status: Value },
}

/// What was done, and about which alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Answer {
    /// The alarm; none where a person commanded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) alarm: Option<AlarmName>,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// A deployment may finish between the decision to stop it and the call: then the facts are read
/// again, and the decision made again, once.
pub(crate) const ROUNDS: usize = 2;

pub(crate) async fn handle(event: Value, app: &App, invocation: Invocation) -> Result<Answer, Error> {
    if Command::is_one(&event) {
        let outcome = manual::handle(event, app, &invocation).await?;
        return Ok(Answer { alarm: None, outcome });
    }
    let change = AlarmChange::parse(event)?;
    let outcome = if change.state == "ALARM" {
        judge_each(app, &change, &invocation).await?
    } else {
        Outcome::Ignored {
            reason: format!("alarm {} changed to {}", change.alarm, change.state),
        }
    };
    Ok(Answer {
        alarm: Some(change.alarm),
        outcome,
    })
}

/// Judges the alarm for each group that it speaks for.
async fn judge_each(app: &App, change: &AlarmChange, invocation: &Invocation) -> Result<Outcome, Error> {
    let (groups, begun) = tokio::try_join!(linked(app, &change.alarm), begun(app, change, invocation))?;
    let known = groups.len();
    let mut outcomes = Vec::new();
    let mut failed = None;
    for group in groups {
        // What earlier tries began is finished, also where a child of a composite has calmed down since.
        let begun = begun.get(group.group.name.as_str()).into_iter().flatten();
        let mut begun: Vec<Option<Begun>> = begun.cloned().map(Some).collect();
        if begun.is_empty() && group.link.is_some() {
            begun.push(None);
        }
        for begun in begun {
            match judge(app, change, &group, begun, invocation).await {
                Ok(outcome) => outcomes.push(outcome),
                // One group's trouble is no reason to leave the other's bad version where it is; the event is
                // tried again, and finds what is done already.
                Err(cause) => {
                    error!(alarm = %change.alarm, group = %group.group.name, %cause, "could not be handled");
                    failed.get_or_insert(cause);
                }
            }
        }
    }
    match (failed, outcomes.pop()) {
        (Some(cause), _) => Err(cause),
        (None, None) => Ok(Outcome::Ignored {
            reason: format!(
                "alarm {} speaks for none of the {known} deployment groups of application {}: none lists it, no \
                 tag of it names one, and none lists a child of it that is red",
                change.alarm, app.config.application
            ),
        }),
        (None, Some(only)) if outcomes.is_empty() => Ok(only),
        (None, Some(last)) => {
            outcomes.push(last);
            Ok(Outcome::Several { outcomes })
        }
    }
}

async fn judge(
    app: &App,
    change: &AlarmChange,
    group: &Linked,
    begun: Option<Begun>,
    invocation: &Invocation,
) -> Result<Outcome, Error> {
    for _ in 0..ROUNDS {
        let seen = gather(app, group, begun.clone(), invocation.now).await?;
        let decision: Decision =
            rollback::decide(&change.alarm, &seen.facts, app.config.bake, invocation.now);
        info!(alarm = %change.alarm, group = %group.group.name, ?decision, "decided");
        match execute(app, change, &seen, decision, invocation).await? {
            Effect::Done(outcome) => return Ok(outcome),
            Effect::Overtaken { deployment } => info!(%deployment, "it finished first; deciding again"),
        }
    }
    Err(Error::Unsettled(format!(
        "deployment group {} kept changing while its deployment was being stopped",
        group.group.name
    )))
}

#[cfg(test)]
mod tests;
