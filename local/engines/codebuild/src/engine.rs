//! The engine: its options, its operations' names, its end.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Caller, Cloud, Engine};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::environment;
use crate::state::{State, lock};

/// Builds that run at once; more wait in `QUEUED`, as in an account at its quota.
const CONCURRENT_BUILDS: usize = 4;

/// How long the end waits for builds to put their caches back and their last log lines away.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Where builds find their tools and keep what outlives them.
#[derive(Clone, Default)]
pub struct Options {
    /// Directories put first on every build's `PATH`, in this order: a virtual environment's `bin`,
    /// the directory of the Node.js that is to be used.
    pub tools: Vec<PathBuf>,
    /// Outlives builds and starts: caches by project, and `tools`, which builds see as
    /// `SIGNALBOX_TOOL_CACHE`. On the file system of the cloud's work directory, restoring is a rename.
    pub cache_dir: PathBuf,
    /// Every build writes its whole log to `{project}-{uuid}.log` in here.
    pub log_dir: PathBuf,
    /// Variables for every build, for example `SIGNALBOX_LOCAL=true`. A project's variables override them.
    pub env: Vec<(String, String)>,
}

/// What operations and running builds share.
pub(crate) struct Shared {
    pub(crate) cloud: Arc<dyn Cloud>,
    pub(crate) options: Options,
    /// What builds take over from this process's environment.
    pub(crate) inherited: Vec<(String, String)>,
    pub(crate) state: Mutex<State>,
    pub(crate) slots: Semaphore,
    pub(crate) tasks: TaskTracker,
    pub(crate) closing: CancellationToken,
}

/// CodeBuild. See the crate's documentation for what differs from AWS.
pub struct CodeBuildEngine {
    pub(crate) shared: Arc<Shared>,
}

impl CodeBuildEngine {
    /// An engine without projects.
    #[must_use]
    pub fn new(cloud: Arc<dyn Cloud>, options: Options) -> Arc<Self> {
        let shared = Shared {
            cloud,
            options,
            inherited: environment::inherited(),
            state: Mutex::default(),
            slots: Semaphore::new(CONCURRENT_BUILDS),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        };
        Arc::new(Self {
            shared: Arc::new(shared),
        })
    }

    /// Waits until a build, named by id or ARN, is complete, and answers it as `BatchGetBuilds` would;
    /// `None` where there is no such build.
    pub async fn completed(&self, build: &str) -> Option<Value> {
        let build = self.shared.find_build(build)?;
        build.completed().await;
        Some(build.to_value())
    }
}

#[async_trait]
impl Engine for CodeBuildEngine {
    fn service(&self) -> &'static str {
        "codebuild"
    }

    fn operations(&self) -> &'static [&'static str] {
        &[
            "BatchDeleteBuilds",
            "BatchGetBuilds",
            "BatchGetProjects",
            "BatchGetReportGroups",
            "BatchGetReports",
            "CreateProject",
            "CreateReportGroup",
            "DeleteProject",
            "DescribeTestCases",
            "ListBuilds",
            "ListBuildsForProject",
            "ListCuratedEnvironmentImages",
            "ListProjects",
            "ListReportGroups",
            "ListReportsForReportGroup",
            "RetryBuild",
            "StartBuild",
            "StopBuild",
            "UpdateProject",
        ]
    }

    async fn call(&self, caller: &Caller, operation: &str, input: Value) -> Result<Value, AwsError> {
        let shared = &self.shared;
        match operation {
            "CreateProject" => shared.create_project(input),
            "UpdateProject" => shared.update_project(input),
            "DeleteProject" => shared.delete_project(&input),
            "BatchGetProjects" => shared.batch_get_projects(&input),
            "ListProjects" => shared.list_projects(&input),
            "StartBuild" => shared.start_build(caller, input),
            "StopBuild" => shared.stop_build(&input).await,
            "RetryBuild" => shared.retry_build(caller, &input),
            "BatchGetBuilds" => shared.batch_get_builds(&input),
            "BatchDeleteBuilds" => shared.batch_delete_builds(&input),
            "ListBuilds" => shared.list_builds(&input),
            "ListBuildsForProject" => shared.list_builds_for_project(&input),
            "CreateReportGroup" => shared.create_report_group(input),
            "BatchGetReportGroups" => shared.batch_get_report_groups(&input),
            "ListReportGroups" => shared.list_report_groups(&input),
            "BatchGetReports" => shared.batch_get_reports(&input),
            "ListReportsForReportGroup" => shared.list_reports_for_report_group(&input),
            "DescribeTestCases" => shared.describe_test_cases(&input),
            // Images are AWS's; builds here run on this machine whatever image a project names.
            "ListCuratedEnvironmentImages" => Ok(json!({"platforms": []})),
            _ => Err(AwsError::unknown_operation("codebuild", operation)),
        }
    }

    async fn shutdown(&self) {
        self.shared.closing.cancel();
        self.shared.tasks.close();
        if tokio::time::timeout(SHUTDOWN_GRACE, self.shared.tasks.wait())
            .await
            .is_err()
        {
            let running = lock(&self.shared.state)
                .builds
                .values()
                .filter(|b| !b.is_complete())
                .count();
            tracing::warn!(running, "builds did not end in time; their processes were killed");
        }
    }
}
