//! An execution environment: one process, its Runtime API, one invocation at a time.
//!
//! Unlike AWS, the process is not frozen between invocations, and `MemorySize` is told to it but not
//! enforced.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;
use signalbox_local_core::Cloud;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::functions::Version;
use crate::logs::{Journal, LogSink};
use crate::process::{Process, Spawner};
use crate::runtime_api::{self, Job, RESPONSE_LIMIT, RuntimeApi, Signal};
use crate::settings::Runtime;
use crate::variables::variables;

/// Lambda's limit of the init phase. What is not ready by then goes on within the invocation's time.
const INIT_LIMIT: Duration = Duration::from_secs(10);
/// How long an answer waits for its process to ask for more work, so that the next invocation finds it idle
/// and its last log lines are in the tail. A runtime does so within a millisecond.
const SETTLE: Duration = Duration::from_millis(100);

const RUNTIME_CLIENT: &str = include_str!("node_runtime.mjs");

/// What every environment of the engine is started with.
pub(crate) struct Host {
    pub(crate) cloud: Arc<dyn Cloud>,
    pub(crate) node: PathBuf,
    pub(crate) spawner: Spawner,
    pub(crate) logs: LogSink,
    pub(crate) tasks: TaskTracker,
    /// Node.js functions' runtime client, once it was written.
    pub(crate) client: OnceCell<PathBuf>,
}

impl Host {
    async fn runtime_client(&self, root: &Path) -> std::io::Result<OsString> {
        let write = || async {
            let path = root.join("node_runtime.mjs");
            tokio::fs::write(&path, RUNTIME_CLIENT).await?;
            Ok::<_, std::io::Error>(path)
        };
        self.client
            .get_or_try_init(write)
            .await
            .map(|path| path.clone().into_os_string())
    }
}

/// See the module. Dropping it ends its process.
pub(crate) struct Environment {
    pub(crate) version: Arc<Version>,
    process: Process,
    api: RuntimeApi,
    pub(crate) journal: Arc<Journal>,
    init: Init,
    /// `TMPDIR` of the process; removed with it.
    _temporary: tempfile::TempDir,
    _api_guard: DropGuard,
}

enum Init {
    Running(Instant),
    /// Not reported yet: the first invocation's `REPORT` line carries it.
    Done(Duration),
    Reported,
}

/// How an invocation ended.
pub(crate) struct Ending {
    pub(crate) payload: Bytes,
    pub(crate) failed: bool,
    pub(crate) duration: Duration,
    /// Set for the first invocation, once the process was ready.
    pub(crate) init: Option<Duration>,
    /// The process waits for work.
    pub(crate) idle: bool,
    /// What the `REPORT` line says about a sandbox that ended or was ended.
    pub(crate) status: Option<&'static str>,
}

enum Answer {
    Response(Bytes),
    Error(Bytes),
    TooLarge,
    InitError(Bytes),
    Exited(String),
    TimedOut,
}

impl Environment {
    /// Starts the process; does not wait for it.
    pub(crate) async fn start(host: &Host, version: Arc<Version>) -> Result<Self, StartError> {
        if version.settings.runtime == Runtime::Provided && !version.code.bootstrap().is_file() {
            return Err(StartError::NoBootstrap);
        }
        let settings = &version.settings;
        let group = settings.log_group(&version.function);
        let journal = Arc::new(Journal::new(
            host.logs.clone(),
            &version.function,
            &group,
            &version.number,
            host.cloud.clock().now(),
        ));
        let closed = CancellationToken::new();
        let api = runtime_api::open(&host.tasks, closed.clone()).await?;
        let root = host.cloud.work_dir().join("lambda");
        tokio::fs::create_dir_all(&root).await?;
        let (program, arguments) = match settings.runtime {
            Runtime::Provided => (version.code.bootstrap(), Vec::new()),
            Runtime::Node => (host.node.clone(), vec![host.runtime_client(&root).await?]),
        };
        let temporary = tempfile::Builder::new().prefix("tmp-").tempdir_in(&root)?;
        let variables = variables(host, &version, &journal, &group, &api.address, temporary.path());
        let started = Instant::now();
        let process = host
            .spawner
            .spawn(
                &program,
                &arguments,
                &version.code.task_root(),
                variables,
                journal.clone(),
                &host.tasks,
            )
            .await?;
        journal.line(&format!(
            "INIT_START Runtime Version: {} (local)",
            settings.runtime_name.as_deref().unwrap_or("provided")
        ));
        Ok(Self {
            version,
            process,
            api,
            journal,
            init: Init::Running(started),
            _temporary: temporary,
            _api_guard: closed.drop_guard(),
        })
    }

    /// True while the process can take work.
    pub(crate) fn is_alive(&self) -> bool {
        !self.process.has_ended()
    }

    pub(crate) fn peak_rss_kib(&self) -> Option<u64> {
        self.process.peak_rss_kib()
    }

    /// Performs one invocation, the init phase before it if need be.
    pub(crate) async fn invoke(&mut self, request: Request) -> Ending {
        let limit = Duration::from_secs(u64::from(self.version.settings.timeout_seconds));
        let request_id = request.request_id.clone();
        let mut begun = Instant::now();
        self.journal.begin();
        let initialised = self.initialise(begun + INIT_LIMIT + limit).await;
        self.process.drain();
        self.journal.line(&format!(
            "START RequestId: {request_id} Version: {}",
            self.version.number
        ));
        let answer = match initialised {
            Err(answer) => answer,
            Ok(()) => {
                begun = Instant::now();
                self.perform(request, begun, limit).await
            }
        };
        let duration = match answer {
            // Exactly the limit: what the scheduler added is not the function's.
            Answer::TimedOut => limit,
            _ => begun.elapsed(),
        };
        self.finish(answer, &request_id, duration, limit).await
    }

    async fn initialise(&mut self, deadline: Instant) -> Result<(), Answer> {
        let Init::Running(started) = self.init else {
            return Ok(());
        };
        match self.signal(deadline).await {
            Ok(Signal::Ready) => {
                self.init = Init::Done(started.elapsed());
                Ok(())
            }
            Ok(Signal::InitError(description)) => Err(Answer::InitError(description)),
            Ok(_) => Err(Answer::Exited(
                "Runtime answered an invocation it was not given".to_owned(),
            )),
            Err(answer) => Err(answer),
        }
    }

    async fn perform(&mut self, request: Request, begun: Instant, limit: Duration) -> Answer {
        let limit_ms = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
        let job = Job {
            deadline_ms: Timestamp::now().as_millisecond().saturating_add(limit_ms),
            request_id: request.request_id,
            invoked_arn: request.invoked_arn,
            trace_id: trace_id(),
            client_context: request.client_context,
            payload: request.payload,
        };
        if self.api.jobs.send(job).await.is_err() {
            return Answer::Exited(self.process.ended().await);
        }
        loop {
            match self.signal(begun + limit).await {
                Ok(Signal::Response(payload)) => return Answer::Response(payload),
                Ok(Signal::Error(payload)) => return Answer::Error(payload),
                Ok(Signal::TooLarge) => return Answer::TooLarge,
                // A runtime that asks again before it answers gets nothing until it does.
                Ok(Signal::Ready | Signal::InitError(_)) => {}
                Err(answer) => return answer,
            }
        }
    }

    /// The next thing that the process does, or its end, or the deadline.
    async fn signal(&mut self, deadline: Instant) -> Result<Signal, Answer> {
        let Self { process, api, .. } = self;
        let next = async {
            tokio::select! {
                // First what it said, then that it is gone.
                biased;
                Some(signal) = api.signals.recv() => Ok(signal),
                reason = process.ended() => match api.signals.try_recv() {
                    Ok(signal) => Ok(signal),
                    Err(_) => Err(Answer::Exited(reason)),
                },
            }
        };
        match timeout_at(deadline, next).await {
            Ok(signal) => signal,
            Err(_) => {
                process.kill();
                Err(Answer::TimedOut)
            }
        }
    }

    /// Waits, shortly, for the process to settle; builds what the caller gets.
    async fn finish(
        &mut self,
        answer: Answer,
        request_id: &str,
        duration: Duration,
        limit: Duration,
    ) -> Ending {
        let answered = matches!(answer, Answer::Response(_) | Answer::Error(_) | Answer::TooLarge);
        let idle = if answered {
            self.settled(Instant::now() + SETTLE).await
        } else {
            // Its last lines come with its end.
            let _ = timeout_at(Instant::now() + SETTLE, self.process.ended()).await;
            false
        };
        self.process.drain();
        let (payload, sandbox) = match answer {
            Answer::Response(payload) => {
                return self.ending(payload, false, duration, idle);
            }
            Answer::Error(payload) | Answer::InitError(payload) => (payload, None),
            Answer::TooLarge => (
                error(
                    "Function.ResponseSizeTooLarge",
                    &format!(
                        "Response payload size exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes)."
                    ),
                ),
                None,
            ),
            Answer::Exited(reason) => {
                let message = format!("RequestId: {request_id} Error: {reason}");
                self.journal.line(&message);
                (
                    error("Runtime.ExitError", &message),
                    Some("error\tError Type: Runtime.ExitError"),
                )
            }
            Answer::TimedOut => {
                let message = format!("Task timed out after {:.2} seconds", limit.as_secs_f64());
                self.journal
                    .line(&format!("{} {request_id} {message}", Timestamp::now()));
                (
                    error(
                        "Sandbox.Timedout",
                        &format!("RequestId: {request_id} Error: {message}"),
                    ),
                    Some("timeout"),
                )
            }
        };
        Ending {
            status: sandbox,
            ..self.ending(payload, true, duration, idle)
        }
    }

    fn ending(&mut self, payload: Bytes, failed: bool, duration: Duration, idle: bool) -> Ending {
        let init = match std::mem::replace(&mut self.init, Init::Reported) {
            Init::Done(took) => Some(took),
            Init::Running(_) | Init::Reported => None,
        };
        Ending {
            payload,
            failed,
            duration,
            init,
            idle,
            status: None,
        }
    }

    /// Waits until the process asks for more work; false where it ends or takes too long.
    pub(crate) async fn settled(&mut self, deadline: Instant) -> bool {
        loop {
            tokio::select! {
                biased;
                signal = self.api.signals.recv() => match signal {
                    Some(Signal::Ready) => return true,
                    Some(_) => {}
                    None => return false,
                },
                _ = self.process.ended() => return false,
                () = tokio::time::sleep_until(deadline) => return false,
            }
        }
    }
}

/// What an invocation hands to its process.
pub(crate) struct Request {
    pub(crate) request_id: String,
    pub(crate) invoked_arn: String,
    pub(crate) client_context: Option<String>,
    pub(crate) payload: Bytes,
}

/// Why no process could be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")]
    NoBootstrap,
    #[error("the process could not be started: {0}")]
    Io(#[from] std::io::Error),
}

impl StartError {
    /// What the invocation answers.
    pub(crate) fn payload(&self, request_id: &str) -> Bytes {
        let kind = match self {
            Self::NoBootstrap => "Runtime.InvalidEntrypoint",
            Self::Io(_) => "Runtime.ExitError",
        };
        error(kind, &format!("RequestId: {request_id} Error: {self}"))
    }
}

fn error(kind: &str, message: &str) -> Bytes {
    Bytes::from(json!({ "errorType": kind, "errorMessage": message }).to_string())
}

fn trace_id() -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    let parent = uuid::Uuid::new_v4().simple().to_string();
    format!(
        "Root=1-{:08x}-{};Parent={};Sampled=0",
        Timestamp::now().as_second(),
        &random[..24],
        &parent[..16]
    )
}
