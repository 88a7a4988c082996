//! CodeBuild's `CodeBuild Build State Change`.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use signalbox_decision::timeline::State;

use crate::envelope::{Envelope, EventError, loose_text};

/// A build changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildEvent {
    /// The build, as CodeBuild's API names it: `project:uuid`.
    pub id: String,
    /// Its project.
    pub project: String,
    /// Its state.
    pub state: State,
    /// When.
    pub at: Option<Timestamp>,
    /// Who or what started it: `codepipeline/<pipeline>` for a run's build.
    pub initiator: Option<String>,
    /// The page of its logs.
    pub logs: Option<String>,
}

impl BuildEvent {
    /// Reads the envelope's detail.
    ///
    /// # Errors
    /// The field that is missing or malformed; an event of another source or kind.
    pub fn of(envelope: &Envelope) -> Result<Self, EventError> {
        if envelope.source != "aws.codebuild" || envelope.detail_type != "CodeBuild Build State Change" {
            return Err(envelope.foreign());
        }
        let detail: Detail = envelope.detail()?;
        let id = detail
            .build_id
            .rsplit_once("build/")
            .map_or(detail.build_id.as_str(), |(_, id)| id);
        if id.is_empty() {
            return Err(EventError::field(
                "CodeBuild event",
                "detail.build-id",
                "is empty",
            ));
        }
        let more = detail.additional_information.unwrap_or_default();
        let logs = more
            .logs
            .as_ref()
            .and_then(|logs| logs.get("deep-link"))
            .and_then(Value::as_str);
        Ok(Self {
            id: id.to_owned(),
            project: detail.project_name,
            state: State::of(&detail.build_status),
            at: envelope.time,
            logs: logs.map(str::to_owned),
            initiator: more.initiator,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Detail {
    build_status: String,
    project_name: String,
    build_id: String,
    // `phases` and all the rest may be absent.
    #[serde(default)]
    additional_information: Option<More>,
}

#[derive(Deserialize, Default)]
struct More {
    #[serde(default, deserialize_with = "loose_text")]
    initiator: Option<String>,
    #[serde(default)]
    logs: Option<Value>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(event: Value) -> Result<BuildEvent, EventError> {
        BuildEvent::of(&Envelope::parse(event)?)
    }

    #[test]
    fn a_real_event_is_read_with_or_without_its_phases() {
        let failed: Value =
            serde_json::from_str(include_str!("../../../events/track-run/build-failed.json")).unwrap();
        let event = parse(failed).unwrap();
        assert_eq!(
            event.id,
            "lambda-function-staging-build:8745a7a9-c340-456a-9166-edf953571bea"
        );
        assert_eq!(
            (event.state, event.initiator.as_deref()),
            (
                State::Failed,
                Some("codepipeline/lambda-function-staging-pipeline")
            )
        );
        assert!(event.logs.is_some());
        let bare: Value = serde_json::from_str(include_str!(
            "../../../events/track-run/build-without-phases.json"
        ))
        .unwrap();
        assert_eq!(parse(bare).unwrap().state, State::InProgress);
    }

    #[test]
    fn a_missing_build_id_is_named() {
        let event = json!({"source": "aws.codebuild", "detail-type": "CodeBuild Build State Change",
            "detail": {"build-status": "FAILED", "project-name": "p"}});
        let error = parse(event).unwrap_err().to_string();
        assert!(
            error.contains("`detail`") && error.contains("build-id"),
            "{error}"
        );
    }
}
