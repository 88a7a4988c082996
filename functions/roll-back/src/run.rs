//! Which run brought a deployment, and who stands behind it.

use aws_sdk_codepipeline::types::{ActionExecutionDetail, ExecutionType, PipelineExecution};
use jiff::Timestamp;
use serde::Deserialize;
use signalbox_decision::approval::{Decision, Record, Verdict, stated_author};
use signalbox_decision::names::ExecutionId;
use signalbox_decision::rollback::attribution::{ReleaseAction, run_of};
use signalbox_decision::rollback::words::Run;
use signalbox_decision::timeline::{RolledBack, Subject, Timeline};
use signalbox_ledger::Saved;
use tracing::warn;

use crate::again::again;
use crate::app::App;
use crate::error::Error;
use crate::facts::time;

/// A run, or why none can be named. To name none is no reason to leave a bad version where it is.
pub(crate) type Attributed = Result<Run, NotNamed>;

/// Why no run can be named.
#[derive(Debug, Clone)]
pub(crate) struct NotNamed {
    /// For people.
    pub(crate) why: String,
    /// CodePipeline knows, and did not answer.
    pub(crate) unanswered: bool,
}

impl NotNamed {
    /// There is none to name.
    pub(crate) fn none(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            unanswered: false,
        }
    }

    fn unanswered(why: String) -> Self {
        Self {
            why,
            unanswered: true,
        }
    }
}

/// How often the timeline is tried: track-run writes it too, and most when a run ends.
const TRIES: usize = 10;

/// Pages of a hundred action executions that are read at most: thousands of runs.
const MAX_PAGES: usize = 50;

/// The newest action executions of the pipeline, of which some may be the release stage's.
///
/// Asked again where AWS does not answer: that a deployment is itself a rollback, of a stage, only its run tells.
pub(crate) async fn actions(app: &App) -> Result<Vec<ReleaseAction>, String> {
    actions_back_to(app, Timestamp::MAX).await
}

/// As [`actions`], and on to those that began before `moment`: between two releases many runs may have been superseded
/// or rejected. AWS lists the newest first.
pub(crate) async fn actions_back_to(app: &App, moment: Timestamp) -> Result<Vec<ReleaseAction>, String> {
    let stage = Some(app.config.release_stage.as_str());
    let mut actions = Vec::new();
    let mut next: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let list = async || {
            app.pipelines
                .list_action_executions()
                .pipeline_name(app.config.pipeline.as_str())
                .max_results(100)
                .set_next_token(next.clone())
                .send()
                .await
                .map_err(|error| Error::aws("ListActionExecutions", &error))
        };
        let answer = again(list).await.map_err(|error| {
            let cause = error.to_string();
            warn!(cause, "no run can be named, nor marked");
            cause
        })?;
        let details = answer.action_execution_details();
        let of_stage = details.iter().filter(|detail| detail.stage_name() == stage);
        actions.extend(of_stage.filter_map(release_action));
        let reached = details
            .last()
            .is_none_or(|oldest| time(oldest.start_time()) < moment);
        next = answer.next_token().map(str::to_owned);
        if reached || next.is_none() {
            break;
        }
    }
    Ok(actions)
}

fn release_action(detail: &ActionExecutionDetail) -> Option<ReleaseAction> {
    use aws_sdk_codepipeline::types::ActionExecutionStatus::InProgress;
    Some(ReleaseAction {
        execution: ExecutionId::new(detail.pipeline_execution_id()?).ok()?,
        started: time(detail.start_time()),
        ended: (detail.status() != Some(&InProgress)).then(|| time(detail.last_update_time())),
    })
}

/// The run that was in the release stage when a deployment was created.
pub(crate) async fn of_deployment(
    app: &App,
    created: Timestamp,
    actions: &Result<Vec<ReleaseAction>, String>,
) -> Attributed {
    let actions = actions
        .as_ref()
        .map_err(|why| NotNamed::unanswered(why.clone()))?;
    let execution = run_of(created, actions).ok_or_else(|| {
        NotNamed::none(format!(
            "not exactly one run of {} was in stage {} when the deployment began",
            app.config.pipeline, app.config.release_stage
        ))
    })?;
    let get = async || {
        app.pipelines
            .get_pipeline_execution()
            .pipeline_name(app.config.pipeline.as_str())
            .pipeline_execution_id(execution.as_str())
            .send()
            .await
            .map_err(|error| Error::aws("GetPipelineExecution", &error))
    };
    let answer = again(get).await.map_err(|error| {
        let cause = error.to_string();
        warn!(cause, "the run cannot be named, nor marked");
        NotNamed::unanswered(cause)
    })?;
    let run = answer
        .pipeline_execution()
        .ok_or_else(|| NotNamed::unanswered(format!("CodePipeline says nothing about run {execution}")))?;
    Ok(described(execution.clone(), run))
}

fn described(execution: ExecutionId, run: &PipelineExecution) -> Run {
    let source = run
        .artifact_revisions()
        .iter()
        .find(|revision| revision.revision_id().is_some());
    let variable = run.variables().iter().find(|variable| {
        variable
            .name()
            .is_some_and(|name| name.eq_ignore_ascii_case("author"))
    });
    Run {
        execution,
        is_rollback: run.execution_type() == Some(&ExecutionType::Rollback),
        revision: source.and_then(|source| source.revision_id()).map(str::to_owned),
        author: stated_author(
            variable.and_then(|variable| variable.resolved_value()),
            source.and_then(|source| source.revision_summary()),
        ),
        approvers: Vec::new(),
    }
}

/// Fills in who approved the run, and who its author is where CodePipeline does not say: both stand in what
/// the approvers were asked, and what they answered.
pub(crate) async fn with_people(app: &App, mut run: Run) -> Result<Run, Error> {
    #[derive(Deserialize)]
    struct Vote {
        person: String,
    }
    let approvals = app
        .ledger
        .approvals_of_run(&app.config.pipeline, &run.execution)
        .await?;
    for asked in approvals {
        // What an older version wrote and nobody can read any more names nobody.
        let record: Option<Record> = asked
            .record
            .and_then(|record| serde_json::from_value(record).ok());
        if run.author.is_none() {
            run.author = record.and_then(|record| record.evidence.author);
        }
        let decision: Option<Decision> = asked
            .decision
            .and_then(|decision| serde_json::from_value(decision).ok());
        let Some(decision) = decision.filter(|decision| decision.verdict == Verdict::Approved) else {
            continue;
        };
        let votes = asked
            .votes
            .into_iter()
            .filter_map(|vote| serde_json::from_value::<Vote>(vote).ok())
            .map(|vote| vote.person);
        for person in votes.chain([decision.by]) {
            if !run
                .approvers
                .iter()
                .any(|known| known.eq_ignore_ascii_case(&person))
            {
                run.approvers.push(person);
            }
        }
    }
    Ok(run)
}

/// Marks the run's timeline: what it brought was undone.
pub(crate) async fn mark(
    app: &App,
    run: &Run,
    deployment: &str,
    rolled_back: &RolledBack,
    now: Timestamp,
) -> Result<(), Error> {
    let subject = Subject::Run {
        pipeline: app.config.pipeline.clone(),
        execution: run.execution.clone(),
    };
    for _ in 0..TRIES {
        let stored = app.ledger.load_timeline(&subject).await?;
        let mut timeline: Timeline = stored.timeline;
        timeline
            .rollbacks
            .insert(deployment.to_owned(), rolled_back.clone());
        let saved = app
            .ledger
            .save_timeline(&subject, &timeline, stored.version, now)
            .await?;
        if let Saved::Saved(_) = saved {
            return Ok(());
        }
    }
    Err(Error::Unsettled(format!(
        "the timeline of run {} kept changing while it was being marked",
        run.execution
    )))
}
