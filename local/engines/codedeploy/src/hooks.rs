//! Lifecycle hooks: a function is told about the deployment and answers whenever it likes, within an
//! hour.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::CodeDeployEngine;
use crate::deployment::{Event, Progress};
use crate::input::{optional, required};
use crate::run::{End, Plan};

/// AWS: no answer within an hour fails the deployment.
const PATIENCE: Duration = Duration::from_hours(1);
/// What the managed policy `AWSCodeDeployRoleForLambda` lets CodeDeploy call.
const NAME_PREFIX: &str = "CodeDeployHook_";

/// The function's name, of a name or an ARN.
fn function_name(function: &str) -> &str {
    function
        .split_once(":function:")
        .map_or(function, |(_, name)| name.split(':').next().unwrap_or(name))
}

impl CodeDeployEngine {
    pub(crate) async fn run_hook(
        &self,
        plan: &Plan,
        event: Event,
        function: Option<&str>,
    ) -> Result<(), End> {
        let Some(function) = function else {
            self.advance(plan, event, Progress::Skipped, None);
            return Ok(());
        };
        let failed = |code: &'static str, message: String| {
            self.advance(plan, event, Progress::Failed, Some(message.clone()));
            Err(End::failed(code, message))
        };
        if !function_name(function).starts_with(NAME_PREFIX) {
            return failed(
                "IAM_ROLE_PERMISSIONS",
                format!(
                    "The service role may invoke functions whose names start with {NAME_PREFIX}; the {} hook {function} does not.",
                    event.as_str()
                ),
            );
        }
        let (verdict, waiting) = oneshot::channel();
        let execution_id = Uuid::new_v4().simple().to_string();
        if let Some(deployment) = self.state().deployments.get_mut(&plan.id) {
            deployment.waiting = Some((execution_id.clone(), verdict));
        }
        self.advance(plan, event, Progress::Running, None);
        let payload =
            json!({"DeploymentId": plan.id, "LifecycleEventHookExecutionId": execution_id}).to_string();
        let invocation =
            json!({"FunctionName": function, "InvocationType": "Event", "Payload": BASE64.encode(payload)});
        if let Err(error) = self.call_as_service("lambda", "Invoke", invocation).await {
            return failed(
                "HOOK_EXECUTION_FAILURE",
                format!(
                    "The {} hook {function} could not be invoked: {error}",
                    event.as_str()
                ),
            );
        }
        match tokio::time::timeout(self.cloud.clock().scaled(PATIENCE), waiting).await {
            Ok(Ok(true)) => {
                self.advance(plan, event, Progress::Succeeded, None);
                Ok(())
            }
            Ok(_) => failed(
                "HOOK_EXECUTION_FAILURE",
                "The deployment failed because one or more of the lifecycle event validation functions failed.".to_owned(),
            ),
            Err(_) => failed(
                "TIMEOUT",
                "The deployment timed out while waiting for a status callback. CodeDeploy expects a status callback within one \
                 hour after a deployment hook is invoked."
                    .to_owned(),
            ),
        }
    }

    fn advance(&self, plan: &Plan, event: Event, progress: Progress, message: Option<String>) {
        let now = self.cloud.clock().epoch_seconds();
        if let Some(deployment) = self.state().deployments.get_mut(&plan.id) {
            if matches!(progress, Progress::Succeeded | Progress::Failed)
                && let Some((id, _)) = deployment.waiting.take()
            {
                deployment.answered.push(id);
            }
            deployment.advance(event, progress, message, now);
        }
    }

    pub(crate) fn advance_traffic(&self, plan: &Plan, progress: Progress) {
        self.advance(plan, Event::Allow, progress, None);
    }

    pub(crate) fn put_hook_status(&self, input: &Value) -> Result<Value, AwsError> {
        let mut state = self.state();
        let deployment = state.deployment_mut(input)?;
        let id = required(
            input,
            "lifecycleEventHookExecutionId",
            "InvalidLifecycleEventHookExecutionIdException",
        )?;
        let succeeded = match optional(input, "status") {
            Some("Succeeded") => true,
            Some("Failed") => false,
            _ => {
                return Err(AwsError::new(
                    "InvalidLifecycleEventHookExecutionStatusException",
                    "The result of a Lambda validation function that verifies a lifecycle event is invalid. It should return \
                     Succeeded or Failed.",
                ));
            }
        };
        if deployment.answered.iter().any(|one| one == id) {
            return Err(AwsError::new(
                "LifecycleEventAlreadyCompletedException",
                "An attempt to return the status of an already completed lifecycle event occurred.",
            ));
        }
        match deployment.waiting.take_if(|(waiting, _)| waiting == id) {
            Some((_, verdict)) => {
                deployment.answered.push(id.to_owned());
                let _ = verdict.send(succeeded);
                Ok(json!({"lifecycleEventHookExecutionId": id}))
            }
            None => Err(AwsError::new(
                "InvalidLifecycleEventHookExecutionIdException",
                "A lifecycle event hook is invalid. Review the hooks section in your AppSpec file to ensure the lifecycle events \
                 and hooks functions are valid.",
            )),
        }
    }
}
