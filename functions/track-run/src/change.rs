//! Which of the events is ours to follow.

use serde_json::Value;
use signalbox_decision::text::shown;
use signalbox_decision::timeline::State;
use signalbox_events::codebuild::BuildEvent;
use signalbox_events::codedeploy::DeploymentEvent;
use signalbox_events::codepipeline::{Change as Changed, PipelineEvent};
use signalbox_events::envelope::{Envelope, EventError};

use crate::app::Config;

/// What an event says has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Pipeline(PipelineEvent),
    Build(BuildEvent),
    Deployment(DeploymentEvent),
}

impl Change {
    /// Reads an event; the inner error says why it is none of ours.
    pub(crate) fn parse(event: Value, config: &Config) -> Result<Result<Self, String>, EventError> {
        let envelope = Envelope::parse(event)?;
        Ok(match envelope.source.as_str() {
            "aws.codebuild" => {
                let event = BuildEvent::of(&envelope)?;
                if event.project == config.build_project {
                    Ok(Self::Build(event))
                } else {
                    Err(format!("project {} is not followed", shown(&event.project, 100)))
                }
            }
            "aws.codedeploy" => {
                let event = DeploymentEvent::of(&envelope)?;
                if event.application == config.application {
                    Ok(Self::Deployment(event))
                } else {
                    Err(format!(
                        "application {} is not followed",
                        shown(event.application.as_str(), 100)
                    ))
                }
            }
            _ => {
                let event = PipelineEvent::of(&envelope)?;
                if event.pipeline == config.pipeline {
                    Ok(Self::Pipeline(event))
                } else {
                    Err(format!("pipeline {} is not followed", event.pipeline))
                }
            }
        })
    }
}

impl Change {
    /// The state that the event speaks of.
    pub(crate) fn state(&self) -> &State {
        match self {
            Self::Pipeline(event) => match &event.change {
                Changed::Run { state } | Changed::Stage { state, .. } | Changed::Action { state, .. } => {
                    state
                }
            },
            Self::Build(event) => &event.state,
            Self::Deployment(event) => &event.state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::tests::config;

    fn parse(text: &str) -> Result<Result<Change, String>, EventError> {
        Change::parse(serde_json::from_str(text).unwrap(), &config())
    }

    #[test]
    fn each_source_is_read() {
        let run = parse(include_str!("../../../events/track-run/run-started.json"));
        assert!(matches!(run, Ok(Ok(Change::Pipeline(_)))), "{run:?}");
        let build = parse(include_str!("../../../events/track-run/build-failed.json"));
        assert!(matches!(build, Ok(Ok(Change::Build(_)))), "{build:?}");
        let deployment = parse(include_str!("../../../events/track-run/deployment-started.json"));
        assert!(
            matches!(deployment, Ok(Ok(Change::Deployment(_)))),
            "{deployment:?}"
        );
    }

    #[test]
    fn another_pipeline_is_ignored_with_the_reason() {
        let other = parse(include_str!("../../../events/track-run/approval-started.json"));
        assert_eq!(
            other,
            Ok(Err(
                "pipeline lambda-function-production-pipeline is not followed".to_owned()
            ))
        );
    }

    #[test]
    fn another_source_is_an_error() {
        let upload = parse(include_str!("../../../events/start-run/object-created.json"));
        assert!(matches!(upload, Err(EventError::Foreign { .. })), "{upload:?}");
    }
}
