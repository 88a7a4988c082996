//! A Lambda deployment's one target: an alias.

use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use crate::CodeDeployEngine;
use crate::deployment::{Deployment, Status};
use crate::input::{optional, page, texts};

fn started(deployment: &Deployment) -> Result<(), AwsError> {
    if deployment.status == Status::Created {
        return Err(AwsError::new(
            "DeploymentNotStartedException",
            "The specified deployment has not started.",
        ));
    }
    Ok(())
}

impl CodeDeployEngine {
    fn target(&self, deployment: &Deployment, id: &str) -> Result<Value, AwsError> {
        if id != deployment.target_id() {
            return Err(AwsError::new(
                "DeploymentTargetDoesNotExistException",
                format!("The provided target ID {id} does not belong to the attempted deployment."),
            ));
        }
        let function = if deployment.spec.function.starts_with("arn:") {
            deployment.spec.function.clone()
        } else {
            self.cloud
                .account()
                .arn("lambda", &format!("function:{}", deployment.spec.function))
        };
        Ok(deployment.describe_target(&format!("{function}:{}", deployment.spec.alias)))
    }

    pub(crate) fn list_targets(&self, input: &Value) -> Result<Value, AwsError> {
        let state = self.state();
        let deployment = state.deployment(input)?;
        started(deployment)?;
        let wanted = input
            .get("targetFilters")
            .map(|filters| texts(filters, "TargetStatus"))
            .unwrap_or_default();
        let listed = wanted.is_empty() || wanted.contains(&deployment.status.of_target());
        let ids: Vec<Value> = listed
            .then(|| Value::from(deployment.target_id()))
            .into_iter()
            .collect();
        page(input, "targetIds", &ids)
    }

    pub(crate) fn get_target(&self, input: &Value) -> Result<Value, AwsError> {
        let state = self.state();
        let deployment = state.deployment(input)?;
        started(deployment)?;
        let id = optional(input, "targetId").unwrap_or_default();
        Ok(json!({"deploymentTarget": self.target(deployment, id)?}))
    }

    pub(crate) fn batch_get_targets(&self, input: &Value) -> Result<Value, AwsError> {
        let state = self.state();
        let deployment = state.deployment(input)?;
        started(deployment)?;
        let targets = texts(input, "targetIds")
            .into_iter()
            .map(|id| self.target(deployment, id))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(json!({"deploymentTargets": targets}))
    }
}
