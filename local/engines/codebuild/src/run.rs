//! The life of one build, from SUBMITTED to COMPLETED.

use std::path::PathBuf;
use std::sync::Arc;

use signalbox_local_core::Caller;
use tokio::sync::SemaphorePermit;

use crate::build::Build;
use crate::engine::Shared;
use crate::environment::{role_arn, session};
use crate::events;
use crate::log::{self, BuildLog};
use crate::phase::{Context, PhaseType, Status};
use crate::state::lock;
use crate::work::{self, Site};

/// A build under way.
pub(crate) struct Runner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) build: Arc<Build>,
    pub(crate) log: Arc<BuildLog>,
}

impl Shared {
    /// The file that has a build's whole log.
    pub(crate) fn log_path(&self, project: &str, uuid: &str) -> PathBuf {
        self.options.log_dir.join(format!("{project}-{uuid}.log"))
    }
}

/// Runs a build to its end, however it ends.
pub(crate) async fn run(shared: Arc<Shared>, build: Arc<Build>) {
    let path = shared.log_path(&build.fixed.project, &build.fixed.uuid);
    let log = match BuildLog::to_file(&path, shared.cloud.clock().clone()) {
        Ok(log) => log,
        Err(error) => {
            let context = Context::internal(&format!("making the log {}", path.display()), error);
            close(&shared, &build, Status::Fault, Some(context)).await;
            return;
        }
    };
    let log = match build.fixed.log_stream.clone() {
        None => log,
        Some(stream) => {
            let (log, lines) = log.with_stream();
            let caller = Caller::Role {
                arn: role_arn(&shared, &build),
                session: session(&build),
            };
            shared
                .tasks
                .spawn(log::ship(Arc::clone(&shared), caller, stream, lines));
            log
        }
    };
    let runner = Runner {
        shared,
        build,
        log: Arc::new(log),
    };
    let status = runner.live().await;
    runner.log.close();
    close(&runner.shared, &runner.build, status, None).await;
}

/// Makes the end known: to the state, on the bus, to whoever waits.
async fn close(shared: &Shared, build: &Build, status: Status, context: Option<Context>) {
    let now = shared.cloud.clock().epoch_seconds();
    if context.is_some() {
        build.end(Status::Failed, context, now);
    }
    build.begin(PhaseType::Completed, now);
    {
        let mut progress = lock(&build.progress);
        progress.status = status;
        progress.end = Some(now);
    }
    shared.cloud.emit(events::state_change(build, status)).await;
    build.complete.send_replace(true);
}

impl Runner {
    async fn live(&self) -> Status {
        let (build, cloud) = (&self.build, &self.shared.cloud);
        cloud.emit(events::state_change(build, Status::InProgress)).await;
        self.end(Status::Succeeded, None).await;

        let permit = match self.queue().await {
            Ok(permit) => permit,
            Err(status) => return status,
        };
        let mut site = Site::default();
        let status = tokio::select! {
            biased;
            () = self.interrupted() => Status::Stopped,
            () = tokio::time::sleep(build.fixed.plan.timeout) => Status::TimedOut,
            status = work::work(self, &mut site) => status,
        };
        // What `work` was doing is abandoned; its phase is still open. Processes end here at the latest.
        if let Some(shell) = site.shell.take() {
            shell.end().await;
        }
        let context = match status {
            Status::TimedOut => Some(Context::new("BUILD_TIMED_OUT", "Build has timed out. ")),
            _ => None,
        };
        self.end(status, context).await;

        build.begin(PhaseType::Finalizing, cloud.clock().epoch_seconds());
        site.leave(&self.log).await;
        drop(permit);
        self.end(Status::Succeeded, None).await;
        status
    }

    /// Waits for its turn.
    async fn queue(&self) -> Result<SemaphorePermit<'_>, Status> {
        self.build
            .begin(PhaseType::Queued, self.shared.cloud.clock().epoch_seconds());
        let status = tokio::select! {
            biased;
            () = self.interrupted() => Status::Stopped,
            permit = self.shared.slots.acquire() => match permit {
                Ok(permit) => {
                    self.end(Status::Succeeded, None).await;
                    return Ok(permit);
                }
                Err(_) => Status::Stopped,
            },
            () = tokio::time::sleep(self.build.fixed.plan.queued_timeout) => Status::TimedOut,
        };
        let context = (status == Status::TimedOut).then(|| {
            Context::new(
                "QUEUED_TIMED_OUT",
                "Build has timed out while waiting in the queue.",
            )
        });
        self.end(status, context).await;
        Err(status)
    }

    /// Ends when the build is to stop.
    async fn interrupted(&self) {
        tokio::select! {
            () = self.build.stop.cancelled() => {}
            () = self.shared.closing.cancelled() => {}
        }
    }

    /// Begins a phase and says so in the log.
    pub(crate) fn begin(&self, phase: PhaseType) {
        self.build.begin(phase, self.shared.cloud.clock().epoch_seconds());
        self.log.note(&format!("Entering phase {}", phase.name()));
    }

    /// Ends the phase under way, if one is, in the state, the log and on the bus.
    pub(crate) async fn end(&self, status: Status, context: Option<Context>) {
        let context = context.map(|context| Context {
            message: self.log.masked(&context.message),
            status_code: context.status_code,
        });
        let (code, message) = context
            .as_ref()
            .map_or(("", ""), |c| (&c.status_code, &c.message));
        let (code, message) = (code.to_owned(), message.to_owned());
        let Some(phase) = self
            .build
            .end(status, context, self.shared.cloud.clock().epoch_seconds())
        else {
            return;
        };
        self.log.note(&format!(
            "Phase complete: {} State: {}",
            phase.phase_type.name(),
            status.name()
        ));
        self.log
            .note(&format!("Phase context status code: {code} Message: {message}"));
        self.shared
            .cloud
            .emit(events::phase_change(&self.build, &phase))
            .await;
    }
}
