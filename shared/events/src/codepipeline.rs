//! CodePipeline's three events: the execution state of a pipeline, a stage, an action.
//!
//! Tried: the ready-made types refuse real events (`version` comes as `3.0`, `type.version` as `"1"`).
//! Only what is acted on is typed; a state that is not known is kept by its word.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use signalbox_decision::names::{ActionName, ExecutionId, PipelineName, StageName};
use signalbox_decision::timeline::State;

use crate::envelope::{Envelope, EventError, loose_number, loose_text, loose_time};

/// Something of a run changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineEvent {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The run.
    pub execution: ExecutionId,
    /// When, to the second.
    pub at: Option<Timestamp>,
    /// The run's attempt, from 1; 1 where the event does not say.
    pub attempt: u32,
    /// What changed.
    pub change: Change,
}

/// What changed its state, and to which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The run.
    Run {
        /// Its state.
        state: State,
    },
    /// A stage.
    Stage {
        /// The stage.
        stage: StageName,
        /// Its state.
        state: State,
    },
    /// An action.
    Action {
        /// Its stage.
        stage: StageName,
        /// The action.
        action: ActionName,
        /// `Approval`, `Build`, …; empty where the event does not say.
        category: String,
        /// What runs it, such as `CodeBuild`; empty where the event does not say.
        provider: String,
        /// Its state. A rejected approval has failed.
        state: State,
        /// AWS's id of this execution of it.
        id: Option<String>,
        /// The build or deployment that it ran, by the provider's own id.
        external: Option<String>,
    },
}

impl PipelineEvent {
    /// Reads the event.
    ///
    /// # Errors
    /// The field that is missing or malformed; an event of another source or kind.
    pub fn parse(event: Value) -> Result<Self, EventError> {
        Self::of(&Envelope::parse(event)?)
    }

    /// Reads the envelope's detail.
    ///
    /// # Errors
    /// As [`PipelineEvent::parse`].
    pub fn of(envelope: &Envelope) -> Result<Self, EventError> {
        if envelope.source != "aws.codepipeline" {
            return Err(envelope.foreign());
        }
        let at = |detail: &Common| envelope.time.or(detail.start_time);
        match envelope.detail_type.as_str() {
            "CodePipeline Pipeline Execution State Change" => {
                let detail: Common = envelope.detail()?;
                Ok(detail.event(at(&detail), |state| Change::Run { state }))
            }
            "CodePipeline Stage Execution State Change" => {
                let StageDetail { stage, common } = envelope.detail()?;
                Ok(common.event(at(&common), |state| Change::Stage { stage, state }))
            }
            "CodePipeline Action Execution State Change" => {
                let detail: ActionDetail = envelope.detail()?;
                let kind = detail.kind.unwrap_or_default();
                Ok(detail.common.event(at(&detail.common), |state| Change::Action {
                    stage: detail.stage,
                    action: detail.action,
                    category: kind.category.unwrap_or_default(),
                    provider: kind.provider.unwrap_or_default(),
                    state,
                    id: detail.id,
                    external: detail.result.and_then(|result| result.external),
                }))
            }
            _ => Err(envelope.foreign()),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Common {
    pipeline: PipelineName,
    execution_id: ExecutionId,
    state: String,
    #[serde(default, deserialize_with = "loose_time")]
    start_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "loose_number")]
    pipeline_execution_attempt: Option<u32>,
}

impl Common {
    fn event(&self, at: Option<Timestamp>, change: impl FnOnce(State) -> Change) -> PipelineEvent {
        PipelineEvent {
            pipeline: self.pipeline.clone(),
            execution: self.execution_id.clone(),
            at,
            attempt: self.pipeline_execution_attempt.unwrap_or(1).max(1),
            change: change(State::of(&self.state)),
        }
    }
}

#[derive(Deserialize)]
struct StageDetail {
    stage: StageName,
    #[serde(flatten)]
    common: Common,
}

#[derive(Deserialize)]
struct ActionDetail {
    stage: StageName,
    action: ActionName,
    #[serde(default, rename = "type")]
    kind: Option<Kind>,
    #[serde(default, rename = "action-execution-id", deserialize_with = "loose_text")]
    id: Option<String>,
    #[serde(default, rename = "execution-result")]
    result: Option<ExecutionResult>,
    #[serde(flatten)]
    common: Common,
}

#[derive(Deserialize, Default)]
struct Kind {
    #[serde(default, deserialize_with = "loose_text")]
    category: Option<String>,
    #[serde(default, deserialize_with = "loose_text")]
    provider: Option<String>,
}

#[derive(Deserialize)]
struct ExecutionResult {
    #[serde(default, rename = "external-execution-id", deserialize_with = "loose_text")]
    external: Option<String>,
}

#[cfg(test)]
mod tests;
