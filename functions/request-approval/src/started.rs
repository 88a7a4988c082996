//! The event: an approval action has started, or has ended.

use serde_json::Value;
use signalbox_decision::approval::ApprovalAction;
use signalbox_decision::timeline::State;
use signalbox_events::codepipeline::{Change, PipelineEvent};
use signalbox_events::envelope::{Envelope, EventError};

/// An approval action that has started or ended, by its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Started {
    /// Whether it has ended, one way or the other.
    pub(crate) ended: bool,
    pub(crate) approval: ApprovalAction,
    /// The pipeline's region; empty if the event does not say.
    pub(crate) region: String,
}

impl Started {
    /// Reads an event; the inner error says why it is none of ours.
    pub(crate) fn parse(event: Value) -> Result<Result<Self, &'static str>, EventError> {
        let envelope = Envelope::parse(event)?;
        let PipelineEvent {
            pipeline,
            execution,
            change,
            ..
        } = PipelineEvent::of(&envelope)?;
        let Change::Action {
            stage,
            action,
            category,
            state,
            ..
        } = change
        else {
            return Ok(Err("not an action's change of state"));
        };
        if category != "Approval" {
            return Ok(Err("not an approval"));
        }
        if matches!(state, State::Stopping | State::Other(_)) {
            return Ok(Err("neither a start nor an end"));
        }
        let approval = ApprovalAction {
            pipeline,
            execution,
            stage,
            action,
        };
        Ok(Ok(Self {
            ended: state != State::InProgress,
            approval,
            region: envelope.region.unwrap_or_default(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Result<Started, &'static str>, EventError> {
        Started::parse(serde_json::from_str(text).unwrap())
    }

    macro_rules! event {
        ($name:literal) => {
            include_str!(concat!("../../../events/request-approval/", $name, ".json"))
        };
    }

    #[test]
    fn an_approval_that_starts_is_read() {
        for text in [
            event!("approval-started"),
            event!("approval-started-by-retry-with-unknown-fields"),
        ] {
            let started = parsed(text).unwrap().unwrap();
            assert!(!started.ended);
            assert_eq!(started.approval.stage.as_str(), "Approval");
            assert_eq!(
                started.approval.execution.as_str(),
                "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
            );
            assert_eq!(started.region, "us-east-1");
        }
    }

    #[test]
    fn an_end_is_told_from_a_start() {
        assert!(parsed(event!("approval-rejected")).unwrap().unwrap().ended);
    }

    #[test]
    fn what_is_no_approval_is_ignored_with_its_reason() {
        assert_eq!(parsed(event!("build-started")).unwrap(), Err("not an approval"));
    }

    #[test]
    fn another_services_event_is_an_error_that_names_the_rule() {
        let error = parsed(&event!("approval-started").replace("aws.codepipeline", "aws.s3")).unwrap_err();
        assert!(error.to_string().contains("narrow the rule"), "{error}");
    }

    #[test]
    fn a_missing_field_is_an_error_that_names_it() {
        let error = parsed(event!("approval-started-without-execution")).unwrap_err();
        assert!(error.to_string().contains("execution-id"), "{error}");
    }
}
