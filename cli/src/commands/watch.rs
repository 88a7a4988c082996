//! `signalbox watch`: follows a run to its end.

use clap::Args;
use serde::Serialize;
use signalbox_decision::names::{ExecutionId, PipelineName};
use tokio::time::Duration;

use super::{deadline, length};
use crate::access::Access;
use crate::console::Console;
use crate::error::{EXIT_CODES, Error, Exit, help};
use crate::follow::{Followed, Follower};
use crate::names::{Environment, Place};
use crate::output::{line, print_json};
use crate::pipeline::{Pipeline, Run};

/// `signalbox watch`
#[derive(Debug, Args)]
#[command(
    after_help = EXIT_CODES,
    after_long_help = help("Examples:
  signalbox watch production
  signalbox watch staging --run 0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0 --timeout 30m --json

The newest run is followed where none is named. Needs codepipeline:GetPipelineExecution, ListActionExecutions and \
ListPipelineExecutions on the pipeline; with GetPipelineState it also tells which stage is frozen, and with \
dynamodb:Query on the ledger who was asked for approval.")
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The run [default: the newest].
    #[arg(long, value_name = "ID")]
    run: Option<ExecutionId>,
    /// Gives up after so long, such as 30m [default: never].
    #[arg(long, value_name = "TIME", value_parser = length)]
    timeout: Option<Duration>,
    /// The run as one JSON document, at its end; progress stays on standard error.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: Access,
}

/// What the command answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    environment: &'a str,
    pipeline: &'a PipelineName,
    timed_out: bool,
    run: &'a Run,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let place = &arguments.place;
    let name = place.pipeline()?;
    let cloud = arguments.access.connect().await?;
    let pipeline = Pipeline::new(&cloud, name.clone());
    let id = match &arguments.run {
        Some(id) => id.clone(),
        None => newest(&pipeline).await?,
    };
    let console = Console::new();
    console.note(&format!("run {id} of {name}"));
    if let Some(url) = cloud.console(name.as_str(), Some(id.as_str())) {
        console.detail(&url);
    }
    let follower = Follower {
        pipeline: &pipeline,
        ledger: &cloud.ledger(place.ledger_table()),
        console: &console,
        interval: cloud.interval(),
        deadline: deadline(arguments.timeout),
    };
    let (run, exit) = ended(&console, &place.environment, follower.follow(&id).await?);
    if arguments.json {
        print_json(&Report {
            environment: place.environment.as_str(),
            pipeline: &name,
            timed_out: exit == Exit::TimedOut,
            run: &run,
        })?;
    }
    Ok(exit)
}

async fn newest(pipeline: &Pipeline) -> Result<ExecutionId, Error> {
    let runs = pipeline.newest(1).await?;
    let newest = runs.into_iter().next().map(|run| run.id);
    newest.ok_or_else(|| {
        Error::Nothing(format!(
            "{} has had no run; `signalbox trigger` starts one",
            pipeline.name()
        ))
    })
}

/// Says how it ended; answers the run and the exit code.
pub(super) fn ended(console: &Console, environment: &Environment, followed: Followed) -> (Run, Exit) {
    match followed {
        Followed::Ended(run) => {
            let exit = run.exit();
            let why = run
                .summary
                .as_deref()
                .map(|text| format!(": {}", line(text, 300)));
            let why = why.unwrap_or_default();
            if exit == Exit::Done {
                console.good("the run succeeded");
            } else {
                let state = run.state.to_string().to_lowercase();
                console.bad(&format!("the run ended as {state}{why}"));
            }
            if let (Exit::RunFailed, Some((stage, action))) = (exit, run.failure()) {
                console.detail(&format!(
                    "look at action {} of stage {} first; `signalbox status {environment}` shows what is frozen",
                    line(&action.name, 100),
                    line(&stage.name, 100)
                ));
            }
            (run, exit)
        }
        Followed::TimedOut(run) => {
            console.attention(&format!(
                "the time is up and the run goes on; `signalbox watch {environment} --run {}` follows it further",
                run.id
            ));
            (run, Exit::TimedOut)
        }
    }
}
