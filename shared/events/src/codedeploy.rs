//! CodeDeploy's `CodeDeploy Deployment State-change Notification`.
//!
//! The ready-made type demands `instanceId`, which a Lambda deployment has not.

use jiff::Timestamp;
use serde::Deserialize;
use signalbox_decision::names::{ApplicationName, DeploymentGroupName, DeploymentId};
use signalbox_decision::timeline::State;

use crate::envelope::{Envelope, EventError};

/// A deployment changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentEvent {
    /// The deployment.
    pub id: DeploymentId,
    /// Its application.
    pub application: ApplicationName,
    /// Its deployment group.
    pub group: DeploymentGroupName,
    /// Its state; `START` and `READY` are going on.
    pub state: State,
    /// When.
    pub at: Option<Timestamp>,
}

impl DeploymentEvent {
    /// Reads the envelope's detail.
    ///
    /// # Errors
    /// The field that is missing or malformed; an event of another source or kind.
    pub fn of(envelope: &Envelope) -> Result<Self, EventError> {
        let kind = "CodeDeploy Deployment State-change Notification";
        if envelope.source != "aws.codedeploy" || envelope.detail_type != kind {
            return Err(envelope.foreign());
        }
        let detail: Detail = envelope.detail()?;
        Ok(Self {
            id: detail.deployment_id,
            application: detail.application,
            group: detail.deployment_group,
            state: State::of(&detail.state),
            at: envelope.time,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    deployment_id: DeploymentId,
    application: ApplicationName,
    deployment_group: DeploymentGroupName,
    state: String,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_lambda_deployment_has_no_instance() {
        let event: Value =
            serde_json::from_str(include_str!("../../../events/track-run/deployment-failed.json")).unwrap();
        let event = DeploymentEvent::of(&Envelope::parse(event).unwrap()).unwrap();
        assert_eq!((event.id.as_str(), event.state), ("d-DRP6JOAN4", State::Failed));
    }

    #[test]
    fn a_missing_group_is_named() {
        let event = json!({"source": "aws.codedeploy", "detail-type": "CodeDeploy Deployment State-change Notification",
            "detail": {"deploymentId": "d-1", "application": "a", "state": "START"}});
        let error = DeploymentEvent::of(&Envelope::parse(event).unwrap())
            .unwrap_err()
            .to_string();
        assert!(error.contains("deploymentGroup"), "{error}");
    }
}
