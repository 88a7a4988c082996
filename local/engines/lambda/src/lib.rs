//! Lambda, locally: real processes over the real Runtime API.
//!
//! A function is a package with Node.js code or an executable named `bootstrap`, or one of this workspace's
//! own binaries (`ImageUri` of the form `local-binary:<name>`). Each execution environment is a process with
//! a Runtime API of its own, started when none is idle and kept for the next invocation. Versions, weighted
//! aliases, resource policies, reserved concurrency, asynchronous retries, destinations, dead-letter queues
//! and function URLs follow Lambda's rules and words.
//!
//! Not as in AWS: processes are not frozen between invocations and not confined (no memory limit, no file
//! system of their own); layers, container images, streamed responses and a URL's CORS settings are absent.
//! Time-outs are those of the wall clock; the pauses between retries are the clock's, and scaled.

mod aliases;
mod asynchronous;
mod code;
mod configs;
mod destinations;
mod environment;
mod errors;
mod functions;
mod invoke;
mod logs;
mod metrics;
mod operations;
mod policy;
mod pool;
mod process;
mod reference;
mod runtime_api;
mod settings;
mod stats;
mod url;
mod variables;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use signalbox_local_core::{AwsError, Caller, Cloud, Engine};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::environment::Host;
use crate::invoke::Service;
use crate::logs::LogTasks;
use crate::process::Spawner;

pub use crate::stats::FunctionStats;

/// How often idle environments are looked through.
const REAP_EVERY: Duration = Duration::from_secs(30);
/// How long the end waits for processes and tasks.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// What the engine needs to know of this machine.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory of the workspace's binaries, for example `target/debug`.
    pub binaries: PathBuf,
    /// The Node.js executable, with its path.
    pub node: PathBuf,
    /// Each function's lines are appended to `{log_dir}/{function}.log`; made if absent.
    pub log_dir: PathBuf,
}

/// The service `lambda`.
pub struct LambdaEngine {
    service: Arc<Service>,
    logs: Mutex<Option<LogTasks>>,
}

impl LambdaEngine {
    /// An engine without functions. It starts background tasks: call it within a tokio runtime.
    ///
    /// Functions' processes are ended by [`Engine::shutdown`]; what holds if that is never called says the
    /// module `process`.
    #[must_use]
    pub fn new(cloud: Arc<dyn Cloud>, options: Options) -> Arc<Self> {
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let (sink, log_tasks) = logs::start(cloud.clone(), options.log_dir.clone());
        let metrics = metrics::start(cloud.clone(), &tasks, stop.clone());
        let host = Host {
            cloud,
            node: options.node.clone(),
            spawner: Spawner::start(),
            logs: sink,
            tasks: tasks.clone(),
            client: OnceCell::new(),
        };
        let service = Arc::new(Service::new(host, options, metrics, stop.clone()));
        let pool = service.pool.clone();
        tasks.spawn(async move {
            while stop
                .run_until_cancelled(tokio::time::sleep(REAP_EVERY))
                .await
                .is_some()
            {
                pool.reap();
            }
        });
        Arc::new(Self {
            service,
            logs: Mutex::new(Some(log_tasks)),
        })
    }

    /// Numbers of every function that was invoked, by name.
    #[must_use]
    pub fn stats(&self) -> Vec<FunctionStats> {
        self.service.stats.summary()
    }

    /// Returns once an invocation of the function has ended; what a function does is seen before that.
    pub async fn ended(&self, function: &str) {
        self.service.stats.ended(function).await;
    }
}

#[async_trait]
impl Engine for LambdaEngine {
    fn service(&self) -> &'static str {
        "lambda"
    }

    fn operations(&self) -> &'static [&'static str] {
        operations::OPERATIONS
    }

    async fn call(&self, caller: &Caller, operation: &str, input: Value) -> Result<Value, AwsError> {
        self.service.perform_operation(caller, operation, input).await
    }

    async fn shutdown(&self) {
        let service = &self.service;
        service.stop.cancel();
        service.pool.close();
        service.host.tasks.close();
        if tokio::time::timeout(SHUTDOWN_LIMIT, service.host.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("some functions' processes or tasks did not end in time");
        }
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(logs) = logs {
            logs.finish().await;
        }
    }
}
