//! Applications: named holders of groups and revisions.

use indexmap::IndexMap;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use crate::groups::Group;
use crate::input::{page, required, texts, within};
use crate::revisions::Revisions;
use crate::{CodeDeployEngine, State, new_id};

pub(crate) struct Application {
    id: String,
    name: String,
    created: f64,
    pub(crate) groups: IndexMap<String, Group>,
    pub(crate) revisions: Revisions,
}

impl Application {
    fn describe(&self) -> Value {
        json!({
            "applicationId": self.id,
            "applicationName": self.name,
            "createTime": self.created,
            "linkedToGitHub": false,
            "computePlatform": "Lambda",
        })
    }
}

fn missing(name: &str) -> AwsError {
    AwsError::new(
        "ApplicationDoesNotExistException",
        format!("No application found for name: {name}"),
    )
}

pub(crate) fn application_name(input: &Value) -> Result<&str, AwsError> {
    required(input, "applicationName", "ApplicationNameRequiredException")
}

impl State {
    pub(crate) fn application(&self, input: &Value) -> Result<&Application, AwsError> {
        let name = application_name(input)?;
        self.applications.get(name).ok_or_else(|| missing(name))
    }

    pub(crate) fn application_mut(&mut self, input: &Value) -> Result<&mut Application, AwsError> {
        let name = application_name(input)?;
        self.applications.get_mut(name).ok_or_else(|| missing(name))
    }
}

impl CodeDeployEngine {
    pub(crate) fn create_application(&self, input: &Value) -> Result<Value, AwsError> {
        let name = application_name(input)?;
        if input.get("computePlatform").and_then(Value::as_str) != Some("Lambda") {
            return Err(AwsError::new(
                "InvalidComputePlatformException",
                "The computePlatform is invalid: the local cloud deploys functions, so it must be Lambda (AWS's default is Server).",
            ));
        }
        let mut state = self.state();
        if state.applications.contains_key(name) {
            return Err(AwsError::new(
                "ApplicationAlreadyExistsException",
                format!("Application already exists: {name}"),
            ));
        }
        let application = Application {
            id: new_id(),
            name: name.to_owned(),
            created: self.cloud.clock().epoch_seconds(),
            groups: IndexMap::new(),
            revisions: Revisions::default(),
        };
        let id = application.id.clone();
        state.applications.insert(name.to_owned(), application);
        state.add_tags(self.application_arn(name), input.get("tags"));
        Ok(json!({"applicationId": id}))
    }

    pub(crate) fn get_application(&self, input: &Value) -> Result<Value, AwsError> {
        Ok(json!({"application": self.state().application(input)?.describe()}))
    }

    pub(crate) fn list_applications(&self, input: &Value) -> Result<Value, AwsError> {
        let names: Vec<Value> = self
            .state()
            .applications
            .keys()
            .map(|name| Value::from(name.as_str()))
            .collect();
        page(input, "applications", &names)
    }

    pub(crate) fn delete_application(&self, input: &Value) -> Result<Value, AwsError> {
        let name = application_name(input)?;
        let mut state = self.state();
        // Deleting what is not there succeeds, as in AWS.
        state.applications.shift_remove(name);
        let (own, groups) = (self.application_arn(name), self.group_arn(name, ""));
        state
            .tags
            .retain(|arn, _| *arn != own && !arn.starts_with(&groups));
        Ok(json!({}))
    }

    pub(crate) fn batch_get_applications(&self, input: &Value) -> Result<Value, AwsError> {
        let names = texts(input, "applicationNames");
        within(100, names.len())?;
        let state = self.state();
        let described = names
            .into_iter()
            .map(|name| {
                state
                    .applications
                    .get(name)
                    .map(Application::describe)
                    .ok_or_else(|| missing(name))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(json!({"applicationsInfo": described}))
    }
}
