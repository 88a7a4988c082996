//! A running local cloud: emulator, engines and gateway together, and their orderly end.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use signalbox_local_cloudformation::CloudFormationEngine;
use signalbox_local_cloudwatch::CloudWatchEngine;
use signalbox_local_codebuild::CodeBuildEngine;
use signalbox_local_codedeploy::CodeDeployEngine;
use signalbox_local_codepipeline::CodePipelineEngine;
use signalbox_local_core::{Account, AwsError, Caller, Clock, Cloud};
use signalbox_local_eventbridge::EventBridgeEngine;
use signalbox_local_lambda::LambdaEngine;
use signalbox_local_wire::Models;
use tempfile::TempDir;
use thiserror::Error;

use crate::cloud::LocalCloud;
use crate::gateway::{self, Gateway, GatewayError};
use crate::moto::{self, Moto, MotoError};
use crate::paths::Paths;
use crate::tools::{self, ToolError, Tools};

/// How to start.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Configured durations pass this many times faster; 0 counts as 1.
    pub scale: f64,
    /// The gateway's port on 127.0.0.1; 0 is any free one.
    pub port: u16,
    /// Another emulator than moto, by its URL.
    pub emulator: Option<String>,
    /// Where the functions' binaries are, if not beside this program: `target/<triple>/release` after packaging.
    pub functions: Option<PathBuf>,
}

/// Why it does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The machine lacks something.
    #[error(transparent)]
    Tools(#[from] ToolError),
    /// The emulator does not start.
    #[error(transparent)]
    Emulator(#[from] MotoError),
    /// The gateway does not listen.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// A directory cannot be made.
    #[error("cannot prepare the work directory: {0}")]
    WorkDir(#[from] std::io::Error),
}

/// See the module. Call [`Running::stop`]; a dropped one ends its processes too, but less tidily.
pub struct Running {
    /// The way to every service.
    pub cloud: Arc<LocalCloud>,
    /// Lambda, for its statistics.
    pub lambda: Arc<LambdaEngine>,
    /// EventBridge, for what has passed over the bus.
    pub events: Arc<EventBridgeEngine>,
    /// The tools of this machine.
    pub tools: Tools,
    /// Where the project and its caches are.
    pub paths: Paths,
    /// Logs of functions and builds.
    pub logs: PathBuf,
    url: String,
    gateway: Mutex<Option<Gateway>>,
    moto: Mutex<Option<Moto>>,
    work_dir: TempDir,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Starts everything. `progress` is told each step that may take long.
    ///
    /// # Errors
    /// What is missing on the machine (all of it at once, before anything starts), or what did not start.
    pub async fn start(
        mut paths: Paths,
        options: &Options,
        progress: &dyn Fn(&str),
    ) -> Result<Self, StartError> {
        if let Some(functions) = &options.functions {
            paths.binaries.clone_from(functions);
        }
        gateway::check(options.port)?;
        let tools = tools::ensure(&paths.target, progress).await?;
        let mut work_dir = make_work_dir(&paths)?;
        let logs = work_dir.path().join("logs");
        std::fs::create_dir_all(&logs)?;
        let moto = match &options.emulator {
            Some(url) => {
                moto::answers(url).await?;
                None
            }
            None => {
                progress("starting the emulator (moto)");
                let started = Moto::start(&tools, work_dir.path()).await;
                if started.is_err() {
                    // The error names moto's log.
                    work_dir.disable_cleanup(true);
                }
                Some(started?)
            }
        };
        let emulator = moto
            .as_ref()
            .map(Moto::url)
            .or(options.emulator.as_deref())
            .unwrap_or_default();
        let cloud = LocalCloud::new(
            Account::default(),
            Clock::new(options.scale),
            work_dir.path(),
            Arc::new(Models::new(&tools.botocore_data)),
            emulator,
        );
        let lambda = LambdaEngine::new(cloud.clone(), lambda_options(&paths, &tools, &logs));
        let events = EventBridgeEngine::new(cloud.clone());
        cloud.register(vec![
            lambda.clone(),
            events.clone(),
            CloudWatchEngine::new(cloud.clone()),
            CodeDeployEngine::new(cloud.clone()),
            CodePipelineEngine::new(cloud.clone()),
            CodeBuildEngine::new(cloud.clone(), build_options(&paths, &tools, &logs)),
            CloudFormationEngine::new(
                cloud.clone(),
                signalbox_local_cloudformation::Options {
                    python: tools.python.clone(),
                    transform: paths.project.join("local/python/transform.py"),
                    project_root: paths.project.clone(),
                },
            ),
        ]);
        let gateway = gateway::serve(cloud.clone(), options.port).await?;
        Ok(Self {
            cloud,
            lambda,
            events,
            tools,
            paths,
            logs,
            url: gateway.url(),
            gateway: Mutex::new(Some(gateway)),
            moto: Mutex::new(moto),
            work_dir,
        })
    }

    /// Calls a service as the person at this machine.
    ///
    /// # Errors
    /// What the service answers.
    pub async fn call(&self, service: &str, operation: &str, input: Value) -> Result<Value, AwsError> {
        self.cloud.call(&Caller::Admin, service, operation, input).await
    }

    /// The real SDK's S3 client, over the wire, as the person at this machine.
    #[must_use]
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let credentials = aws_credential_types::Credentials::new("local", "local", None, None, "local");
        let aws = signalbox_bootstrap::Aws::new(Account::default().region, credentials, Some(self.url()));
        let config = aws_sdk_s3::config::Builder::from(aws.sdk())
            .force_path_style(true)
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// The gateway's base URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Keeps logs and work directory after the end, and says where they are.
    pub fn keep_files(&mut self) -> PathBuf {
        self.work_dir.disable_cleanup(true);
        self.work_dir.path().to_owned()
    }

    /// Ends everything: no process and no port is left behind.
    pub async fn stop(self) {
        self.shut_down().await;
    }

    /// Ends everything, for who shares it; what is called afterwards fails.
    pub async fn shut_down(&self) {
        // What hangs on purpose must not hold up the end.
        self.cloud.faults().clear();
        self.cloud.shutdown().await;
        let gateway = lock(&self.gateway).take();
        if let Some(gateway) = gateway {
            gateway.stop().await;
        }
        let moto = lock(&self.moto).take();
        if let Some(moto) = moto {
            moto.stop().await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Below the target directory, on the same file system as the build caches: to restore one is a rename.
fn make_work_dir(paths: &Paths) -> std::io::Result<TempDir> {
    std::fs::create_dir_all(paths.home())?;
    tempfile::Builder::new().prefix("run-").tempdir_in(paths.home())
}

fn lambda_options(paths: &Paths, tools: &Tools, logs: &std::path::Path) -> signalbox_local_lambda::Options {
    signalbox_local_lambda::Options {
        binaries: paths.binaries.clone(),
        node: tools.node.clone(),
        log_dir: logs.to_owned(),
    }
}

fn build_options(paths: &Paths, tools: &Tools, logs: &std::path::Path) -> signalbox_local_codebuild::Options {
    let directory = |program: &std::path::Path| program.parent().map(std::path::Path::to_owned);
    signalbox_local_codebuild::Options {
        tools: [
            directory(&tools.aws),
            directory(&tools.node),
            directory(&tools.npm),
        ]
        .into_iter()
        .flatten()
        .collect(),
        cache_dir: paths.home().join("build-cache"),
        log_dir: logs.to_owned(),
        env: vec![("SIGNALBOX_LOCAL".to_owned(), "true".to_owned())],
    }
}
