//! CodeDeploy for Lambda, locally.
//!
//! A deployment runs its `BeforeAllowTraffic` hook, shifts the alias from one version to the other as
//! its configuration says, runs `AfterAllowTraffic`, and is then done. Meanwhile the group's alarms and
//! the alias itself are watched: an alarm stops the deployment, and an alias that somebody else moved
//! fails it. A deployment that did not succeed is rolled back where the group or the caller says so, by a
//! deployment of its own, as in AWS.
//!
//! Not here: servers and ECS, SNS triggers, GitHub revisions.

mod alarms;
mod alias;
mod applications;
mod appspec;
mod configs;
mod deployment;
mod deployments;
mod groups;
mod hooks;
mod input;
mod revisions;
mod run;
mod tags;
mod targets;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use indexmap::IndexMap;
use serde_json::Value;
use signalbox_local_core::{AwsError, Caller, Cloud, Engine};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use applications::Application;
use configs::Configs;
use deployment::Deployment;

/// As whom CodeDeploy calls other services.
const PRINCIPAL: &str = "codedeploy.amazonaws.com";

/// The engine; see the crate.
pub struct CodeDeployEngine {
    cloud: Arc<dyn Cloud>,
    state: Mutex<State>,
    tasks: TaskTracker,
    ended: CancellationToken,
    /// Itself, for the tasks it starts.
    this: Weak<Self>,
}

#[derive(Default)]
struct State {
    applications: IndexMap<String, Application>,
    configs: Configs,
    /// In the order of their creation.
    deployments: IndexMap<String, Deployment>,
    /// By ARN.
    tags: HashMap<String, IndexMap<String, String>>,
}

impl CodeDeployEngine {
    /// An engine with AWS's own deployment configurations and nothing else.
    #[must_use]
    pub fn new(cloud: Arc<dyn Cloud>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            cloud,
            state: Mutex::default(),
            tasks: TaskTracker::new(),
            ended: CancellationToken::new(),
            this: this.clone(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs in the background until it is done or the engine ends.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if !self.ended.is_cancelled() {
            let ended = self.ended.clone();
            self.tasks.spawn(async move {
                let _ = ended.run_until_cancelled_owned(work).await;
            });
        }
    }

    async fn call_as_service(&self, service: &str, operation: &str, input: Value) -> Result<Value, AwsError> {
        self.cloud
            .call(&Caller::service(PRINCIPAL), service, operation, input)
            .await
    }

    fn application_arn(&self, application: &str) -> String {
        self.cloud
            .account()
            .arn("codedeploy", &format!("application:{application}"))
    }

    fn group_arn(&self, application: &str, group: &str) -> String {
        self.cloud
            .account()
            .arn("codedeploy", &format!("deploymentgroup:{application}/{group}"))
    }
}

/// An id as CodeDeploy gives to applications, groups and configurations.
fn new_id() -> String {
    Uuid::new_v4().to_string()
}

#[async_trait]
impl Engine for CodeDeployEngine {
    fn service(&self) -> &'static str {
        "codedeploy"
    }

    fn operations(&self) -> &'static [&'static str] {
        &[
            "BatchGetApplications",
            "BatchGetDeploymentGroups",
            "BatchGetDeploymentTargets",
            "BatchGetDeployments",
            "ContinueDeployment",
            "CreateApplication",
            "CreateDeployment",
            "CreateDeploymentConfig",
            "CreateDeploymentGroup",
            "DeleteApplication",
            "DeleteDeploymentConfig",
            "DeleteDeploymentGroup",
            "GetApplication",
            "GetApplicationRevision",
            "GetDeployment",
            "GetDeploymentConfig",
            "GetDeploymentGroup",
            "GetDeploymentTarget",
            "ListApplicationRevisions",
            "ListApplications",
            "ListDeploymentConfigs",
            "ListDeploymentGroups",
            "ListDeploymentTargets",
            "ListDeployments",
            "ListTagsForResource",
            "PutLifecycleEventHookExecutionStatus",
            "RegisterApplicationRevision",
            "StopDeployment",
            "TagResource",
            "UntagResource",
            "UpdateDeploymentGroup",
        ]
    }

    async fn call(&self, caller: &Caller, operation: &str, input: Value) -> Result<Value, AwsError> {
        match operation {
            "CreateApplication" => self.create_application(&input),
            "GetApplication" => self.get_application(&input),
            "ListApplications" => self.list_applications(&input),
            "DeleteApplication" => self.delete_application(&input),
            "BatchGetApplications" => self.batch_get_applications(&input),
            "CreateDeploymentGroup" => self.create_group(&input),
            "GetDeploymentGroup" => self.get_group(&input),
            "UpdateDeploymentGroup" => self.update_group(&input),
            "ListDeploymentGroups" => self.list_groups(&input),
            "BatchGetDeploymentGroups" => self.batch_get_groups(&input),
            "DeleteDeploymentGroup" => self.delete_group(&input),
            "CreateDeploymentConfig" => self.create_config(&input),
            "GetDeploymentConfig" => self.get_config(&input),
            "ListDeploymentConfigs" => self.list_configs(&input),
            "DeleteDeploymentConfig" => self.delete_config(&input),
            "RegisterApplicationRevision" => self.register_revision(&input),
            "GetApplicationRevision" => self.get_revision(&input),
            "ListApplicationRevisions" => self.list_revisions(&input),
            "CreateDeployment" => self.create_deployment(caller, &input).await,
            "GetDeployment" => self.get_deployment(&input),
            "BatchGetDeployments" => self.batch_get_deployments(&input),
            "ListDeployments" => self.list_deployments(&input),
            "StopDeployment" => self.stop_deployment(&input),
            "ContinueDeployment" => self.continue_deployment(&input),
            "ListDeploymentTargets" => self.list_targets(&input),
            "GetDeploymentTarget" => self.get_target(&input),
            "BatchGetDeploymentTargets" => self.batch_get_targets(&input),
            "PutLifecycleEventHookExecutionStatus" => self.put_hook_status(&input),
            "TagResource" => self.tag_resource(&input),
            "UntagResource" => self.untag_resource(&input),
            "ListTagsForResource" => self.list_tags(&input),
            _ => Err(AwsError::unknown_operation(self.service(), operation)),
        }
    }

    async fn shutdown(&self) {
        self.ended.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
