//! Reads what CodePipeline, the ledger and Secrets Manager know about an approval that has started.

use std::collections::HashMap;

use aws_sdk_codepipeline::operation::get_pipeline_state::GetPipelineStateOutput;
use aws_sdk_codepipeline::primitives::DateTime;
use aws_sdk_codepipeline::types::{
    ActionExecution, ActionExecutionDetail, ActionExecutionFilter, ActionExecutionStatus, ErrorDetails,
    ExecutionMode, PipelineExecution, StageExecutionStatus, StageState,
};
use jiff::Timestamp;
use signalbox_approvals::signing_keys;
use signalbox_bootstrap::unless_missing;
use signalbox_decision::approval::keys::Keys;
use signalbox_decision::approval::standing::{ActionReading, ActionStatus, Reading, RunStatus, Standing};
use signalbox_decision::approval::{ApprovalAction, Decision, Evidence, Token, stated_author};
use signalbox_decision::names::{ExecutionId, Revision};
use signalbox_decision::text::cut;
use signalbox_ledger::ApprovalKey;

use crate::app::App;
use crate::error::Error;
use crate::preview::preview;

/// What was read.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) standing: Standing,
    pub(crate) evidence: Evidence,
    pub(crate) decision: Option<Decision>,
    pub(crate) keys: Keys,
}

/// What CodePipeline says.
struct Read {
    state: Option<GetPipelineStateOutput>,
    run: Option<PipelineExecution>,
    /// The run's newest actions; `None` where CodePipeline knows no such run.
    actions: Option<Vec<ActionExecutionDetail>>,
}

impl Read {
    async fn now(app: &App, approval: &ApprovalAction) -> Result<Self, Error> {
        let (state, run, actions) = tokio::join!(
            state(app, approval),
            execution(app, approval),
            actions(app, approval)
        );
        Ok(Self {
            state: state?,
            run: run?,
            actions: actions?,
        })
    }

    /// The approval action itself, in the run's own list.
    fn detail(&self, approval: &ApprovalAction) -> Option<&ActionExecutionDetail> {
        self.actions.iter().flatten().find(|detail| {
            detail.stage_name() == Some(approval.stage.as_str())
                && detail.action_name() == Some(approval.action.as_str())
        })
    }

    fn standing(&self, approval: &ApprovalAction) -> Standing {
        let reading = match (&self.state, &self.run) {
            (None, _) => Reading::NoPipeline,
            (_, None) => Reading::NoRun,
            (Some(state), Some(run)) => reading(approval, state, run, self.detail(approval)),
        };
        Standing::of(reading, &approval.execution)
    }
}

/// How the action stands now.
pub(crate) async fn standing(app: &App, approval: &ApprovalAction) -> Result<Standing, Error> {
    Ok(Read::now(app, approval).await?.standing(approval))
}

/// Reads everything at the same time, but for what needs to know of the other first.
pub(crate) async fn gather(app: &App, approval: &ApprovalAction, region: &str) -> Result<Facts, Error> {
    let (keys, read) = tokio::join!(
        signing_keys(&app.secrets, &app.config.signing_secret),
        Read::now(app, approval)
    );
    let read = read?;
    let standing = read.standing(approval);
    let detail = read.detail(approval);
    let decision = match &standing {
        Standing::Waiting { token, .. } => decision(app, &ApprovalKey::new(approval, token.hash())).await?,
        _ => None,
    };
    let mut evidence = Evidence {
        environment: app.config.environment.clone(),
        console: console(approval, region),
        ..Evidence::default()
    };
    evidence.custom_data = detail.and_then(custom_data);
    if matches!(standing, Standing::Waiting { .. }) {
        evidence.preview = preview(
            app,
            approval,
            read.state.as_ref(),
            read.actions.as_deref().unwrap_or_default(),
        )
        .await;
    }
    if let Some(run) = &read.run {
        of_run(&mut evidence, run);
    }
    if let Some(state) = &read.state {
        of_state(&mut evidence, state, approval);
    }
    Ok(Facts {
        standing,
        evidence,
        decision,
        keys: keys?,
    })
}

async fn decision(app: &App, key: &ApprovalKey) -> Result<Option<Decision>, Error> {
    let stored = app
        .ledger
        .load_approval(key)
        .await?
        .and_then(|stored| stored.decision);
    stored
        .map(serde_json::from_value)
        .transpose()
        .map_err(|error: serde_json::Error| Error::Record(format!("{:?}", error.classify())))
}

/// `None` where the pipeline does not exist.
async fn state(app: &App, approval: &ApprovalAction) -> Result<Option<GetPipelineStateOutput>, Error> {
    let answer = app
        .pipelines
        .get_pipeline_state()
        .name(approval.pipeline.as_str())
        .send()
        .await;
    unless_missing(answer, |error| error.is_pipeline_not_found_exception())
        .map_err(Error::of("GetPipelineState"))
}

/// `None` where the run does not exist.
async fn execution(app: &App, approval: &ApprovalAction) -> Result<Option<PipelineExecution>, Error> {
    let answer = app
        .pipelines
        .get_pipeline_execution()
        .pipeline_name(approval.pipeline.as_str())
        .pipeline_execution_id(approval.execution.as_str())
        .send()
        .await;
    let answer = unless_missing(answer, |error| {
        error.is_pipeline_not_found_exception() || error.is_pipeline_execution_not_found_exception()
    });
    let answer = answer.map_err(Error::of("GetPipelineExecution"))?;
    Ok(answer.and_then(|answer| answer.pipeline_execution))
}

fn reading(
    approval: &ApprovalAction,
    state: &GetPipelineStateOutput,
    run: &PipelineExecution,
    detail: Option<&ActionExecutionDetail>,
) -> Reading {
    // Runs of a PARALLEL pipeline go side by side; its state shows one of them.
    if run.execution_mode() == Some(&ExecutionMode::Parallel) {
        let action = detail.map(|detail| of_detail(detail, approval));
        return Reading::Read {
            run: RunStatus::InProgress,
            action,
        };
    }
    let Some(stage) = stage(state, approval) else {
        return Reading::Read {
            run: RunStatus::InProgress,
            action: None,
        };
    };
    let latest = stage.latest_execution();
    let run = match latest.map(|latest| latest.status()) {
        Some(StageExecutionStatus::InProgress) => RunStatus::InProgress,
        Some(
            StageExecutionStatus::Stopped | StageExecutionStatus::Stopping | StageExecutionStatus::Cancelled,
        ) => RunStatus::Stopped,
        _ => RunStatus::Ended,
    };
    let of = latest.and_then(|latest| ExecutionId::new(latest.pipeline_execution_id()).ok());
    let action = stage
        .action_states()
        .iter()
        .find(|action| action.action_name() == Some(approval.action.as_str()));
    Reading::Read {
        run,
        action: action.map(|action| of_action(action.latest_execution(), of)),
    }
}

pub(crate) fn stage<'a>(
    state: &'a GetPipelineStateOutput,
    approval: &ApprovalAction,
) -> Option<&'a StageState> {
    state
        .stage_states()
        .iter()
        .find(|stage| stage.stage_name() == Some(approval.stage.as_str()))
}

fn of_action(latest: Option<&ActionExecution>, execution: Option<ExecutionId>) -> ActionReading {
    ActionReading {
        execution,
        status: status(latest.and_then(ActionExecution::status)),
        token: latest.and_then(ActionExecution::token).map(Token::new),
        summary: latest.and_then(ActionExecution::summary).map(str::to_owned),
        updated_by: latest
            .and_then(ActionExecution::last_updated_by)
            .map(str::to_owned),
        changed: latest
            .and_then(ActionExecution::last_status_change)
            .and_then(time),
        error: latest.and_then(ActionExecution::error_details).map(error_text),
    }
}

fn error_text(error: &ErrorDetails) -> String {
    format!(
        "{} {}",
        error.code().unwrap_or_default(),
        error.message().unwrap_or_default()
    )
}

/// The run's own list of actions, newest first.
async fn actions(app: &App, approval: &ApprovalAction) -> Result<Option<Vec<ActionExecutionDetail>>, Error> {
    let filter = ActionExecutionFilter::builder()
        .pipeline_execution_id(approval.execution.as_str())
        .build();
    let answer = app
        .pipelines
        .list_action_executions()
        .pipeline_name(approval.pipeline.as_str())
        .filter(filter)
        .send()
        .await;
    // Newest first, and what has just started is among the newest: one page is enough.
    let page = unless_missing(answer, |error| {
        error.is_pipeline_not_found_exception() || error.is_pipeline_execution_not_found_exception()
    });
    let page = page.map_err(Error::of("ListActionExecutions"))?;
    Ok(page.map(|page| page.action_execution_details.unwrap_or_default()))
}

/// In a PARALLEL pipeline the token is the action's external execution id (user guide, "Approve or
/// reject an approval action").
fn of_detail(detail: &ActionExecutionDetail, approval: &ApprovalAction) -> ActionReading {
    let result = detail.output().and_then(|output| output.execution_result());
    ActionReading {
        execution: Some(approval.execution.clone()),
        status: status(detail.status()),
        token: result
            .and_then(|result| result.external_execution_id())
            .map(Token::new),
        summary: result
            .and_then(|result| result.external_execution_summary())
            .map(str::to_owned),
        updated_by: detail.updated_by().map(str::to_owned),
        // While it waits, the time since when.
        changed: match detail.status() {
            Some(ActionExecutionStatus::InProgress) => detail.start_time().and_then(time),
            _ => detail.last_update_time().and_then(time),
        },
        error: result.and_then(|result| result.error_details()).map(error_text),
    }
}

/// What the pipeline's author wrote into the action, with the pipeline's variables filled in.
fn custom_data(detail: &ActionExecutionDetail) -> Option<String> {
    let input = detail.input()?;
    let of = |configuration: Option<&HashMap<String, String>>| configuration?.get("CustomData").cloned();
    of(input.resolved_configuration()).or_else(|| of(input.configuration()))
}

fn of_run(evidence: &mut Evidence, run: &PipelineExecution) {
    let source = run
        .artifact_revisions()
        .iter()
        .find(|revision| revision.revision_id().is_some());
    let summary = source.and_then(|source| source.revision_summary());
    evidence.revision = source.and_then(|source| Revision::new(source.revision_id()?).ok());
    evidence.revision_summary = summary.map(|text| cut(text, 2048).to_owned());
    let variable = run.variables().iter().find(|variable| {
        variable
            .name()
            .is_some_and(|name| name.eq_ignore_ascii_case("author"))
    });
    evidence.author = stated_author(variable.and_then(|variable| variable.resolved_value()), summary);
    evidence.started_by = run.trigger().and_then(|trigger| {
        let kind = trigger.trigger_type()?.as_str();
        Some(
            format!("{kind} {}", trigger.trigger_detail().unwrap_or_default())
                .trim()
                .to_owned(),
        )
    });
}

fn of_state(evidence: &mut Evidence, state: &GetPipelineStateOutput, approval: &ApprovalAction) {
    let passed = |stage: &&StageState| {
        stage.latest_execution().is_some_and(|run| {
            run.pipeline_execution_id() == approval.execution.as_str()
                && *run.status() == StageExecutionStatus::Succeeded
        })
    };
    evidence.passed = state
        .stage_states()
        .iter()
        .filter(passed)
        .filter_map(|stage| Some(stage.stage_name()?.to_owned()))
        .collect();
    // What waits in front of a stage waits behind the run that is in it, and behind no other.
    evidence.newer_waiting = stage(state, approval)
        .filter(|stage| {
            stage
                .latest_execution()
                .is_some_and(|run| run.pipeline_execution_id() == approval.execution.as_str())
        })
        .map(|stage| stage.inbound_executions())
        .unwrap_or_default()
        .iter()
        .filter(|run| run.pipeline_execution_id() != approval.execution.as_str())
        .filter_map(|run| ExecutionId::new(run.pipeline_execution_id()).ok())
        .collect();
}

/// The run's page in the console. Without a region in it the console takes the reader's last one.
fn console(approval: &ApprovalAction, region: &str) -> String {
    if region.is_empty() {
        return format!(
            "https://console.aws.amazon.com/codesuite/codepipeline/pipelines/{}/executions/{}/timeline",
            approval.pipeline, approval.execution
        );
    }
    format!(
        "https://{region}.console.aws.amazon.com/codesuite/codepipeline/pipelines/{}/executions/{}/timeline?region={region}",
        approval.pipeline, approval.execution
    )
}

fn status(status: Option<&ActionExecutionStatus>) -> ActionStatus {
    match status {
        Some(ActionExecutionStatus::InProgress) => ActionStatus::InProgress,
        Some(ActionExecutionStatus::Succeeded) => ActionStatus::Succeeded,
        Some(ActionExecutionStatus::Failed) => ActionStatus::Failed,
        Some(ActionExecutionStatus::Abandoned) => ActionStatus::Abandoned,
        _ => ActionStatus::Unknown,
    }
}

pub(crate) fn time(at: &DateTime) -> Option<Timestamp> {
    Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()
}

#[cfg(test)]
mod tests;
