//! The engine: what it holds, and which operation goes where.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use indexmap::IndexMap;
use serde_json::{Value, json};
use signalbox_local_core::{AwsError, AwsEvent, Caller, Cloud, Engine};
use tokio::task::JoinSet;

use crate::intrinsics::Place;
use crate::invalid;
use crate::loader::Loader;
use crate::operations::{change_sets, stacks, templates};
use crate::stack::Stack;

/// Where the engine finds what it does not carry itself.
#[derive(Debug, Clone)]
pub struct Options {
    /// A Python interpreter whose environment has `aws-sam-translator`.
    pub python: PathBuf,
    /// `transform.py`, which turns YAML and the serverless transform into CloudFormation's long form.
    pub transform: PathBuf,
    /// What local code paths in templates are relative to.
    pub project_root: PathBuf,
}

/// CloudFormation of the local cloud.
pub struct CloudFormationEngine {
    inner: Arc<Inner>,
}

/// What operations and executions share.
pub(crate) struct Inner {
    pub(crate) cloud: Arc<dyn Cloud>,
    pub(crate) loader: Loader,
    pub(crate) project_root: PathBuf,
    /// By id, oldest first; deleted ones stay, as AWS remembers them.
    stacks: Mutex<IndexMap<String, Stack>>,
    tasks: Mutex<JoinSet<()>>,
}

impl CloudFormationEngine {
    /// An engine without stacks.
    #[must_use]
    pub fn new(cloud: Arc<dyn Cloud>, options: Options) -> Arc<Self> {
        let loader = Loader::new(options.python, options.transform);
        let inner = Inner {
            cloud,
            loader,
            project_root: options.project_root,
            stacks: Mutex::default(),
            tasks: Mutex::default(),
        };
        Arc::new(Self {
            inner: Arc::new(inner),
        })
    }
}

impl Inner {
    pub(crate) fn stacks(&self) -> MutexGuard<'_, IndexMap<String, Stack>> {
        self.stacks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> f64 {
        self.cloud.clock().epoch_seconds()
    }

    /// Does something with a stack; nothing where there is none of that id.
    pub(crate) fn with<R>(&self, id: &str, act: impl FnOnce(&mut Stack) -> R) -> Option<R> {
        self.stacks().get_mut(id).map(act)
    }

    /// A stack by its id, or the one that bears the name now.
    ///
    /// # Errors
    /// `ValidationError`: there is none.
    pub(crate) fn find(&self, name: &str) -> Result<Stack, AwsError> {
        self.find_opt(name)
            .ok_or_else(|| invalid(format!("Stack with id {name} does not exist")))
    }

    pub(crate) fn find_opt(&self, name: &str) -> Option<Stack> {
        let stacks = self.stacks();
        if let Some(stack) = stacks.get(name) {
            return Some(stack.clone());
        }
        stacks
            .values()
            .rev()
            .find(|stack| stack.name == name && stack.status != "DELETE_COMPLETE")
            .cloned()
    }

    pub(crate) fn place(&self, stack_name: &str, stack_id: &str) -> Place {
        Place {
            account: self.cloud.account().clone(),
            stack_name: stack_name.to_owned(),
            stack_id: stack_id.to_owned(),
        }
    }

    /// What other stacks export.
    pub(crate) fn exports(&self) -> BTreeMap<String, String> {
        let stacks = self.stacks();
        let outputs = stacks
            .values()
            .filter(|stack| stack.deleted.is_none())
            .flat_map(|stack| &stack.outputs);
        outputs
            .filter_map(|output| Some((output.export.clone()?, output.value.clone())))
            .collect()
    }

    /// Notes a stack's new status, and tells the event bus.
    pub(crate) async fn status(&self, id: &str, status: &'static str, reason: Option<&str>) {
        let now = self.now();
        self.with(id, |stack| stack.stack_event(now, status, reason));
        tracing::info!(stack = id, status, reason, "stack");
        let detail = json!({
            "stack-id": id,
            "status-details": { "status": status, "status-reason": reason.unwrap_or_default() },
            "client-request-token": "",
        });
        let event = AwsEvent {
            source: "aws.cloudformation".to_owned(),
            detail_type: "CloudFormation Stack Status Change".to_owned(),
            resources: vec![id.to_owned()],
            detail,
        };
        self.cloud.emit(event).await;
    }

    /// Runs something in the background, until it ends or the engine does.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(work);
    }
}

#[async_trait]
impl Engine for CloudFormationEngine {
    fn service(&self) -> &'static str {
        "cloudformation"
    }

    fn operations(&self) -> &'static [&'static str] {
        &[
            "CancelUpdateStack",
            "ContinueUpdateRollback",
            "CreateChangeSet",
            "CreateStack",
            "DeleteChangeSet",
            "DeleteStack",
            "DescribeChangeSet",
            "DescribeStackEvents",
            "DescribeStackResource",
            "DescribeStackResources",
            "DescribeStacks",
            "ExecuteChangeSet",
            "GetStackPolicy",
            "GetTemplate",
            "GetTemplateSummary",
            "ListChangeSets",
            "ListStackResources",
            "ListStacks",
            "UpdateStack",
            "UpdateTerminationProtection",
            "ValidateTemplate",
        ]
    }

    async fn call(&self, _: &Caller, operation: &str, input: Value) -> Result<Value, AwsError> {
        let inner = &self.inner;
        match operation {
            "CancelUpdateStack" => stacks::cancel(inner, &input),
            "ContinueUpdateRollback" => stacks::continue_rollback(inner, &input),
            "CreateChangeSet" => change_sets::create(inner, &input).await,
            "CreateStack" => stacks::create(inner, &input).await,
            "DeleteChangeSet" => change_sets::delete(inner, &input),
            "DeleteStack" => stacks::delete(inner, &input),
            "DescribeChangeSet" => change_sets::describe(inner, &input),
            "DescribeStackEvents" => stacks::events(inner, &input),
            "DescribeStackResource" => stacks::describe_resource(inner, &input),
            "DescribeStackResources" => stacks::describe_resources(inner, &input),
            "DescribeStacks" => stacks::describe(inner, &input),
            "ExecuteChangeSet" => change_sets::execute(inner, &input),
            "GetStackPolicy" => Ok(json!({})),
            "GetTemplate" => templates::get(inner, &input),
            "GetTemplateSummary" => templates::summary(inner, &input).await,
            "ListChangeSets" => change_sets::list(inner, &input),
            "ListStackResources" => stacks::list_resources(inner, &input),
            "ListStacks" => Ok(stacks::list(inner, &input)),
            "UpdateStack" => stacks::update(inner, &input).await,
            "UpdateTerminationProtection" => stacks::protect(inner, &input),
            "ValidateTemplate" => templates::validate(inner, &input).await,
            other => Err(AwsError::unknown_operation("cloudformation", other)),
        }
    }

    async fn shutdown(&self) {
        let mut tasks = std::mem::take(&mut *self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }
}
