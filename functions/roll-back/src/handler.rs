//! One alarm: parse, gather, decide, execute.

use serde::Serialize;
use serde_json::Value;
use signalbox_bootstrap::Invocation;
use signalbox_decision::rollback::{self, Decision};
use signalbox_events::alarm::AlarmChange;
use tracing::info;

use crate::app::App;
use crate::effects::{Effect, begun, execute};
use crate::error::Error;
use crate::facts::gather;

/// What was done, as Lambda's answer says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// The deployment was stopped.
    Stopped { deployment: String },
    /// The previous version was deployed again.
    Redeployed { undone: String, deployment: String },
    /// Somebody else had acted already.
    Reported { deployment: String, reason: String },
    /// A person was asked to act.
    Paged { reason: String },
    /// Nothing was done.
    Ignored { reason: String },
}

/// A deployment may finish between the decision to stop it and the call: then the facts are read
/// again, and the decision made again, once.
const ROUNDS: usize = 2;

pub(crate) async fn handle(event: Value, app: &App, invocation: Invocation) -> Result<Outcome, Error> {
    let change = AlarmChange::parse(event)?;
    if change.state != "ALARM" {
        return Ok(Outcome::Ignored {
            reason: format!("alarm {} changed to {}", change.alarm, change.state),
        });
    }
    let begun = begun(app, &change, &invocation).await?;
    for _ in 0..ROUNDS {
        let facts = gather(app, &change.alarm, begun.clone(), invocation.now).await?;
        let decision: Decision = rollback::decide(&change.alarm, &facts, app.config.bake, invocation.now);
        info!(alarm = %change.alarm, ?decision, "decided");
        match execute(app, &change, &facts, decision, &invocation).await? {
            Effect::Done(outcome) => return Ok(outcome),
            Effect::Overtaken { deployment } => info!(%deployment, "it finished first; deciding again"),
        }
    }
    Err(Error::Unsettled(format!(
        "deployment group {} kept changing while its deployment was being stopped",
        app.config.group
    )))
}

#[cfg(test)]
mod tests;
