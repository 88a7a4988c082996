//! Asks AWS what the event hints at.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_codepipeline::primitives::DateTime;
use aws_sdk_codepipeline::types::{ActionExecutionDetail, ActionExecutionFilter};
use jiff::{SignedDuration, Timestamp};
use signalbox_bootstrap::unless_missing;
use signalbox_decision::names::ExecutionId;
use signalbox_decision::text::cut;
use signalbox_decision::timeline::attempts::{Hint, Reading};
use signalbox_decision::timeline::{Action, Build, Deployment, Progress, State, Subject, Timeline};
use signalbox_events::codebuild::BuildEvent;
use signalbox_events::codedeploy::DeploymentEvent;
use signalbox_events::codepipeline::{Change as Changed, PipelineEvent};

use crate::app::App;
use crate::change::Change;
use crate::error::Error;

/// 100 actions a page; a run that was retried for days has a few hundred.
const MAX_PAGES: usize = 20;
/// Which run a build or deployment belongs to is looked for among the actions of all runs, and mostly found on
/// the first page; a hundred runs that wait in front of a stage leave the rest behind them.
const MAX_PAGES_OF_ALL: usize = 10;
/// CodeDeploy's last event may come after the action that waited for the deployment has ended.
const SLACK: SignedDuration = SignedDuration::from_mins(2);
/// Before the list of actions is read again, where it is behind. How far it may be is not documented.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(1000),
];
/// A CloudFormation action in this mode prepares a change set, and deploys nothing (CodePipeline user guide,
/// "CloudFormation deploy action reference").
const PREPARES: &str = "CHANGE_SET_REPLACE";

/// What an event is about, and all that is known of it now.
pub(crate) struct Observed {
    pub(crate) subject: Subject,
    pub(crate) timeline: Timeline,
}

/// The inner error says why nothing follows.
pub(crate) async fn gather(app: &App, change: &Change) -> Result<Result<Observed, &'static str>, Error> {
    match change {
        Change::Pipeline(event) => run(app, event).await.map(Ok),
        Change::Build(event) => build(app, event).await,
        Change::Deployment(event) => deployment(app, event).await.map(Ok),
    }
}

async fn run(app: &App, event: &PipelineEvent) -> Result<Observed, Error> {
    let hint = |stage: Option<String>, state: &State| Hint {
        stage,
        state: state.clone(),
        attempt: event.attempt,
        at: event.at,
    };
    let hint = match &event.change {
        Changed::Run { state } => Some(hint(None, state)),
        Changed::Stage { stage, state } => Some(hint(Some(stage.to_string()), state)),
        Changed::Action { .. } => None,
    };
    let reading = read(app, &event.execution, hint.as_ref()).await?;
    let timeline = match &event.change {
        Changed::Run { .. } | Changed::Stage { .. } => reading.observed(hint.as_ref()),
        Changed::Action {
            stage,
            action,
            category,
            provider,
            state,
            id,
            external,
        } => {
            let mut timeline = reading.observed(None);
            if let Some(id) = id {
                let seen = Action {
                    stage: stage.to_string(),
                    name: action.to_string(),
                    category: category.clone(),
                    provider: provider.clone(),
                    external: external.clone(),
                    error: None,
                    progress: Progress::seen(state.clone(), event.at),
                };
                let actions = BTreeMap::from([(id.clone(), seen)]);
                timeline.merge(&Timeline {
                    actions,
                    ..Timeline::default()
                });
            }
            timeline
        }
    };
    let subject = Subject::Run {
        pipeline: event.pipeline.clone(),
        execution: event.execution.clone(),
    };
    Ok(Observed { subject, timeline })
}

async fn build(app: &App, event: &BuildEvent) -> Result<Result<Observed, &'static str>, Error> {
    let builds = BTreeMap::from([(
        event.id.clone(),
        Build {
            project: event.project.clone(),
            initiator: event.initiator.clone(),
            logs: event.logs.clone(),
            progress: Progress::seen(event.state.clone(), event.at),
        },
    )]);
    let seen = Timeline {
        builds,
        ..Timeline::default()
    };
    let by_pipeline = event
        .initiator
        .as_deref()
        .and_then(|initiator| initiator.strip_prefix("codepipeline/"));
    if by_pipeline != Some(app.config.pipeline.as_str()) {
        return Ok(Ok(Observed {
            subject: Subject::Build { id: event.id.clone() },
            timeline: seen,
        }));
    }
    match find(app, |listed| {
        listed.action.external.as_deref() == Some(event.id.as_str())
    })
    .await?
    {
        Some(Listed { execution, .. }) => of_run(app, &execution, &seen).await.map(Ok),
        // The run's own events tell of its failures; what is lost is how long this build took.
        None => Ok(Err("the pipeline's run of this build is not listed yet")),
    }
}

/// A deployment does not say which run it belongs to: CloudFormation made it. It is the run whose action changed the
/// stack at that time; deployments of one group go one after the other.
async fn deployment(app: &App, event: &DeploymentEvent) -> Result<Observed, Error> {
    let deployments = BTreeMap::from([(
        event.id.to_string(),
        Deployment {
            application: event.application.to_string(),
            group: event.group.to_string(),
            progress: Progress::seen(event.state.clone(), event.at),
        },
    )]);
    let seen = Timeline {
        deployments,
        ..Timeline::default()
    };
    match find(app, |listed| made(listed, event)).await? {
        Some(Listed { execution, .. }) => of_run(app, &execution, &seen).await,
        None => Ok(Observed {
            subject: Subject::Deployment { id: event.id.clone() },
            timeline: seen,
        }),
    }
}

fn made(listed: &Listed, event: &DeploymentEvent) -> bool {
    let action = &listed.action;
    if action.external.as_deref() == Some(event.id.as_str()) {
        return true;
    }
    let (Some(at), Some(started)) = (event.at, action.progress.started) else {
        return false;
    };
    let ended = action.progress.ended.map_or(Timestamp::MAX, |ended| {
        ended.saturating_add(SLACK).unwrap_or(Timestamp::MAX)
    });
    // Events have whole seconds.
    let had_begun = started.as_second() <= at.as_second();
    listed.changes_stack && had_begun && at <= ended
}

async fn of_run(app: &App, execution: &ExecutionId, seen: &Timeline) -> Result<Observed, Error> {
    let mut timeline = read(app, execution, None).await?.observed(None);
    timeline.merge(seen);
    let subject = Subject::Run {
        pipeline: app.config.pipeline.clone(),
        execution: execution.clone(),
    };
    Ok(Observed { subject, timeline })
}

/// All that CodePipeline knows of a run; nothing where it does not know it. A list of actions that is behind what else
/// is known is read again: what is told of a failure names the action and its reason, and is told once.
async fn read(app: &App, execution: &ExecutionId, hint: Option<&Hint>) -> Result<Reading, Error> {
    let mut reading = read_once(app, execution).await?;
    for pause in PAUSES {
        if !reading.lags(hint) {
            break;
        }
        tokio::time::sleep(pause).await;
        reading = read_once(app, execution).await?;
    }
    Ok(reading)
}

/// What CodePipeline says now.
///
/// The actions are read before the state: should the run be retried in between, then the state is that of
/// an attempt that is not in the list yet, and going on; the other way round, an old attempt's failure
/// would be put onto the new one.
async fn read_once(app: &App, execution: &ExecutionId) -> Result<Reading, Error> {
    let listed = list(app, execution).await?;
    let (stages, run) = tokio::join!(stages(app, execution), status(app, execution));
    let (status, revision) = run?;
    let actions = listed
        .into_iter()
        .map(|listed| (listed.id, listed.action))
        .collect();
    Ok(Reading {
        status,
        revision,
        stages: stages?,
        actions,
    })
}

async fn status(app: &App, execution: &ExecutionId) -> Result<(Option<State>, Option<String>), Error> {
    let answer = app
        .pipelines
        .get_pipeline_execution()
        .pipeline_name(app.config.pipeline.as_str())
        .pipeline_execution_id(execution.as_str())
        .send()
        .await;
    let answer = unless_missing(answer, |error| {
        error.is_pipeline_execution_not_found_exception() || error.is_pipeline_not_found_exception()
    });
    let Some(answer) = answer.map_err(Error::of("GetPipelineExecution"))? else {
        return Ok((None, None));
    };
    let run = answer.pipeline_execution();
    let status = run
        .and_then(|run| run.status())
        .map(|status| State::of(status.as_str()));
    let revision = run
        .and_then(|run| run.artifact_revisions().first())
        .and_then(|revision| revision.revision_id());
    Ok((status, revision.map(str::to_owned)))
}

async fn stages(app: &App, execution: &ExecutionId) -> Result<BTreeMap<String, State>, Error> {
    let answer = app
        .pipelines
        .get_pipeline_state()
        .name(app.config.pipeline.as_str())
        .send()
        .await;
    let answer = unless_missing(answer, |error| error.is_pipeline_not_found_exception());
    let Some(answer) = answer.map_err(Error::of("GetPipelineState"))? else {
        return Ok(BTreeMap::new());
    };
    let mine = answer.stage_states().iter().filter_map(|stage| {
        let latest = stage.latest_execution()?;
        let is_mine = latest.pipeline_execution_id() == execution.as_str();
        is_mine.then(|| {
            Some((
                stage.stage_name()?.to_owned(),
                State::of(latest.status().as_str()),
            ))
        })?
    });
    Ok(mine.collect())
}

struct Listed {
    id: String,
    execution: ExecutionId,
    action: Action,
    /// Whether it is CloudFormation's, and executes what it prepares.
    changes_stack: bool,
}

/// The actions of a run, newest first.
async fn list(app: &App, execution: &ExecutionId) -> Result<Vec<Listed>, Error> {
    let filter = ActionExecutionFilter::builder()
        .pipeline_execution_id(execution.as_str())
        .build();
    let (mut all, mut next) = (Vec::new(), None);
    for _ in 0..MAX_PAGES {
        let (some, more) = page(app, Some(&filter), next).await?;
        all.extend(some);
        next = more;
        if next.is_none() {
            break;
        }
    }
    Ok(all)
}

/// The newest of the pipeline's actions that is wanted, of any run.
async fn find(app: &App, wanted: impl Fn(&Listed) -> bool) -> Result<Option<Listed>, Error> {
    let mut next = None;
    for _ in 0..MAX_PAGES_OF_ALL {
        let (some, more) = page(app, None, next).await?;
        let found = some.into_iter().find(&wanted);
        next = more;
        if found.is_some() || next.is_none() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// A page of actions, and the token of the next. Of a pipeline or run that does not exist, an empty one.
async fn page(
    app: &App,
    filter: Option<&ActionExecutionFilter>,
    token: Option<String>,
) -> Result<(Vec<Listed>, Option<String>), Error> {
    let answer = app
        .pipelines
        .list_action_executions()
        .pipeline_name(app.config.pipeline.as_str())
        .set_filter(filter.cloned())
        .max_results(100)
        .set_next_token(token)
        .send()
        .await;
    let answer = unless_missing(answer, |error| {
        error.is_pipeline_not_found_exception() || error.is_pipeline_execution_not_found_exception()
    });
    let Some(answer) = answer.map_err(Error::of("ListActionExecutions"))? else {
        return Ok((Vec::new(), None));
    };
    let actions = answer.action_execution_details().iter().filter_map(listed);
    Ok((actions.collect(), answer.next_token().map(str::to_owned)))
}

fn listed(detail: &ActionExecutionDetail) -> Option<Listed> {
    let state = State::of(detail.status()?.as_str());
    let kind = detail.input().and_then(|input| input.action_type_id());
    let category = kind
        .map(|kind| kind.category().as_str().to_owned())
        .unwrap_or_default();
    let provider = kind.map(|kind| kind.provider().to_owned()).unwrap_or_default();
    let mode = detail
        .input()
        .and_then(|input| input.configuration()?.get("ActionMode"));
    let result = detail.output().and_then(|output| output.execution_result());
    let error = result.and_then(|result| {
        let details = result.error_details().and_then(|error| error.message());
        // An approval's summary is the approver's own comment, and stays with the approval.
        details.or_else(|| {
            result
                .external_execution_summary()
                .filter(|_| category != "Approval")
        })
    });
    let progress = Progress {
        started: detail.start_time().and_then(time),
        ended: detail
            .last_update_time()
            .and_then(time)
            .filter(|_| state.is_final()),
        state,
    };
    Some(Listed {
        id: detail.action_execution_id()?.to_owned(),
        execution: ExecutionId::new(detail.pipeline_execution_id()?).ok()?,
        changes_stack: category == "Deploy"
            && provider == "CloudFormation"
            && mode.is_none_or(|mode| mode != PREPARES),
        action: Action {
            stage: detail.stage_name()?.to_owned(),
            name: detail.action_name()?.to_owned(),
            category,
            provider,
            external: result
                .and_then(|result| result.external_execution_id())
                .map(str::to_owned),
            error: error
                .filter(|_| progress.state == State::Failed)
                .map(|error| cut(error, 500).to_owned()),
            progress,
        },
    })
}

fn time(at: &DateTime) -> Option<Timestamp> {
    Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use aws_sdk_codepipeline::types::{
        ActionCategory, ActionExecutionInput, ActionExecutionStatus, ActionOwner, ActionTypeId,
    };
    use signalbox_decision::names::{ApplicationName, DeploymentGroupName, DeploymentId};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// An action of CloudFormation's, as CodePipeline lists it.
    fn listed_as(mode: &str, from: i64, to: Option<i64>) -> Listed {
        let kind = ActionTypeId::builder()
            .category(ActionCategory::Deploy)
            .owner(ActionOwner::Aws)
            .provider("CloudFormation")
            .version("1");
        let input = ActionExecutionInput::builder()
            .action_type_id(kind.build().unwrap())
            .configuration("ActionMode", mode)
            .build();
        let status = match to {
            Some(_) => ActionExecutionStatus::Succeeded,
            None => ActionExecutionStatus::InProgress,
        };
        let time = |second: i64| DateTime::from_secs(at(second).as_second());
        let detail = ActionExecutionDetail::builder()
            .pipeline_execution_id("12345678-1234-1234-1234-123456789012")
            .action_execution_id(mode)
            .stage_name("Release")
            .action_name("ExecuteChangeSet")
            .status(status)
            .input(input)
            .start_time(time(from))
            .set_last_update_time(to.map(time))
            .build();
        listed(&detail).unwrap()
    }

    fn deploying(from: i64, to: Option<i64>) -> Listed {
        listed_as("CHANGE_SET_EXECUTE", from, to)
    }

    fn event(second: i64) -> DeploymentEvent {
        DeploymentEvent {
            id: DeploymentId::new("d-1").unwrap(),
            application: ApplicationName::new("app").unwrap(),
            group: DeploymentGroupName::new("group").unwrap(),
            state: State::InProgress,
            at: Some(at(second)),
        }
    }

    #[test]
    fn a_deployment_belongs_to_the_run_that_was_deploying() {
        assert!(made(&deploying(10, None), &event(10)));
        assert!(made(&deploying(10, Some(300)), &event(310)));
        assert!(!made(&deploying(10, Some(300)), &event(9)));
        assert!(!made(&deploying(10, Some(300)), &event(421)));
        assert!(made(&listed_as("CREATE_UPDATE", 10, None), &event(11)));
        let mut by_id = deploying(900, None);
        by_id.action.external = Some("d-1".to_owned());
        assert!(made(&by_id, &event(1)));
    }

    /// While one run's canary goes on, the next one prepares its change set.
    #[test]
    fn a_deployment_does_not_belong_to_a_run_that_prepares_a_change_set() {
        assert!(!made(&listed_as("CHANGE_SET_REPLACE", 10, None), &event(11)));
    }
}
