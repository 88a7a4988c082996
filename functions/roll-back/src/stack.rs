//! Brings the stack to where the alias is, by rolling stages of the pipeline back.
//!
//! In this order: the redeployment first, since it is quick and users wait for it; then, when CodeDeploy is
//! done with it (a group has one deployment at a time) and the stage is free, the stages. `RollbackStage`
//! has no idempotency token, so that each is claimed. What does not come about in the time of one invocation
//! is tried again with the event; what never does, a person is told.

use aws_sdk_codepipeline::types::{
    ActionDeclaration, ExecutionMode, ExecutionType, PipelineDeclaration, PipelineExecutionStatus,
    PipelineExecutionSummary, StageExecution, StageExecutionStatus,
};
use jiff::Timestamp;
use signalbox_bootstrap::{Invocation, OnlyRefused};
use signalbox_decision::names::{DeploymentGroupName, DeploymentId, ExecutionId, StageName, VersionNumber};
use signalbox_decision::rollback::stack::{Facts, StackAction, StackBack, Stage, stack_back};
use signalbox_decision::rollback::{Deployment, Status};
use signalbox_decision::text::shown;
use signalbox_ledger::ClaimKey;
use tracing::info;

use crate::app::App;
use crate::error::Error;
use crate::facts::{deployment, newest_id};
use crate::once::{Claimed, once};
use crate::run::{self, Attributed};
use crate::versions::succeeded;
use crate::waiting::{Trouble, given_up, wait};

/// Pages of a hundred runs that are read at most: more than can be under way, and than lie between two releases.
const MAX_PAGES: usize = 10;
/// How many deployments back the one of the good version is looked for.
const FARTHEST: usize = 20;

/// What was rolled back, and by what.
pub(crate) struct Back<'a> {
    pub(crate) group: &'a DeploymentGroupName,
    pub(crate) undone: &'a Deployment,
    pub(crate) run: &'a Attributed,
    /// The deployment that brings the good version back.
    pub(crate) by: &'a DeploymentId,
    pub(crate) good: &'a VersionNumber,
    /// When this function first tried.
    pub(crate) since: Timestamp,
}

impl Back<'_> {
    fn trouble(&self, kind: &'static str, title: String, body: String) -> Trouble<'_> {
        Trouble {
            kind,
            deployment: self.undone.id.as_str(),
            since: self.since,
            title,
            body,
        }
    }
}

/// Decides how the stack follows.
pub(crate) async fn plan(app: &App, back: &Back<'_>) -> Result<StackBack, Error> {
    // What a stage's rollback brings back, the stack says as well.
    if !back.undone.by_stack || deployment(app, back.by.as_str()).await?.by_stack {
        return Ok(StackBack::NotNeeded);
    }
    let (pipeline, runs, newer) = tokio::try_join!(declaration(app), runs(app), newer(app, back))?;
    let target = target(app, back, &runs).await?;
    let bad = back.run.as_ref().ok().map(|run| &run.execution);
    let is_other = |run: &&PipelineExecutionSummary| {
        run.status() == Some(&PipelineExecutionStatus::InProgress)
            && run.execution_type() != Some(&ExecutionType::Rollback)
            && run.pipeline_execution_id() != bad.map(ExecutionId::as_str)
    };
    let others = runs.iter().filter(is_other);
    let facts = Facts {
        by_stack: true,
        is_parallel: pipeline.execution_mode() == Some(&ExecutionMode::Parallel),
        stages: pipeline
            .stages()
            .iter()
            .filter_map(|stage| {
                Some(Stage {
                    name: StageName::new(stage.name()).ok()?,
                    stacks: stage.actions().iter().filter_map(stack_action).collect(),
                })
            })
            .collect(),
        target,
        newer,
        others: others
            .filter_map(|run| ExecutionId::new(run.pipeline_execution_id()?).ok())
            .collect(),
    };
    Ok(stack_back(&app.config.release_stage, &facts))
}

fn stack_action(action: &ActionDeclaration) -> Option<StackAction> {
    let is_stack = action
        .action_type_id()
        .is_some_and(|kind| kind.provider() == "CloudFormation");
    let configuration = action.configuration().filter(|_| is_stack)?;
    Some(StackAction {
        mode: configuration.get("ActionMode")?.clone(),
        stack: configuration.get("StackName")?.clone(),
        change_set: configuration.get("ChangeSetName").cloned(),
    })
}

/// The group's newest deployment, where it is neither the undone one nor the one that takes it back.
async fn newer(app: &App, back: &Back<'_>) -> Result<Option<DeploymentId>, Error> {
    let newest = newest_id(app, back.group, Timestamp::now()).await?;
    Ok(newest.filter(|newest| *newest != back.undone.id && newest != back.by))
}

async fn declaration(app: &App) -> Result<PipelineDeclaration, Error> {
    let answer = app
        .pipelines
        .get_pipeline()
        .name(app.config.pipeline.as_str())
        .send()
        .await
        .map_err(|error| Error::aws("GetPipeline", &error))?;
    answer
        .pipeline
        .ok_or_else(|| Error::Unsettled("CodePipeline did not say what the pipeline is".to_owned()))
}

/// The pipeline's runs, the newest first.
async fn runs(app: &App) -> Result<Vec<PipelineExecutionSummary>, Error> {
    let mut runs = Vec::new();
    let mut next = None;
    for _ in 0..MAX_PAGES {
        let answer = app
            .pipelines
            .list_pipeline_executions()
            .pipeline_name(app.config.pipeline.as_str())
            .max_results(100)
            .set_next_token(next)
            .send()
            .await
            .map_err(|error| Error::aws("ListPipelineExecutions", &error))?;
        next = answer.next_token;
        runs.extend(answer.pipeline_execution_summaries.unwrap_or_default());
        if next.is_none() {
            break;
        }
    }
    Ok(runs)
}

/// The run that brought the good version. `RollbackStage` takes no run that is itself a rollback: then the
/// one that it repeated.
async fn target(
    app: &App,
    back: &Back<'_>,
    runs: &[PipelineExecutionSummary],
) -> Result<Result<ExecutionId, String>, Error> {
    let unknown = format!("no run is known to have brought version {}", back.good);
    for id in succeeded(app, back.group).await?.into_iter().take(FARTHEST) {
        let earlier = deployment(app, &id).await?;
        if earlier.to != *back.good || !earlier.by_stack || earlier.created >= back.undone.created {
            continue;
        }
        let actions = run::actions_back_to(app, earlier.created).await;
        let found = match run::of_deployment(app, earlier.created, &actions).await {
            Ok(found) => found.execution,
            Err(none) => return Ok(Err(format!("{unknown}: {}", none.why))),
        };
        let summary = runs
            .iter()
            .find(|run| run.pipeline_execution_id() == Some(found.as_str()));
        let repeated = summary
            .and_then(|run| run.rollback_metadata())
            .and_then(|rollback| rollback.rollback_target_pipeline_execution_id());
        return Ok(match repeated {
            None => Ok(found),
            Some(repeated) => ExecutionId::new(repeated).map_err(|error| error.to_string()),
        });
    }
    Ok(Err(unknown))
}

/// What people are told of the plan.
pub(crate) fn in_words(back: &Back<'_>, plan: &StackBack) -> Option<String> {
    let version = &back.undone.to;
    match plan {
        StackBack::NotNeeded => None,
        StackBack::RollBackStages { target, stages } => {
            let stages: Vec<&str> = stages.iter().map(StageName::as_str).collect();
            Some(format!(
                "The stack still says version {version}. It follows: stage {} is rolled back to run {target}.",
                stages.join(", then ")
            ))
        }
        StackBack::ByHand { reason } => Some(format!(
            "The stack still says version {version}, and does not follow by itself: {}. Bring it back with the \
             next run, or by hand.",
            shown(reason, 500)
        )),
    }
}

/// Sees to it that the good version came back, and carries the plan out; where a person has to, the notice has said
/// so.
pub(crate) async fn follow(
    app: &App,
    back: &Back<'_>,
    plan: &StackBack,
    invocation: &Invocation,
) -> Result<(), Error> {
    let Deployment {
        function, to: bad, ..
    } = back.undone;
    if let Err(cause) = redeployed(app, back, invocation).await {
        let title = format!("Needs a person: version {bad} of {function} may still have its traffic");
        let body = format!(
            "Deployment {} was to bring version {} of {function} back: {}.\n\nLook at the alias {}, and shift it by \
             hand.\n",
            back.by,
            back.good,
            shown(&cause.to_string(), 1000),
            back.undone.alias,
        );
        let trouble = back.trouble("page-redeployment", title, body);
        return given_up(app, &trouble, cause, invocation).await;
    }
    let StackBack::RollBackStages { target, stages } = plan else {
        return Ok(());
    };
    if let Err(cause) = roll_back(app, back, target, stages, invocation).await {
        let title = format!("Needs a person: the stack of {function} is apart");
        let body = format!(
            "The alias of {function} is back on version {}, and its stack still says version {bad}: {}.\n\nBring the \
             stack back with the next run, or roll these stages of pipeline {} back to run {target}: {stages:?}.\n",
            back.good,
            shown(&cause.to_string(), 1000),
            app.config.pipeline,
        );
        let trouble = back.trouble("page-stack", title, body);
        return given_up(app, &trouble, cause, invocation).await;
    }
    Ok(())
}

/// Waits for the end of the deployment that brings the good version back. Where a stage's rollback made it, that is its
/// stage's affair: it may shift step by step, and the stage's end is told by itself.
async fn redeployed(app: &App, back: &Back<'_>, invocation: &Invocation) -> Result<(), Error> {
    let failed = |problem: &str| {
        Err(Error::Deployment {
            deployment: back.by.to_string(),
            problem: problem.to_owned(),
        })
    };
    wait(invocation, "the redeployment to end", async || {
        let by = deployment(app, back.by.as_str()).await?;
        match by.status {
            _ if by.by_stack => Ok(Some(())),
            Status::InFlight => Ok(None),
            Status::Succeeded => Ok(Some(())),
            Status::Failed => failed("it failed"),
            Status::Stopped => failed("it was stopped"),
        }
    })
    .await
}

async fn roll_back(
    app: &App,
    back: &Back<'_>,
    target: &ExecutionId,
    stages: &[StageName],
    invocation: &Invocation,
) -> Result<(), Error> {
    for (at, stage) in stages.iter().enumerate() {
        let latest = wait(invocation, "the stage to be free", async || {
            free(app, stage).await
        })
        .await?;
        let claimed = Claimed {
            key: ClaimKey::new("rollback-stage", format!("{}/{stage}", back.undone.id)),
            what: back.undone.id.as_str(),
            payload: target.as_str(),
        };
        let run = once(app, claimed, invocation, async |_| {
            if let Some(latest) = &latest
                && repeats(app, latest, target).await?
            {
                return Ok(latest.pipeline_execution_id().to_owned());
            }
            // The stage may have been busy for long. Under the claim: what somebody else asked for is no reason.
            if let Some(newer) = newer(app, back).await? {
                return Err(Error::Deployment {
                    deployment: newer.to_string(),
                    problem: "it has come since, and is not taken away".to_owned(),
                });
            }
            roll_back_stage(app, stage, target).await
        })
        .await?;
        info!(%stage, %target, run, "the stage is being rolled back");
        // What the last one does is its own affair, and the stage's success or failure is told by track-run.
        if at + 1 < stages.len() {
            wait(invocation, "the stage's rollback", async || {
                ended(app, &run).await
            })
            .await?;
        }
    }
    Ok(())
}

/// What the stage did last, once it does nothing any more.
async fn free(app: &App, stage: &StageName) -> Result<Option<Option<StageExecution>>, Error> {
    let state = app
        .pipelines
        .get_pipeline_state()
        .name(app.config.pipeline.as_str())
        .send()
        .await
        .map_err(|error| Error::aws("GetPipelineState", &error))?;
    let latest = state
        .stage_states()
        .iter()
        .find(|state| state.stage_name() == Some(stage.as_str()))
        .and_then(|state| state.latest_execution());
    let is_running = latest.is_some_and(|latest| {
        matches!(
            latest.status(),
            StageExecutionStatus::InProgress | StageExecutionStatus::Stopping
        )
    });
    Ok((!is_running).then(|| latest.cloned()))
}

/// Whether a run repeats the target already: an earlier try asked for it, and the answer was lost.
async fn repeats(app: &App, latest: &StageExecution, target: &ExecutionId) -> Result<bool, Error> {
    if latest.r#type() != Some(&ExecutionType::Rollback) {
        return Ok(false);
    }
    let answer = app
        .pipelines
        .get_pipeline_execution()
        .pipeline_name(app.config.pipeline.as_str())
        .pipeline_execution_id(latest.pipeline_execution_id())
        .send()
        .await
        .map_err(|error| Error::aws("GetPipelineExecution", &error))?;
    let of = answer
        .pipeline_execution()
        .and_then(|run| run.rollback_metadata())
        .and_then(|rollback| rollback.rollback_target_pipeline_execution_id());
    Ok(of == Some(target.as_str()))
}

async fn roll_back_stage(app: &App, stage: &StageName, target: &ExecutionId) -> Result<String, Error> {
    let answer = app
        .pipelines
        .rollback_stage()
        .pipeline_name(app.config.pipeline.as_str())
        .stage_name(stage.as_str())
        .target_pipeline_execution_id(target.as_str())
        .customize()
        .config_override(aws_sdk_codepipeline::config::Builder::new().retry_classifier(OnlyRefused))
        .send()
        .await
        .map_err(|error| Error::aws("RollbackStage", &error))?;
    Ok(answer.pipeline_execution_id().to_owned())
}

async fn ended(app: &App, run: &str) -> Result<Option<()>, Error> {
    let answer = app
        .pipelines
        .get_pipeline_execution()
        .pipeline_name(app.config.pipeline.as_str())
        .pipeline_execution_id(run)
        .send()
        .await
        .map_err(|error| Error::aws("GetPipelineExecution", &error))?;
    match answer.pipeline_execution.and_then(|run| run.status) {
        Some(PipelineExecutionStatus::Succeeded) => Ok(Some(())),
        Some(PipelineExecutionStatus::InProgress) | None => Ok(None),
        Some(other) => Err(Error::Deployment {
            deployment: run.to_owned(),
            problem: format!("the rollback of a stage that prepares the stack ended as {other}"),
        }),
    }
}
