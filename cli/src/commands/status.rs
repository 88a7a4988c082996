//! `signalbox status`: how a pipeline stands.

mod render;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use signalbox_decision::names::{ExecutionId, PipelineName};
use signalbox_ledger::Ledger;

use crate::access::Access;
use crate::approvals::{self, Asking};
use crate::error::{EXIT_CODES, Error, Exit, help};
use crate::names::Place;
use crate::output::{print, print_json};
use crate::pipeline::{Pipeline, RunSummary, StageState};

/// As many runs as AWS lets go on at once in a pipeline; more are not looked into for approvals.
const LOOKED_INTO: usize = 50;

/// `signalbox status`
#[derive(Debug, Args)]
#[command(
    after_help = EXIT_CODES,
    after_long_help = help("Examples:
  signalbox status production
  signalbox status staging --json | jq '.stages[] | select(.frozen)'

Needs codepipeline:GetPipelineState, ListPipelineExecutions, GetPipelineExecution and ListActionExecutions on the \
pipeline; with dynamodb:Query on the ledger it also tells who was asked for approval.")
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// How many runs to list.
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=100))]
    runs: u8,
    /// One JSON document, in the place of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: Access,
}

/// How the pipeline stands. What is not known is left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    environment: String,
    pipeline: PipelineName,
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    console: Option<String>,
    stages: Vec<StageState>,
    approvals: Vec<Open>,
    runs: Vec<RunSummary>,
    /// What could not be read, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<String>,
}

/// An approval that is waited for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Open {
    run: ExecutionId,
    stage: String,
    action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    #[serde(flatten)]
    people: Option<Asking>,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let name = arguments.place.pipeline()?;
    let cloud = arguments.access.connect().await?;
    let pipeline = Pipeline::new(&cloud, name.clone());
    let ledger = cloud.ledger(arguments.place.ledger_table());
    let (state, runs) = tokio::join!(pipeline.state(), pipeline.newest(100));
    let mut status = Status {
        environment: arguments.place.environment.as_str().to_owned(),
        at: Timestamp::now(),
        console: cloud.console(name.as_str(), None),
        pipeline: name,
        stages: state?.stages,
        approvals: Vec::new(),
        runs: runs?,
        unknown: Vec::new(),
    };
    let going_on: Vec<ExecutionId> = status
        .runs
        .iter()
        .filter(|run| !run.state.is_final())
        .map(|run| run.id.clone())
        .collect();
    for id in going_on.iter().take(LOOKED_INTO) {
        let open = open_approvals(&pipeline, &ledger, id, &mut status.unknown).await?;
        status.approvals.extend(open);
    }
    if let Some(more) = going_on.len().checked_sub(LOOKED_INTO).filter(|more| *more > 0) {
        let text = format!("{more} older runs that go on were not looked into for approvals");
        status.unknown.push(text);
    }
    status.runs.truncate(arguments.runs.into());
    if arguments.json {
        print_json(&status)?;
    } else {
        print(&render::text(&status))?;
    }
    Ok(Exit::Done)
}

async fn open_approvals(
    pipeline: &Pipeline,
    ledger: &Ledger,
    id: &ExecutionId,
    unknown: &mut Vec<String>,
) -> Result<Vec<Open>, Error> {
    let run = pipeline.run(id).await?;
    if run.waits_for().next().is_none() {
        return Ok(Vec::new());
    }
    let askings = match approvals::of_run(ledger, pipeline.name(), id).await {
        Ok(askings) => askings,
        Err(error) => {
            let text = format!("who was asked for approval: {error}");
            if !unknown.contains(&text) {
                unknown.push(text);
            }
            Vec::new()
        }
    };
    let open = run.waits_for().map(|(stage, action)| Open {
        run: id.clone(),
        stage: stage.name.clone(),
        action: action.name.clone(),
        since: action.started,
        people: approvals::open(&askings, &stage.name, &action.name).cloned(),
    });
    Ok(open.collect())
}
