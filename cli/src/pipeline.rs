//! A pipeline and its runs, as CodePipeline has them now.

mod run;
mod state;

#[cfg(test)]
pub(crate) use run::tests;
pub(crate) use run::{Run, Stage};
pub(crate) use state::{Freeze, PipelineState, RunSummary, StageState};

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::primitives::DateTime;
use aws_sdk_codepipeline::types::{ActionExecutionFilter, PipelineDeclaration, StageDeclaration};
use jiff::Timestamp;
use signalbox_decision::names::{ExecutionId, PipelineName};

use crate::access::Cloud;
use crate::error::Error;

/// Reads one pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    client: Client,
    name: PipelineName,
}

impl Pipeline {
    /// That pipeline.
    pub(crate) fn new(cloud: &Cloud, name: PipelineName) -> Self {
        Self {
            client: Client::new(cloud.sdk()),
            name,
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &PipelineName {
        &self.name
    }

    /// One of its runs, with every action so far.
    pub(crate) async fn run(&self, id: &ExecutionId) -> Result<Run, Error> {
        let what = || format!("run {id} of {}", self.name);
        let (run, actions) = tokio::join!(
            self.client
                .get_pipeline_execution()
                .pipeline_name(self.name.as_str())
                .pipeline_execution_id(id.as_str())
                .send(),
            self.client
                .list_action_executions()
                .pipeline_name(self.name.as_str())
                .filter(
                    ActionExecutionFilter::builder()
                        .pipeline_execution_id(id.as_str())
                        .build(),
                )
                .into_paginator()
                .items()
                .send()
                .collect::<Result<Vec<_>, _>>(),
        );
        let run = run.map_err(Error::aws(what()))?;
        let mut actions = actions.map_err(Error::aws(what()))?;
        // CodePipeline answers newest first.
        actions.reverse();
        Ok(Run::of(id, run.pipeline_execution(), &actions))
    }

    /// The bucket that its source action reads; an error where S3 is not its source.
    pub(crate) async fn source_bucket(&self) -> Result<String, Error> {
        let answer = self
            .client
            .get_pipeline()
            .name(self.name.as_str())
            .send()
            .await
            .map_err(Error::aws(format!(
                "the source bucket of {} (or name it with --bucket)",
                self.name
            )))?;
        let stages = answer.pipeline().map(PipelineDeclaration::stages);
        let actions = stages.into_iter().flatten().flat_map(StageDeclaration::actions);
        actions
            .filter(|action| action.action_type_id().is_some_and(|id| id.provider() == "S3"))
            .find_map(|action| action.configuration()?.get("S3Bucket").cloned())
            .ok_or_else(|| {
                Error::Nothing(format!(
                    "{} takes its source from no bucket: --bucket names the one that start-run watches",
                    self.name
                ))
            })
    }

    /// The newest runs, newest first.
    pub(crate) async fn newest(&self, count: i32) -> Result<Vec<RunSummary>, Error> {
        let answer = self
            .client
            .list_pipeline_executions()
            .pipeline_name(self.name.as_str())
            .max_results(count)
            .send()
            .await
            .map_err(Error::aws(format!("the runs of {}", self.name)))?;
        Ok(answer
            .pipeline_execution_summaries()
            .iter()
            .filter_map(RunSummary::of)
            .collect())
    }

    /// Its stages as they stand.
    pub(crate) async fn state(&self) -> Result<PipelineState, Error> {
        let answer = self
            .client
            .get_pipeline_state()
            .name(self.name.as_str())
            .send()
            .await
            .map_err(Error::aws(format!("the state of {}", self.name)))?;
        Ok(PipelineState::of(&answer))
    }
}

fn time(at: Option<&DateTime>) -> Option<Timestamp> {
    Timestamp::from_millisecond(at?.to_millis().ok()?).ok()
}
