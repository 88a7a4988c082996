//! `signalbox trigger`: packs a directory, uploads it, and tells of the run that this starts.

mod origin;
mod pack;
mod render;
mod start;
mod upload;

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use signalbox_decision::names::{ExecutionId, PipelineName};
use signalbox_decision::package::Limits;
use signalbox_decision::start::Branch;
use tokio::time::Duration;

use self::origin::Origin;
use self::pack::{Contents, File};
use self::start::Outcome;
use super::{deadline, length, watch};
use crate::access::{Access, Cloud};
use crate::console::Console;
use crate::error::{EXIT_CODES, Error, Exit, help};
use crate::follow::Follower;
use crate::names::{Place, Source};
use crate::output::{bytes, line, print, print_json};
use crate::pipeline::{Pipeline, Run};

/// An upload starts its run within seconds; Lambda's own retries after a failure take three minutes.
const TO_START: Duration = Duration::from_secs(300);

/// `signalbox trigger`
#[derive(Debug, Args)]
#[command(
    after_help = EXIT_CODES,
    after_long_help = help("Examples:
  signalbox trigger staging
  signalbox trigger production ./my-lambda-code --watch
  signalbox trigger staging --dry-run
  signalbox trigger staging package.zip --branch develop --json

What .gitignore and .signalboxignore name is left out, and always .git, node_modules, .env* and *.pem. The same \
files give the same package, byte for byte.

An environment deploys one branch (staging: develop; production: main); a package of another branch is only built. \
The branch is --branch, else that of the directory's git repository; where there is no repository, the environment's own.

Needs s3:PutObject on the bucket, and on the pipeline codepipeline:GetPipeline (which bucket that is) and \
ListPipelineExecutions; to follow, GetPipelineExecution and ListActionExecutions, with GetPipelineState to tell which \
stage is frozen. With dynamodb:GetItem and Query on the ledger it also tells why a package was rejected, and who was \
asked for approval.")
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The directory to pack, or a zip archive that is ready.
    #[arg(value_name = "DIR", default_value = ".")]
    path: PathBuf,
    /// Follows the run to its end; the exit code says how it ended.
    // In the environment, anything but 0, false, no, off and nothing means yes.
    #[arg(long, env = "MONITOR_EXECUTION", value_parser = clap::builder::FalseyValueParser::new())]
    watch: bool,
    /// Lists what would be packed and where it would go, and does nothing.
    #[arg(long)]
    dry_run: bool,
    /// The package's branch.
    #[arg(long, value_name = "NAME", env = "SIGNALBOX_BRANCH")]
    branch: Option<Branch>,
    /// Who made the change, such as "Ann <ann@example.com>": they cannot approve it [default: git's].
    #[arg(long, value_name = "WHO")]
    author: Option<String>,
    /// What the change is [default: the commit's subject].
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// The largest package, as the stack's parameter MaxPackageBytes says.
    #[arg(
        long,
        value_name = "BYTES",
        env = "SIGNALBOX_MAX_PACKAGE_BYTES",
        default_value_t = Limits::default().package_bytes
    )]
    max_bytes: u64,
    /// Gives up after so long, such as 30m [default: 5m until the run starts, never once it is followed].
    #[arg(long, value_name = "TIME", value_parser = length)]
    timeout: Option<Duration>,
    /// One JSON document on standard output; progress stays on standard error.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    access: Access,
}

/// What would be, or was, uploaded, and what came of it. What is not known is left out.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    environment: String,
    pipeline: PipelineName,
    /// Not known in a dry run, unless it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<String>,
    key: String,
    branch: String,
    #[serde(flatten)]
    origin: Origin,
    /// Bytes of the package; of a dry run, of the files in it.
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<File>>,
    /// The object's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(flatten)]
    outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<Run>,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let console = Console::new();
    let place = &arguments.place;
    let limits = Limits {
        package_bytes: arguments.max_bytes,
        ..Limits::default()
    };
    let name = place.pipeline()?;
    let found = Origin::of(directory(&arguments.path)).await;
    let branch = branch(arguments, &found)?;
    let contents = pack::look(&arguments.path, &limits)?;
    let mut report = Report {
        environment: place.environment.to_string(),
        pipeline: name,
        bucket: arguments.source.bucket().map(str::to_owned),
        key: arguments.source.key(&branch),
        branch: branch.as_str().to_owned(),
        origin: found.with(arguments.author.clone(), arguments.message.clone()),
        bytes: contents.bytes(),
        files: None,
        version: None,
        outcome: None,
        run: None,
    };
    if arguments.dry_run {
        report.files = contents.files();
        show(arguments, &report, || render::dry_run(&report))?;
        return Ok(Exit::Done);
    }
    let cloud = arguments.access.connect().await?;
    if branch.as_str() != place.environment.branch() {
        console.attention(&format!(
            "{} deploys {}, unless its stack says otherwise: a package of {} is only built; \
             --branch {0} would deploy it",
            place.environment,
            place.environment.branch(),
            line(branch.as_str(), 100)
        ));
    }
    if let (None, Some(why)) = (&report.origin.author, &report.origin.no_branch) {
        console.attention(&format!(
            "the author is not known ({why}), so that they could approve it themselves; --author names them"
        ));
    }
    let package = packed(contents, &limits, &console).await?;
    report.bytes = u64::try_from(package.len()).unwrap_or(u64::MAX);
    // Never guessed: names of buckets are the whole world's, and a guessed one may be a stranger's.
    if report.bucket.is_none() {
        let pipeline = Pipeline::new(&cloud, report.pipeline.clone());
        report.bucket = Some(pipeline.source_bucket().await?);
    }
    console.note(&render::going(&report));
    let version = upload::upload(&cloud, &report, package, &console).await?;
    console.good(&format!("uploaded as object version {version}"));
    report.version = Some(version);
    let exit = follow_up(arguments, &cloud, &console, &mut report).await?;
    show(arguments, &report, || render::done(&report))?;
    Ok(exit)
}

/// Waits for what start-run makes of the upload, and for the run's end where that is asked for.
async fn follow_up(
    arguments: &Arguments,
    cloud: &Cloud,
    console: &Console,
    report: &mut Report,
) -> Result<Exit, Error> {
    let pipeline = Pipeline::new(cloud, report.pipeline.clone());
    let ledger = cloud.ledger(arguments.place.ledger_table());
    let until = deadline(arguments.timeout.or(Some(TO_START)));
    let watcher = start::Start {
        cloud,
        pipeline: &pipeline,
        ledger: &ledger,
        console,
    };
    let Some(outcome) = watcher.outcome(report, until).await? else {
        console.bad(&format!(
            "start-run has not taken the package up yet; `signalbox doctor {0}` looks for the reason, and the log \
             group /aws/lambda/{1} and the queue {1}-failed hold its failures",
            arguments.place.environment,
            arguments.place.own("start-run")
        ));
        return Ok(Exit::TimedOut);
    };
    render::outcome(console, &outcome);
    report.outcome = Some(outcome.clone());
    match outcome {
        Outcome::Started { execution } => {
            if let Some(url) = cloud.console(report.pipeline.as_str(), Some(&execution)) {
                console.detail(&url);
            }
            if !arguments.watch {
                return Ok(Exit::Done);
            }
            let id = ExecutionId::new(execution).map_err(|error| Error::Nothing(error.to_string()))?;
            let follower = Follower {
                pipeline: &pipeline,
                ledger: &ledger,
                console,
                interval: cloud.interval(),
                deadline: deadline(arguments.timeout),
            };
            let followed = follower.follow(&id).await?;
            let (run, exit) = watch::ended(console, &arguments.place.environment, followed);
            report.run = Some(run);
            Ok(exit)
        }
        Outcome::Built { build } if arguments.watch => {
            let (ended, exit) =
                start::follow_build(cloud, console, &build, deadline(arguments.timeout)).await?;
            console.note(&ended);
            Ok(exit)
        }
        Outcome::Built { .. } => Ok(Exit::Done),
        Outcome::Rejected { .. } => Ok(Exit::Rejected),
        Outcome::Ignored { .. } => Ok(Exit::RunStopped),
        Outcome::Other { .. } => Ok(Exit::Refused),
    }
}

fn show(arguments: &Arguments, report: &Report, text: impl FnOnce() -> String) -> Result<(), Error> {
    if arguments.json {
        print_json(report)
    } else {
        print(&text())
    }
}

fn branch(arguments: &Arguments, found: &Origin) -> Result<Branch, Error> {
    if let Some(given) = &arguments.branch {
        return Ok(given.clone());
    }
    // To take the environment's own would deploy whatever this is.
    if let Some(why) = &found.no_branch {
        return Err(Error::Environment(vec![format!(
            "{}: {why}, so that the package's branch is not known; give --branch, or set SIGNALBOX_BRANCH",
            line(&arguments.path.display().to_string(), 300)
        )]));
    }
    let own = arguments.place.environment.branch();
    let name = found.branch.as_deref().unwrap_or(own);
    Branch::new(name).map_err(|error| Error::Environment(vec![error.to_string()]))
}

/// Where to look for a repository.
fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if path.is_file() && !parent.as_os_str().is_empty() => parent,
        Some(_) if path.is_file() => Path::new("."),
        _ => path,
    }
}

async fn packed(contents: Contents, limits: &Limits, console: &Console) -> Result<Vec<u8>, Error> {
    let limits = *limits;
    console.waiting("packing");
    let count = contents.count();
    let package = tokio::task::spawn_blocking(move || contents.package(&limits)).await;
    console.still();
    let package = package.map_err(|_| Error::Nothing("the packing was ended".to_owned()))??;
    let size = bytes(u64::try_from(package.len()).unwrap_or(u64::MAX));
    console.good(&match count {
        Some(1) => format!("packed 1 file into {size}"),
        Some(count) => format!("packed {count} files into {size}"),
        None => format!("took the package as it is, {size}"),
    });
    Ok(package)
}
