//! The demo: one upload runs the whole pipeline, and a bad version is rolled back, through the real
//! functions. Each step waits for what the cloud really did; nothing is assumed.

mod approve;
mod canary;
mod follow;
mod release;
mod summary;
mod traffic;
mod upload;

use std::fmt::Display;
use std::time::Duration;

use thiserror::Error;

pub use summary::{FunctionSummary, RollbackSummary, RunSummary, StageSummary, Summary};

use crate::console::Console;
use crate::functions::{self, BuildError};
use crate::install::{self, InstallError, Installed, Plan};
use crate::paths::Paths;
use crate::running::{self, Running, StartError};

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scenario {
    /// A good version goes out by canary.
    Release,
    /// A bad version is stopped and rolled back.
    Rollback,
    /// One after the other.
    #[default]
    All,
}

/// A step that did not come out as it must.
#[derive(Debug, Error)]
#[error("{step}: {cause}{}", log.as_deref().map(|log| format!("\n  read: {log}")).unwrap_or_default())]
pub struct DemoError {
    /// Which step.
    pub step: String,
    /// What went wrong.
    pub cause: String,
    /// Where to read more.
    pub log: Option<String>,
}

impl DemoError {
    pub(crate) fn new(step: &str, cause: impl Display) -> Self {
        Self {
            step: step.to_owned(),
            cause: cause.to_string(),
            log: None,
        }
    }

    pub(crate) fn with_log(mut self, log: impl Display) -> Self {
        self.log = Some(log.to_string());
        self
    }
}

impl From<BuildError> for DemoError {
    fn from(error: BuildError) -> Self {
        Self::new("building the functions", error)
    }
}

impl From<StartError> for DemoError {
    fn from(error: StartError) -> Self {
        Self::new("starting the local cloud", error)
    }
}

impl From<InstallError> for DemoError {
    fn from(error: InstallError) -> Self {
        Self::new("installing the environment", error)
    }
}

impl From<signalbox_local_core::AwsError> for DemoError {
    fn from(error: signalbox_local_core::AwsError) -> Self {
        Self::new("looking how the run goes on", error)
    }
}

/// Who is asked in the demo.
pub(crate) const APPROVER: &str = "ada.approver@example.com";
/// Who uploads in the demo.
pub(crate) const AUTHOR: &str = "dan.developer@example.com";
/// Who is told.
const WATCHER: &str = "team@example.com";

/// A step that takes longer than this has failed: the slowest, a first build that installs its tools,
/// takes a few minutes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(900);

/// All that the steps share.
pub(crate) struct Stage<'a> {
    pub(crate) running: &'a Running,
    pub(crate) installed: &'a Installed,
    pub(crate) console: &'a Console,
    pub(crate) manual: bool,
}

/// Makes the machine ready, and says so.
///
/// # Errors
/// What is missing on the machine.
pub async fn set_up(console: &Console) -> Result<(), DemoError> {
    let paths = Paths::find().map_err(|error| DemoError::new("finding the project", error))?;
    let tools = crate::tools::ensure(&paths.target, &|text| console.note(text))
        .await
        .map_err(StartError::from)?;
    console.good(&format!("ready: {}", tools.venv.display()));
    Ok(())
}

/// Makes the machine and the functions ready and starts the cloud.
///
/// # Errors
/// What is missing on the machine, or what could not be built or started.
pub async fn start(console: &Console, options: &running::Options) -> Result<Running, DemoError> {
    let paths = Paths::find().map_err(|error| DemoError::new("finding the project", error))?;
    console.heading("Preparing");
    crate::gateway::check(options.port).map_err(StartError::from)?;
    // What is missing on the machine is said before anything is built.
    crate::tools::ensure(&paths.target, &|text| console.note(text))
        .await
        .map_err(StartError::from)?;
    if options.functions.is_none() && !functions::are_built(&paths) {
        console.note("building the functions; the first time this takes two to five minutes on two cores");
    }
    if options.functions.is_none() {
        functions::build(&paths).await?;
    }
    let running = Running::start(paths, options, &|text| console.note(text)).await?;
    console.good(&format!("local cloud at {}", running.url()));
    Ok(running)
}

/// Runs the demo in a started cloud; with `manual`, a person answers the requests for approval.
///
/// # Errors
/// The step that did not come out as it must.
pub async fn run(
    running: &Running,
    console: &Console,
    scenario: Scenario,
    manual: bool,
) -> Result<Summary, DemoError> {
    let plan = Plan {
        environment: "production".to_owned(),
        approvers: vec![APPROVER.to_owned()],
        watcher: WATCHER.to_owned(),
    };
    console.note("installing template.yaml and the pipeline around the application");
    let installed = install::install(running, &plan).await?;
    console.good(&format!("pipeline {}", installed.pipeline));
    install::deploy_first_version(running, &installed).await?;
    console.good(&format!(
        "{} 1.0.0 serves through its alias {}",
        installed.function, installed.alias
    ));
    let stage = Stage {
        running,
        installed: &installed,
        console,
        manual,
    };
    let mut summary = Summary::default();
    if scenario != Scenario::Rollback {
        console.heading("A good version goes out");
        summary.runs.push(release::good(&stage, "1.1.0").await?);
    }
    if scenario != Scenario::Release {
        console.heading("A version that fails under traffic");
        let (run, rollback) = release::bad(&stage, "1.2.0").await?;
        summary.runs.push(run);
        summary.rollback = Some(rollback);
    }
    summary.functions = summary::functions(running);
    Ok(summary)
}

/// Tells where things are in a cloud that stays.
pub fn tell_urls(console: &Console, running: &Running, installed_url: Option<&str>) {
    let url = running.url();
    console.heading("The local cloud stays until Ctrl-C");
    console.note(&format!("inbox:     {url}/_signalbox/inbox"));
    if let Some(answers) = installed_url {
        console.note(&format!("approvals: {answers}"));
    }
    console.note(&format!(
        "AWS CLI:   aws --endpoint-url {url} codepipeline list-pipelines"
    ));
    console.note("           (any credentials do; the region is us-east-1)");
    console.note(&format!("logs:      {}", running.logs.display()));
}
