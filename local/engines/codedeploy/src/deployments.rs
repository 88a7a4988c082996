//! Creating, describing, listing and stopping deployments.

use std::sync::Arc;

use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Caller};

use crate::applications::application_name;
use crate::appspec::AppSpec;
use crate::deployment::{Deployment, Order, Status, Stop};
use crate::groups::{AlarmConfiguration, AutoRollback, group_name, missing as missing_group};
use crate::input::{optional, page, required, texts, within};
use crate::{CodeDeployEngine, State};

fn missing(id: &str) -> AwsError {
    AwsError::new(
        "DeploymentDoesNotExistException",
        format!("The deployment {id} could not be found"),
    )
}

fn already_completed(id: &str) -> AwsError {
    AwsError::new(
        "DeploymentAlreadyCompletedException",
        format!("Deployment {id} is already completed."),
    )
}

pub(crate) fn deployment_id(input: &Value) -> Result<&str, AwsError> {
    required(input, "deploymentId", "DeploymentIdRequiredException")
}

/// `creator`, from who calls and what they say.
fn creator(caller: &Caller, description: Option<&str>) -> &'static str {
    match caller {
        Caller::Service { principal, .. } if principal.starts_with("cloudformation.") => {
            if description.is_some_and(|text| text.starts_with("CloudFormation rollback")) {
                "CloudFormationRollback"
            } else {
                "CloudFormation"
            }
        }
        Caller::Admin | Caller::Role { .. } | Caller::Service { .. } => "user",
    }
}

impl State {
    pub(crate) fn deployment(&self, input: &Value) -> Result<&Deployment, AwsError> {
        let id = deployment_id(input)?;
        self.deployments.get(id).ok_or_else(|| missing(id))
    }

    pub(crate) fn deployment_mut(&mut self, input: &Value) -> Result<&mut Deployment, AwsError> {
        let id = deployment_id(input)?;
        self.deployments.get_mut(id).ok_or_else(|| missing(id))
    }

    /// The revision that runs: that of the group's last deployment that succeeded.
    pub(crate) fn good_revision(&self, application: &str, group: &str) -> Option<&Deployment> {
        self.deployments_of(application, group)
            .rev()
            .find(|one| one.status == Status::Succeeded)
    }
}

impl CodeDeployEngine {
    pub(crate) async fn create_deployment(&self, caller: &Caller, input: &Value) -> Result<Value, AwsError> {
        let (application, group) = (
            application_name(input)?,
            group_name(input, "deploymentGroupName")?,
        );
        let revision = {
            let state = self.state();
            let known = state.application(input)?;
            known.groups.get(group).ok_or_else(|| missing_group(group))?;
            let revision = input.get("revision").ok_or_else(|| {
                AwsError::new("RevisionRequiredException", "The revision ID was not specified.")
            })?;
            known.revisions.complete(revision)?
        };
        let content = self.appspec_content(&revision).await?;
        let spec = AppSpec::parse(&content).map_err(|reason| {
            AwsError::new(
                "InvalidRevisionException",
                format!("The AppSpec of the revision is invalid: {reason}."),
            )
        })?;
        let override_alarms = input.get("overrideAlarmConfiguration");
        let description = optional(input, "description");
        let clock = self.cloud.clock();

        let mut state = self.state();
        let known = state
            .application(input)?
            .groups
            .get(group)
            .ok_or_else(|| missing_group(group))?;
        if let Some(active) = state
            .deployments_of(application, group)
            .find(|one| !one.status.is_final())
        {
            return Err(AwsError::new(
                "DeploymentLimitExceededException",
                format!(
                    "The Deployment Group '{group}' already has an active Deployment '{}'",
                    active.id
                ),
            ));
        }
        let config_name = optional(input, "deploymentConfigName")
            .unwrap_or(&known.config_name)
            .to_owned();
        let order = Order {
            application: application.to_owned(),
            group: group.to_owned(),
            group_id: known.id.clone(),
            shift: state.configs.shift(&config_name)?,
            config_name,
            revision: revision.clone(),
            previous_revision: state
                .good_revision(application, group)
                .map(|good| good.revision.clone()),
            spec,
            description: description.map(str::to_owned),
            creator: creator(caller, description),
            auto_rollback: match input.get("autoRollbackConfiguration") {
                Some(given) => AutoRollback::parse(given)?,
                None => known.auto_rollback.clone(),
            },
            alarms: match override_alarms {
                Some(given) => AlarmConfiguration::parse(given)?,
                None => known.alarms.clone(),
            },
            override_alarms: override_alarms.cloned(),
        };
        let deployment = Deployment::new(order, clock);
        let id = deployment.id.clone();
        state
            .application_mut(input)?
            .revisions
            .used(&revision, group, clock.epoch_seconds())?;
        state.deployments.insert(id.clone(), deployment);
        drop(state);
        if let Some(engine) = self.this.upgrade() {
            self.spawn(Arc::clone(&engine).run(id.clone()));
        }
        Ok(json!({"deploymentId": id}))
    }

    pub(crate) fn get_deployment(&self, input: &Value) -> Result<Value, AwsError> {
        Ok(json!({"deploymentInfo": self.state().deployment(input)?.describe()}))
    }

    pub(crate) fn batch_get_deployments(&self, input: &Value) -> Result<Value, AwsError> {
        let ids = texts(input, "deploymentIds");
        within(25, ids.len())?;
        let state = self.state();
        let found: Vec<Value> = ids
            .into_iter()
            .filter_map(|id| state.deployments.get(id))
            .map(Deployment::describe)
            .collect();
        Ok(json!({"deploymentsInfo": found}))
    }

    /// Newest first.
    pub(crate) fn list_deployments(&self, input: &Value) -> Result<Value, AwsError> {
        let state = self.state();
        let (application, group) = (
            optional(input, "applicationName"),
            optional(input, "deploymentGroupName"),
        );
        match (application, group) {
            (None, None) => {}
            (Some(_), None) => {
                group_name(input, "deploymentGroupName")?;
            }
            (_, Some(group)) => {
                state
                    .application(input)?
                    .groups
                    .get(group)
                    .ok_or_else(|| missing_group(group))?;
            }
        }
        let statuses = texts(input, "includeOnlyStatuses");
        let bound = |member: &str| {
            input
                .get("createTimeRange")
                .and_then(|range| range.get(member))
                .and_then(Value::as_f64)
        };
        let (start, end) = (
            bound("start").unwrap_or(f64::MIN),
            bound("end").unwrap_or(f64::MAX),
        );
        if start > end {
            return Err(AwsError::new(
                "InvalidTimeRangeException",
                "The specified time range was specified in an invalid format.",
            ));
        }
        let ids: Vec<Value> = state
            .deployments
            .values()
            .rev()
            .filter(|one| application.is_none_or(|name| one.application == name))
            .filter(|one| group.is_none_or(|name| one.group == name))
            .filter(|one| statuses.is_empty() || statuses.contains(&one.status.as_str()))
            .filter(|one| (start..=end).contains(&one.created))
            .map(|one| Value::from(one.id.as_str()))
            .collect();
        page(input, "deployments", &ids)
    }

    pub(crate) fn stop_deployment(&self, input: &Value) -> Result<Value, AwsError> {
        let auto_rollback = input.get("autoRollbackEnabled").and_then(Value::as_bool);
        let mut state = self.state();
        let deployment = state.deployment_mut(input)?;
        if deployment.status.is_final() {
            return Err(already_completed(&deployment.id));
        }
        // The first request counts; a second one while it is being stopped changes nothing.
        deployment.stop.send_if_modified(|stop| {
            let first = stop.is_none();
            stop.get_or_insert(Stop { auto_rollback });
            first
        });
        Ok(
            json!({"status": "Pending", "statusMessage": "No more deployment steps will be started; the deployment is being stopped."}),
        )
    }

    /// Lambda deployments wait for nobody between their steps.
    pub(crate) fn continue_deployment(&self, input: &Value) -> Result<Value, AwsError> {
        let state = self.state();
        let deployment = state.deployment(input)?;
        if deployment.status.is_final() {
            return Err(already_completed(&deployment.id));
        }
        Err(AwsError::new(
            "UnsupportedActionForDeploymentTypeException",
            "A call was submitted that is not supported for the specified deployment type.",
        ))
    }
}
