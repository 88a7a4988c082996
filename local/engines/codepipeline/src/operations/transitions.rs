//! Closing and opening the way into a stage.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Caller};

use super::{no_stage, pipeline_mut};
use crate::engine::Inner;
use crate::schedule;
use crate::state::Transition;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SetInput {
    pipeline_name: String,
    stage_name: String,
    transition_type: String,
    reason: Option<String>,
}

/// The outbound transition of a stage is the inbound one of the next.
pub(super) fn set(
    inner: &Arc<Inner>,
    caller: &Caller,
    input: SetInput,
    enabled: bool,
) -> Result<Value, AwsError> {
    inner.change(|state, change| {
        let known = pipeline_mut(inner, state, &input.pipeline_name)?;
        let at = known
            .current
            .stage_index(&input.stage_name)
            .ok_or_else(|| no_stage(&input.pipeline_name, &input.stage_name))?;
        let at = if input.transition_type == "Outbound" {
            at + 1
        } else {
            at
        };
        let Some(stage) = known.current.stages.get(at).map(|stage| stage.name.clone()) else {
            return Err(AwsError::validation(format!(
                "Stage '{}' is the last one: it has no outbound transition",
                input.stage_name
            )));
        };
        known.slot(&stage).transition = Transition {
            enabled,
            changed: Some((caller.display_arn(&change.account.id), change.now)),
            reason: input.reason.filter(|_| !enabled),
        };
        schedule::advance(known, change);
        Ok(json!({}))
    })
}
