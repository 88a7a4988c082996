//! A pipeline's stages as they stand, and its newest runs in short.

use aws_sdk_codepipeline::operation::get_pipeline_state::GetPipelineStateOutput;
use aws_sdk_codepipeline::types::PipelineExecutionSummary;
use jiff::Timestamp;
use serde::Serialize;
use signalbox_decision::names::ExecutionId;
use signalbox_decision::timeline::State;

use super::time;

/// The stages as they stand.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PipelineState {
    /// In order.
    pub(crate) stages: Vec<StageState>,
}

/// A stage as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StageState {
    /// Its name.
    pub(crate) name: String,
    /// The newest run that came so far; none where runs go on side by side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<String>,
    /// How far that run came in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<State>,
    /// When its newest action changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) changed: Option<Timestamp>,
    /// Why nothing comes in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) frozen: Option<Freeze>,
}

/// A disabled transition into a stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Freeze {
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Whose role did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Timestamp>,
}

/// A run in short.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunSummary {
    /// Its id.
    pub(crate) id: ExecutionId,
    /// Its state.
    pub(crate) state: State,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started: Option<Timestamp>,
    /// When it last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) changed: Option<Timestamp>,
    /// The source versions.
    pub(crate) revisions: Vec<String>,
    /// What the first source says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) summary: Option<String>,
}

impl PipelineState {
    pub(super) fn of(answer: &GetPipelineStateOutput) -> Self {
        let stages = answer.stage_states().iter().map(|stage| {
            let latest = stage.latest_execution();
            let actions = stage.action_states().iter();
            let changed = actions.filter_map(|action| time(action.latest_execution()?.last_status_change()));
            let transition = stage.inbound_transition_state().filter(|it| !it.enabled());
            StageState {
                name: stage.stage_name().unwrap_or_default().to_owned(),
                run: latest.map(|latest| latest.pipeline_execution_id().to_owned()),
                state: latest.map(|latest| State::of(latest.status().as_str())),
                changed: changed.max(),
                frozen: transition.map(|it| Freeze {
                    reason: it.disabled_reason().map(str::to_owned),
                    by: it.last_changed_by().map(str::to_owned),
                    since: time(it.last_changed_at()),
                }),
            }
        });
        Self {
            stages: stages.collect(),
        }
    }
}

impl Freeze {
    /// Who did it: a role's session tells more than its path.
    pub(crate) fn who(&self) -> Option<&str> {
        self.by.as_deref()?.rsplit('/').next()
    }
}

impl RunSummary {
    pub(super) fn of(run: &PipelineExecutionSummary) -> Option<Self> {
        let sources = run.source_revisions();
        Some(Self {
            id: ExecutionId::new(run.pipeline_execution_id()?).ok()?,
            state: State::of(run.status()?.as_str()),
            started: time(run.start_time()),
            changed: time(run.last_update_time()),
            revisions: sources
                .iter()
                .filter_map(|source| source.revision_id().map(str::to_owned))
                .collect(),
            summary: sources
                .first()
                .and_then(|source| source.revision_summary())
                .filter(|text| !text.is_empty())
                .map(str::to_owned),
        })
    }
}
