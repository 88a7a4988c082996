//! Events as AWS would have sent them, for the functions that they were lost for.
//!
//! They are hints, as the real ones are: whoever gets one reads AWS itself. So nothing in them says more
//! than the real ones do, and a run's event names an action without its state's id: the whole run is then
//! read, and no state is taken from the event.

use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_decision::approval::ApprovalAction;
use signalbox_decision::claim::digest;
use signalbox_decision::names::{ApplicationName, DeploymentGroupName, ExecutionId, PipelineName};
use signalbox_decision::sweep::releases::{RedAlarm, Release};
use signalbox_decision::timeline::State;

const ACTION: (&str, &str) = ("aws.codepipeline", "CodePipeline Action Execution State Change");
const DEPLOYMENT: (&str, &str) = (
    "aws.codedeploy",
    "CodeDeploy Deployment State-change Notification",
);
const ALARM: (&str, &str) = ("aws.cloudwatch", "CloudWatch Alarm State Change");

fn envelope((source, kind): (&str, &str), region: &str, at: Timestamp, detail: &Value) -> Value {
    let id = digest(&[&detail.to_string(), &at.to_string()]);
    json!({
        "version": "0", "id": id.get(..36).unwrap_or(&id), "detail-type": kind,
        "source": source, "time": at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
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
    envelope(ACTION, region, now, &detail)
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
    envelope(ACTION, region, now, &detail)
}

/// A deployment came into the state that it has; at the time at which it did, by which its run is found.
pub(crate) fn deployment_changed(
    application: &ApplicationName,
    group: &DeploymentGroupName,
    release: &Release,
    region: &str,
) -> Value {
    let state = match release.state {
        State::Succeeded => "SUCCESS",
        State::Failed => "FAILURE",
        State::Stopped => "STOP",
        _ => "START",
    };
    let detail = json!({
        "application": application, "deploymentGroup": group, "deploymentId": release.id, "state": state,
        "region": region,
    });
    envelope(
        DEPLOYMENT,
        region,
        release.ended.unwrap_or(release.created),
        &detail,
    )
}

/// An alarm went red: by its name and the time at which it did, roll-back knows it as the event that may
/// still come.
pub(crate) fn alarm_raised(alarm: &RedAlarm, region: &str, now: Timestamp) -> Value {
    let detail = json!({
        "alarmName": alarm.name,
        "state": {
            "value": "ALARM", "reason": alarm.reason,
            "timestamp": alarm.since.strftime("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string(),
        },
    });
    envelope(ALARM, region, now, &detail)
}

#[cfg(test)]
mod tests {
    use signalbox_decision::names::{ActionName, AlarmName, DeploymentId, StageName};
    use signalbox_events::alarm::AlarmChange;
    use signalbox_events::codedeploy::DeploymentEvent;
    use signalbox_events::codepipeline::{Change, PipelineEvent};
    use signalbox_events::envelope::Envelope;

    use signalbox_decision::validation::preflight::Override;

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

    fn red() -> RedAlarm {
        RedAlarm {
            name: AlarmName::new("lambda-function-production-errors").unwrap(),
            since: "2026-05-29T14:04:40.985Z".parse().unwrap(),
            suppressed: false,
            reason: "Threshold Crossed: 1 datapoint [42.0] was greater than the threshold (5.0).".to_owned(),
        }
    }

    fn stopped() -> Release {
        Release {
            id: DeploymentId::new("d-DRP6JOAN4").unwrap(),
            state: State::Stopped,
            is_rollback: false,
            overrides: Override::None,
            created: "2026-05-29T13:55:00Z".parse().unwrap(),
            ended: Some("2026-05-29T14:04:45.5Z".parse().unwrap()),
        }
    }

    fn application() -> (ApplicationName, DeploymentGroupName) {
        (
            ApplicationName::new("app").unwrap(),
            DeploymentGroupName::new("app-live").unwrap(),
        )
    }

    /// As CloudWatch writes the same change, to the millisecond.
    #[test]
    fn a_red_alarm_is_read_as_the_real_event() {
        let now = "2026-05-29T14:10:00Z".parse().unwrap();
        let change = AlarmChange::parse(alarm_raised(&red(), "us-east-1", now)).unwrap();
        assert_eq!(change.alarm, red().name);
        assert_eq!((change.at, change.state.as_str()), (Some(red().since), "ALARM"));
    }

    #[test]
    fn every_state_of_a_deployment_is_read_as_the_real_event() {
        let (application, group) = application();
        for state in [State::InProgress, State::Succeeded, State::Failed, State::Stopped] {
            let release = Release {
                ended: state.is_final().then_some(stopped().ended).flatten(),
                state: state.clone(),
                ..stopped()
            };
            let event = deployment_changed(&application, &group, &release, "us-east-1");
            let event = DeploymentEvent::of(&Envelope::parse(event).unwrap()).unwrap();
            assert_eq!((event.id, event.state), (release.id, state));
            // Events have whole seconds.
            let at = release.ended.unwrap_or(release.created);
            assert_eq!(event.at.unwrap().as_second(), at.as_second());
        }
    }

    #[test]
    fn the_example_events_are_what_is_sent() {
        let now = "2026-05-29T14:05:00Z".parse().unwrap();
        let ApprovalAction {
            pipeline, execution, ..
        } = approval();
        let deployments = application();
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
            (
                include_str!("../../../events/sweep/synthesized-alarm-raised.json"),
                alarm_raised(&red(), "us-east-1", now),
            ),
            (
                include_str!("../../../events/sweep/synthesized-deployment-stopped.json"),
                deployment_changed(&deployments.0, &deployments.1, &stopped(), "us-east-1"),
            ),
        ] {
            let mut example: Value = serde_json::from_str(text).unwrap();
            example["id"] = made["id"].clone();
            assert_eq!(example, made);
        }
    }
}
