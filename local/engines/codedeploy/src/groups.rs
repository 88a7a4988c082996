//! Deployment groups: one alias each, with its configuration, alarms and rollback rules.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use signalbox_local_core::AwsError;

use crate::applications::application_name;
use crate::configs::ALL_AT_ONCE;
use crate::deployment::{Deployment, Status};
use crate::input::{optional, page, required, texts, within};
use crate::{CodeDeployEngine, State, new_id};

pub(crate) struct Group {
    pub(crate) id: String,
    pub(crate) config_name: String,
    role_arn: String,
    pub(crate) alarms: AlarmConfiguration,
    pub(crate) auto_rollback: AutoRollback,
    /// Members that are kept and shown, and mean nothing here.
    kept: Map<String, Value>,
}

/// The alarms that stop a deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AlarmConfiguration {
    #[serde(default)]
    pub(crate) enabled: bool,
    #[serde(default)]
    pub(crate) ignore_poll_alarm_failure: bool,
    #[serde(default)]
    alarms: Vec<AlarmName>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct AlarmName {
    name: Option<String>,
}

impl AlarmConfiguration {
    pub(crate) fn parse(value: &Value) -> Result<Self, AwsError> {
        let parsed: Self = serde_json::from_value(value.clone())?;
        if parsed.alarms.len() > 10 {
            return Err(AwsError::new(
                "AlarmsLimitExceededException",
                "The maximum number of alarms for a deployment group (10) was exceeded.",
            ));
        }
        if parsed.enabled && parsed.names().is_empty() {
            return Err(AwsError::new(
                "InvalidAlarmConfigException",
                "The format of the alarm configuration is invalid: it is enabled and names no alarm.",
            ));
        }
        Ok(parsed)
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.alarms
            .iter()
            .filter_map(|alarm| alarm.name.as_deref())
            .collect()
    }
}

/// What makes CodeDeploy roll back by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AutoRollback {
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    events: Vec<String>,
}

impl AutoRollback {
    pub(crate) fn parse(value: &Value) -> Result<Self, AwsError> {
        let parsed: Self = serde_json::from_value(value.clone())?;
        if parsed.enabled && parsed.events.is_empty() {
            return Err(AwsError::new(
                "InvalidAutoRollbackConfigException",
                "The automatic rollback configuration was specified in an invalid format: it is enabled and names no event.",
            ));
        }
        Ok(parsed)
    }

    pub(crate) fn on(&self, event: &str) -> bool {
        self.enabled && self.events.iter().any(|one| one == event)
    }
}

const KEPT: [&str; 4] = [
    "triggerConfigurations",
    "deploymentStyle",
    "outdatedInstancesStrategy",
    "blueGreenDeploymentConfiguration",
];

impl Group {
    fn set(&mut self, input: &Value) -> Result<(), AwsError> {
        if let Some(alarms) = input.get("alarmConfiguration") {
            self.alarms = AlarmConfiguration::parse(alarms)?;
        }
        if let Some(auto_rollback) = input.get("autoRollbackConfiguration") {
            self.auto_rollback = AutoRollback::parse(auto_rollback)?;
        }
        if let Some(config) = optional(input, "deploymentConfigName") {
            config.clone_into(&mut self.config_name);
        }
        if let Some(role) = optional(input, "serviceRoleArn") {
            role.clone_into(&mut self.role_arn);
        }
        for member in KEPT {
            if let Some(value) = input.get(member) {
                self.kept.insert(member.to_owned(), value.clone());
            }
        }
        Ok(())
    }
}

pub(crate) fn group_name<'v>(input: &'v Value, member: &str) -> Result<&'v str, AwsError> {
    required(input, member, "DeploymentGroupNameRequiredException")
}

pub(crate) fn missing(name: &str) -> AwsError {
    AwsError::new(
        "DeploymentGroupDoesNotExistException",
        format!("No Deployment Group found for name: {name}"),
    )
}

impl State {
    /// The group's deployments, oldest first.
    pub(crate) fn deployments_of<'s>(
        &'s self,
        application: &str,
        group: &str,
    ) -> impl DoubleEndedIterator<Item = &'s Deployment> {
        self.deployments
            .values()
            .filter(move |one| one.application == application && one.group == group)
    }

    fn describe_group(&self, application: &str, name: &str, group: &Group) -> Value {
        let last = |wanted: fn(&Deployment) -> bool| {
            self.deployments_of(application, name)
                .rev()
                .find(|one| wanted(one))
        };
        let mut described = json!({
            "applicationName": application,
            "deploymentGroupId": group.id,
            "deploymentGroupName": name,
            "deploymentConfigName": group.config_name,
            "serviceRoleArn": group.role_arn,
            "alarmConfiguration": group.alarms,
            "autoRollbackConfiguration": group.auto_rollback,
            "computePlatform": "Lambda",
        });
        for (member, value) in &group.kept {
            described[member.as_str()] = value.clone();
        }
        if let Some(succeeded) = last(|one| one.status == Status::Succeeded) {
            described["lastSuccessfulDeployment"] = succeeded.summary();
            described["targetRevision"] = succeeded.revision.clone();
        }
        if let Some(attempted) = last(|_| true) {
            described["lastAttemptedDeployment"] = attempted.summary();
        }
        described
    }
}

impl CodeDeployEngine {
    pub(crate) fn create_group(&self, input: &Value) -> Result<Value, AwsError> {
        let application_name = application_name(input)?;
        let name = group_name(input, "deploymentGroupName")?;
        let mut group = Group {
            id: new_id(),
            config_name: ALL_AT_ONCE.to_owned(),
            role_arn: required(input, "serviceRoleArn", "RoleRequiredException")?.to_owned(),
            alarms: AlarmConfiguration::default(),
            auto_rollback: AutoRollback::default(),
            kept: Map::from_iter([
                (
                    "deploymentStyle".to_owned(),
                    json!({"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"}),
                ),
                ("outdatedInstancesStrategy".to_owned(), json!("UPDATE")),
                ("triggerConfigurations".to_owned(), json!([])),
            ]),
        };
        group.set(input)?;
        let id = group.id.clone();
        let mut state = self.state();
        state.configs.shift(&group.config_name)?;
        let application = state.application_mut(input)?;
        if application.groups.contains_key(name) {
            return Err(AwsError::new(
                "DeploymentGroupAlreadyExistsException",
                format!("Deployment group name already exists in Application: {application_name}"),
            ));
        }
        application.groups.insert(name.to_owned(), group);
        state.add_tags(self.group_arn(application_name, name), input.get("tags"));
        Ok(json!({"deploymentGroupId": id}))
    }

    pub(crate) fn get_group(&self, input: &Value) -> Result<Value, AwsError> {
        let name = group_name(input, "deploymentGroupName")?;
        let state = self.state();
        let group = state
            .application(input)?
            .groups
            .get(name)
            .ok_or_else(|| missing(name))?;
        Ok(json!({"deploymentGroupInfo": state.describe_group(application_name(input)?, name, group)}))
    }

    pub(crate) fn update_group(&self, input: &Value) -> Result<Value, AwsError> {
        let name = group_name(input, "currentDeploymentGroupName")?;
        let new_name = optional(input, "newDeploymentGroupName").filter(|new| *new != name);
        let mut state = self.state();
        if let Some(config) = optional(input, "deploymentConfigName") {
            state.configs.shift(config)?;
        }
        let application = state.application_mut(input)?;
        if let Some(new) = new_name
            && application.groups.contains_key(new)
        {
            return Err(AwsError::new(
                "DeploymentGroupAlreadyExistsException",
                format!("Deployment group name already exists: {new}"),
            ));
        }
        application
            .groups
            .get_mut(name)
            .ok_or_else(|| missing(name))?
            .set(input)?;
        if let Some(new) = new_name
            && let Some(group) = application.groups.shift_remove(name)
        {
            application.groups.insert(new.to_owned(), group);
            let application = application_name(input)?;
            for deployment in state
                .deployments
                .values_mut()
                .filter(|one| one.application == application && one.group == name)
            {
                new.clone_into(&mut deployment.group);
            }
            if let Some(tags) = state.tags.remove(&self.group_arn(application, name)) {
                state.tags.insert(self.group_arn(application, new), tags);
            }
        }
        Ok(json!({"hooksNotCleanedUp": []}))
    }

    pub(crate) fn list_groups(&self, input: &Value) -> Result<Value, AwsError> {
        let state = self.state();
        let names: Vec<Value> = state
            .application(input)?
            .groups
            .keys()
            .map(|name| Value::from(name.as_str()))
            .collect();
        let mut answer = page(input, "deploymentGroups", &names)?;
        answer["applicationName"] = Value::from(application_name(input)?);
        Ok(answer)
    }

    pub(crate) fn batch_get_groups(&self, input: &Value) -> Result<Value, AwsError> {
        let names = texts(input, "deploymentGroupNames");
        within(100, names.len())?;
        let application = application_name(input)?;
        let state = self.state();
        let groups = &state.application(input)?.groups;
        let (found, unknown): (Vec<&str>, Vec<&str>) =
            names.into_iter().partition(|name| groups.contains_key(*name));
        let described: Vec<Value> = found
            .into_iter()
            .filter_map(|name| Some(state.describe_group(application, name, groups.get(name)?)))
            .collect();
        let mut answer = json!({"deploymentGroupsInfo": described});
        if !unknown.is_empty() {
            answer["errorMessage"] = Value::from(format!(
                "No Deployment Group found for name: {}",
                unknown.join(", ")
            ));
        }
        Ok(answer)
    }

    pub(crate) fn delete_group(&self, input: &Value) -> Result<Value, AwsError> {
        let (application, name) = (
            application_name(input)?,
            group_name(input, "deploymentGroupName")?,
        );
        let mut state = self.state();
        if let Some(application) = state.applications.get_mut(application) {
            application.groups.shift_remove(name);
        }
        state.tags.remove(&self.group_arn(application, name));
        Ok(json!({"hooksNotCleanedUp": []}))
    }
}
