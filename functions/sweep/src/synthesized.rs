//! Events as CodePipeline would have sent them, for the functions that they were lost for.
//!
//! They are hints, as the real ones are: whoever gets one reads AWS itself. So nothing in them says more
//! than the real ones do, and a run's event names an action without its state's id: the whole run is then
//! read, and no state is taken from the event.

use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_decision::approval::ApprovalAction;
use signalbox_decision::claim::digest;
use signalbox_decision::names::{ExecutionId, PipelineName};

const ACTION: &str = "CodePipeline Action Execution State Change";

fn envelope(region: &str, now: Timestamp, detail: &Value) -> Value {
    let id = digest(&[&detail.to_string(), &now.to_string()]);
    json!({
        "version": "0", "id": id.get(..36).unwrap_or(&id), "detail-type": ACTION,
        "source": "aws.codepipeline", "time": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "region": region, "resources": [], "detail": detail,
    })
}

/// The start of an approval action.
pub(crate) fn approval_started(approval: &ApprovalAction, region: &str, now: Timestamp) -> Value {
    let detail = json!({
        "pipeline": approval.pipeline, "execution-id": approval.execution, "stage": approval.stage,
        "action": approval.action, "state": "STARTED", "region": region,
        "type": { "owner": "AWS", "category": "Approval", "provider": "Manual", "version": "1" },
    });
    envelope(region, now, &detail)
}

/// Something of a run changed.
pub(crate) fn run_changed(
    pipeline: &PipelineName,
    execution: &ExecutionId,
    action: Option<(&str, &str)>,
    region: &str,
    now: Timestamp,
) -> Value {
    let (stage, action) = action.unwrap_or(("unknown", "unknown"));
    let detail = json!({
        "pipeline": pipeline, "execution-id": execution, "stage": stage, "action": action, "state": "STARTED",
        "region": region,
    });
    envelope(region, now, &detail)
}

#[cfg(test)]
mod tests {
    use signalbox_decision::names::{ActionName, StageName};
    use signalbox_events::codepipeline::{Change, PipelineEvent};

    use super::*;

    fn approval() -> ApprovalAction {
        ApprovalAction {
            pipeline: PipelineName::new("p").unwrap(),
            execution: ExecutionId::new("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0").unwrap(),
            stage: StageName::new("Approval").unwrap(),
            action: ActionName::new("Approve").unwrap(),
        }
    }

    #[test]
    fn an_approvals_start_is_read_as_the_real_one() {
        let now = "2026-05-29T14:05:00.5Z".parse().unwrap();
        let event = PipelineEvent::parse(approval_started(&approval(), "us-east-1", now)).unwrap();
        assert!(
            matches!(&event.change, Change::Action { category, id: None, .. } if category == "Approval"),
            "{event:?}"
        );
        assert_eq!(event.execution, approval().execution);
    }

    #[test]
    fn a_runs_event_carries_no_state_of_its_own() {
        let now = "2026-05-29T14:05:00Z".parse().unwrap();
        let ApprovalAction {
            pipeline, execution, ..
        } = approval();
        for action in [None, Some(("Source", "Source"))] {
            let event =
                PipelineEvent::parse(run_changed(&pipeline, &execution, action, "us-east-1", now)).unwrap();
            assert!(
                matches!(&event.change, Change::Action { id: None, .. }),
                "{event:?}"
            );
        }
    }

    #[test]
    fn the_example_events_are_what_is_sent() {
        let now = "2026-05-29T14:05:00Z".parse().unwrap();
        let ApprovalAction {
            pipeline, execution, ..
        } = approval();
        for (text, made) in [
            (
                include_str!("../../../events/sweep/synthesized-approval-started.json"),
                approval_started(&approval(), "us-east-1", now),
            ),
            (
                include_str!("../../../events/sweep/synthesized-run-changed.json"),
                run_changed(
                    &pipeline,
                    &execution,
                    Some(("Source", "Source")),
                    "us-east-1",
                    now,
                ),
            ),
        ] {
            let mut example: Value = serde_json::from_str(text).unwrap();
            example["id"] = made["id"].clone();
            assert_eq!(example, made);
        }
    }
}
