//! The sweep's step over frozen stages: nobody has lifted the freeze, and somebody should hear of it.

use aws_sdk_codepipeline::operation::get_pipeline_state::GetPipelineStateOutput;
use aws_sdk_codepipeline::types::StageState;
use signalbox_decision::names::StageName;
use signalbox_decision::sweep::freezes::{Freeze, reminder};

use crate::app::Config;
use crate::gather::time;
use crate::handler::Sweep;

impl Sweep<'_> {
    /// Reminds of every freeze, once for each step of its age.
    pub(crate) async fn look_at_freezes(&mut self, state: &GetPipelineStateOutput) {
        let config = &self.app.config;
        let freezes: Vec<Freeze> = state
            .stage_states()
            .iter()
            .filter_map(|stage| freeze(config, stage))
            .collect();
        self.outcome.frozen = freezes.len();
        for freeze in &freezes {
            if let Some(telling) = reminder(
                self.invocation.now,
                freeze,
                &config.roll_back,
                config.freeze_reminder,
            ) {
                self.tell(&telling).await;
            }
        }
    }
}

/// The stage's freeze, if it is frozen and CodePipeline says since when.
fn freeze(config: &Config, stage: &StageState) -> Option<Freeze> {
    let transition = stage.inbound_transition_state().filter(|it| !it.enabled())?;
    Some(Freeze {
        pipeline: config.pipeline.clone(),
        stage: StageName::new(stage.stage_name()?).ok()?,
        since: transition.last_changed_at().and_then(time)?,
        by: transition.last_changed_by().map(str::to_owned),
        reason: transition.disabled_reason().map(str::to_owned),
        waiting: stage.inbound_executions().len(),
    })
}
