//! The engine: one lock over the state, and the effects of each change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::Value;
use signalbox_local_core::{AwsError, AwsEvent, Caller, Cloud, Engine};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actions;
use crate::lifecycle;
use crate::operations;
use crate::state::{Change, State};
use crate::task::{ActionTask, Effect, Failure, Progress};

/// The CodePipeline engine of the local cloud.
pub struct CodePipelineEngine {
    inner: Arc<Inner>,
}

/// What operations and runners share.
pub(crate) struct Inner {
    pub(crate) cloud: Arc<dyn Cloud>,
    state: Mutex<State>,
    events: mpsc::UnboundedSender<AwsEvent>,
    /// Runners by action execution; taken only inside of `state`'s lock.
    running: Mutex<HashMap<String, CancellationToken>>,
    tasks: TaskTracker,
    ended: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CodePipelineEngine {
    /// An engine without pipelines. Needs a tokio runtime: the task that sends events starts here.
    #[must_use]
    pub fn new(cloud: Arc<dyn Cloud>) -> Arc<Self> {
        let (events, queue) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            cloud: cloud.clone(),
            state: Mutex::default(),
            events,
            running: Mutex::default(),
            tasks: TaskTracker::new(),
            ended: CancellationToken::new(),
        });
        inner.tasks.spawn(send_events(cloud, queue, inner.ended.clone()));
        Arc::new(Self { inner })
    }
}

/// One sender for all, so that events leave in the order of the changes that caused them.
async fn send_events(
    cloud: Arc<dyn Cloud>,
    mut queue: mpsc::UnboundedReceiver<AwsEvent>,
    ended: CancellationToken,
) {
    loop {
        tokio::select! {
            () = ended.cancelled() => return,
            event = queue.recv() => match event {
                Some(event) => cloud.emit(event).await,
                None => return,
            },
        }
    }
}

impl Inner {
    /// Reads the state.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&lock(&self.state))
    }

    /// Changes the state, and sets going what follows from that.
    pub(crate) fn change<R>(self: &Arc<Self>, apply: impl FnOnce(&mut State, &mut Change<'_>) -> R) -> R {
        let mut effects = Vec::new();
        let mut state = lock(&self.state);
        let mut change = Change {
            account: self.cloud.account(),
            now: self.cloud.clock().now(),
            effects: &mut effects,
        };
        let result = apply(&mut state, &mut change);
        for effect in effects {
            self.perform(effect, &mut state);
        }
        result
    }

    fn perform(self: &Arc<Self>, effect: Effect, state: &mut State) {
        match effect {
            // The receiver is gone only after shutdown, when nobody listens for events any more.
            Effect::Emit(event) => drop(self.events.send(event)),
            Effect::Release { action_execution } => {
                if let Some(released) = lock(&self.running).remove(&action_execution) {
                    released.cancel();
                }
            }
            Effect::Run(task) => {
                if let (Some(job), crate::action_types::Provider::Lambda) = (&task.token, task.provider) {
                    let address = (
                        task.pipeline.clone(),
                        task.execution.clone(),
                        task.action_execution.clone(),
                    );
                    state.jobs.insert(job.clone(), address);
                }
                let released = CancellationToken::new();
                lock(&self.running).insert(task.action_execution.clone(), released.clone());
                self.tasks.spawn(run(self.clone(), task, released));
            }
        }
    }

    /// Notes what a runner has learnt about its action.
    pub(crate) fn progress(self: &Arc<Self>, task: &ActionTask, progress: Progress) {
        self.change(|state, _| {
            let action = state
                .pipelines
                .get_mut(&task.pipeline)
                .and_then(|pipeline| {
                    pipeline
                        .executions
                        .iter_mut()
                        .find(|run| run.id == task.execution)
                })
                .and_then(|run| {
                    run.actions
                        .iter_mut()
                        .find(|action| action.id == task.action_execution)
                });
            if let Some(action) = action {
                action.external_id = progress.external_id.or(action.external_id.take());
                action.external_url = progress.external_url.or(action.external_url.take());
                action.summary = progress.summary.or(action.summary.take());
            }
        });
    }

    /// The service acting for a pipeline.
    pub(crate) fn caller(task: &ActionTask) -> Caller {
        Caller::service_for("codepipeline.amazonaws.com", &task.pipeline_arn)
    }
}

/// One action, from its start to its result, its time-out, or its abandonment.
async fn run(inner: Arc<Inner>, task: Box<ActionTask>, released: CancellationToken) {
    let outcome = tokio::select! {
        // An abandoned action stays abandoned, though its result may come at the same instant.
        biased;
        () = inner.ended.cancelled() => return,
        () = released.cancelled() => {
            actions::abandon(&inner, &task).await;
            return;
        }
        () = inner.cloud.clock().sleep(task.timeout) => {
            actions::abandon(&inner, &task).await;
            Err(Failure::job(actions::timed_out(&task)))
        }
        outcome = actions::run(&inner, &task) => outcome,
    };
    inner.change(|state, change| {
        let Some(pipeline) = state.pipelines.get_mut(&task.pipeline) else {
            return;
        };
        lifecycle::complete(
            pipeline,
            &task.execution,
            &task.action_execution,
            outcome,
            None,
            change,
        );
        crate::schedule::advance(pipeline, change);
    });
}

#[async_trait]
impl Engine for CodePipelineEngine {
    fn service(&self) -> &'static str {
        "codepipeline"
    }

    fn operations(&self) -> &'static [&'static str] {
        operations::ALL
    }

    async fn call(&self, caller: &Caller, operation: &str, input: Value) -> Result<Value, AwsError> {
        operations::call(&self.inner, caller, operation, input)
    }

    async fn shutdown(&self) {
        self.inner.ended.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}
