//! What CodePipeline shows now.

use std::collections::BTreeMap;

use aws_sdk_codepipeline::operation::get_pipeline_state::GetPipelineStateOutput;
use aws_sdk_codepipeline::primitives::DateTime;
use aws_sdk_codepipeline::types::{ActionExecutionDetail, ActionExecutionFilter};
use jiff::{SignedDuration, Timestamp};
use signalbox_bootstrap::unless_missing;
use signalbox_decision::approval::standing::{ActionReading, ActionStatus, Reading, RunStatus, Standing};
use signalbox_decision::approval::{ApprovalAction, Token};
use signalbox_decision::names::{ActionName, ExecutionId, StageName};
use signalbox_decision::timeline::State;

use crate::app::App;
use crate::error::{Error, Listed};

/// What ended longer ago than this was looked at by hundreds of sweeps.
pub(crate) const RECENT: SignedDuration = SignedDuration::from_hours(24);
/// 100 a page.
const MAX_RUN_PAGES: usize = 10;
const MAX_ACTION_PAGES: usize = 20;

/// A run, as it is listed.
#[derive(Debug, Clone)]
pub(crate) struct SeenRun {
    pub(crate) execution: ExecutionId,
    pub(crate) state: State,
    pub(crate) updated: Option<Timestamp>,
}

impl SeenRun {
    pub(crate) fn is_recent(&self, now: Timestamp) -> bool {
        self.updated.is_none_or(|at| now.duration_since(at) < RECENT)
    }
}

/// The runs that can still be of interest, newest first.
pub(crate) async fn runs(app: &App, now: Timestamp) -> Result<Listed<SeenRun>, Error> {
    let oldest = now
        .saturating_sub(app.config.timeout + RECENT)
        .unwrap_or(Timestamp::MIN);
    let (mut all, mut next) = (Vec::new(), None);
    for _ in 0..MAX_RUN_PAGES {
        let answer = app
            .pipelines
            .list_pipeline_executions()
            .pipeline_name(app.config.pipeline.as_str())
            .max_results(100)
            .set_next_token(next)
            .send()
            .await;
        let answer = unless_missing(answer, |error| error.is_pipeline_not_found_exception());
        let Some(answer) = answer.map_err(Error::of("ListPipelineExecutions"))? else {
            return Ok(Listed::all(Vec::new()));
        };
        let mut is_past = false;
        for summary in answer.pipeline_execution_summaries() {
            is_past |= summary.start_time().and_then(time).is_some_and(|at| at < oldest);
            let id = summary
                .pipeline_execution_id()
                .and_then(|id| ExecutionId::new(id).ok());
            if let (Some(execution), Some(status)) = (id, summary.status()) {
                all.push(SeenRun {
                    execution,
                    state: State::of(status.as_str()),
                    updated: summary.last_update_time().and_then(time),
                });
            }
        }
        next = answer.next_token().map(str::to_owned);
        if next.is_none() || is_past {
            return Ok(Listed::all(all));
        }
    }
    let cut = Error::TooMany(
        "ListPipelineExecutions",
        MAX_RUN_PAGES * 100,
        "runs younger than a day and APPROVAL_TIMEOUT_MINUTES",
    );
    Ok(Listed {
        read: all,
        cut: Some(cut),
    })
}

/// `None` where the pipeline does not exist.
pub(crate) async fn state(app: &App) -> Result<Option<GetPipelineStateOutput>, Error> {
    let answer = app
        .pipelines
        .get_pipeline_state()
        .name(app.config.pipeline.as_str())
        .send()
        .await;
    unless_missing(answer, |error| error.is_pipeline_not_found_exception())
        .map_err(Error::of("GetPipelineState"))
}

/// Every execution of every action of a run, newest first.
pub(crate) async fn actions(app: &App, execution: &ExecutionId) -> Result<Vec<ActionExecutionDetail>, Error> {
    let filter = ActionExecutionFilter::builder()
        .pipeline_execution_id(execution.as_str())
        .build();
    let (mut all, mut next) = (Vec::new(), None);
    for _ in 0..MAX_ACTION_PAGES {
        let answer = app
            .pipelines
            .list_action_executions()
            .pipeline_name(app.config.pipeline.as_str())
            .filter(filter.clone())
            .max_results(100)
            .set_next_token(next)
            .send()
            .await;
        let answer = unless_missing(answer, |error| {
            error.is_pipeline_not_found_exception() || error.is_pipeline_execution_not_found_exception()
        });
        let Some(answer) = answer.map_err(Error::of("ListActionExecutions"))? else {
            return Ok(Vec::new());
        };
        next = answer.next_token().map(str::to_owned);
        all.extend(answer.action_execution_details.unwrap_or_default());
        if next.is_none() {
            return Ok(all);
        }
    }
    Err(Error::TooMany(
        "ListActionExecutions",
        MAX_ACTION_PAGES * 100,
        "actions of one run",
    ))
}

/// The state of each action's execution, by its id.
pub(crate) fn states(actions: &[ActionExecutionDetail]) -> BTreeMap<String, State> {
    let state = |detail: &ActionExecutionDetail| {
        Some((
            detail.action_execution_id()?.to_owned(),
            State::of(detail.status()?.as_str()),
        ))
    };
    actions.iter().filter_map(state).collect()
}

/// The approval actions of a run that wait, each with the token of its asking; those whose token is not
/// shown yet have just started, and are the next sweep's.
///
/// The token is in the pipeline's state; in a PARALLEL pipeline, whose state shows one run of many, it is
/// the action's external execution id (user guide, "Approve or reject an approval action").
pub(crate) fn open_approvals(
    app: &App,
    execution: &ExecutionId,
    state: &GetPipelineStateOutput,
    actions: &[ActionExecutionDetail],
) -> Vec<(ApprovalAction, Token)> {
    let waiting = actions
        .iter()
        .filter(|detail| is_approval(detail) && status(detail) == ActionStatus::InProgress);
    waiting
        .filter_map(|detail| {
            let approval = ApprovalAction {
                pipeline: app.config.pipeline.clone(),
                execution: execution.clone(),
                stage: StageName::new(detail.stage_name()?).ok()?,
                action: ActionName::new(detail.action_name()?).ok()?,
            };
            let token = token_of_state(state, &approval).or_else(|| external(detail))?;
            Some((approval, Token::new(token)))
        })
        .collect()
}

fn is_approval(detail: &ActionExecutionDetail) -> bool {
    let kind = detail.input().and_then(|input| input.action_type_id());
    kind.is_some_and(|kind| kind.category().as_str() == "Approval")
}

fn token_of_state(state: &GetPipelineStateOutput, approval: &ApprovalAction) -> Option<String> {
    let stage = state
        .stage_states()
        .iter()
        .find(|stage| stage.stage_name() == Some(approval.stage.as_str()))?;
    let is_this_run = stage.latest_execution()?.pipeline_execution_id() == approval.execution.as_str();
    let action = stage
        .action_states()
        .iter()
        .find(|action| action.action_name() == Some(approval.action.as_str()))?;
    let token = action.latest_execution()?.token()?;
    is_this_run.then(|| token.to_owned())
}

fn external(detail: &ActionExecutionDetail) -> Option<String> {
    let result = detail.output().and_then(|output| output.execution_result());
    result
        .and_then(|result| result.external_execution_id())
        .map(str::to_owned)
}

/// Whether the approval's latest execution in a run ended unanswered.
pub(crate) fn has_lapsed(approval: &ApprovalAction, actions: &[ActionExecutionDetail]) -> bool {
    let latest = actions
        .iter()
        .filter(|detail| {
            detail.stage_name() == Some(approval.stage.as_str())
                && detail.action_name() == Some(approval.action.as_str())
        })
        .max_by_key(|detail| detail.start_time().and_then(time));
    let Some(detail) = latest else {
        return false;
    };
    let result = detail.output().and_then(|output| output.execution_result());
    let error = result.and_then(|result| result.error_details());
    let error = error.map(|error| {
        format!(
            "{}: {}",
            error.code().unwrap_or_default(),
            error.message().unwrap_or_default()
        )
    });
    let reading = Reading::Read {
        run: RunStatus::Ended,
        action: Some(ActionReading {
            execution: Some(approval.execution.clone()),
            status: status(detail),
            token: None,
            summary: None,
            updated_by: detail.updated_by().map(str::to_owned),
            changed: None,
            error: error.or_else(|| result?.external_execution_summary().map(str::to_owned)),
        }),
    };
    Standing::of(reading, &approval.execution) == Standing::Lapsed
}

fn status(detail: &ActionExecutionDetail) -> ActionStatus {
    match detail.status().map(|status| State::of(status.as_str())) {
        Some(State::InProgress) => ActionStatus::InProgress,
        Some(State::Succeeded) => ActionStatus::Succeeded,
        Some(State::Failed) => ActionStatus::Failed,
        Some(State::Stopped) => ActionStatus::Abandoned,
        _ => ActionStatus::Unknown,
    }
}

pub(crate) fn time(at: &DateTime) -> Option<Timestamp> {
    Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()
}
