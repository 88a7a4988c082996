//! Projects: kept as they were given, with AWS's defaults filled in.

use serde::Deserialize;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use crate::build::{Object, Plan};
use crate::engine::Shared;
use crate::state::{Project, lock, page};

/// AWS's page of names.
const PAGE: usize = 100;

#[derive(Deserialize)]
struct Names {
    names: Vec<String>,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    #[serde(default)]
    sort_by: Option<String>,
    #[serde(default)]
    sort_order: Option<String>,
    #[serde(default)]
    next_token: Option<String>,
}

pub(crate) fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidInputException", message)
}

/// Fills in AWS's defaults and turns the input's members into the project's.
fn complete(object: &mut Object) {
    let badge = object
        .remove("badgeEnabled")
        .or_else(|| object.get("badge")?.get("badgeEnabled").cloned());
    object.insert(
        "badge".to_owned(),
        json!({"badgeEnabled": badge.unwrap_or(json!(false))}),
    );
    let mut default = |name: &str, value: Value| {
        object.entry(name.to_owned()).or_insert(value);
    };
    default("timeoutInMinutes", json!(60));
    default("queuedTimeoutInMinutes", json!(480));
    default("cache", json!({"type": "NO_CACHE"}));
    default("projectVisibility", json!("PRIVATE"));
    if let Some(environment) = object.get_mut("environment").and_then(Value::as_object_mut) {
        environment.entry("environmentVariables").or_insert(json!([]));
        environment.entry("privilegedMode").or_insert(json!(false));
        environment
            .entry("imagePullCredentialsType")
            .or_insert(json!("CODEBUILD"));
    }
}

/// What the service's model cannot say.
fn check(object: &Object) -> Result<(), AwsError> {
    let plan =
        Plan::deserialize(Value::Object(object.clone())).map_err(|error| invalid(error.to_string()))?;
    match plan.source.kind.as_str() {
        "CODEPIPELINE" | "NO_SOURCE" => {}
        kind if plan.source.location.as_deref().unwrap_or_default().is_empty() => {
            return Err(invalid(format!("Project source of type {kind} needs a location")));
        }
        _ => {}
    }
    if plan.source.kind == "NO_SOURCE" && plan.source.buildspec.as_deref().unwrap_or_default().is_empty() {
        return Err(invalid(
            "Project source of type NO_SOURCE needs a buildspec in the project",
        ));
    }
    if (plan.source.kind == "CODEPIPELINE") != (plan.artifacts.kind == "CODEPIPELINE") {
        return Err(invalid(
            "Source type CODEPIPELINE and artifacts type CODEPIPELINE are only possible together",
        ));
    }
    for artifacts in plan.secondary_artifacts.iter().chain([&plan.artifacts]) {
        if artifacts.kind == "S3" && artifacts.location.as_deref().unwrap_or_default().is_empty() {
            return Err(invalid(
                "Project artifacts of type S3 need a location, the bucket's name",
            ));
        }
    }
    Ok(())
}

impl Shared {
    pub(crate) fn create_project(&self, input: Value) -> Result<Value, AwsError> {
        let mut object: Object = serde_json::from_value(input)?;
        let Name { name } = Name::deserialize(&Value::Object(object.clone()))?;
        complete(&mut object);
        let account = self.cloud.account();
        let now = json!(self.cloud.clock().epoch_seconds());
        object
            .entry("encryptionKey")
            .or_insert_with(|| json!(account.arn("kms", "alias/aws/s3")));
        object.insert(
            "arn".to_owned(),
            json!(account.arn("codebuild", &format!("project/{name}"))),
        );
        object.insert("created".to_owned(), now.clone());
        object.insert("lastModified".to_owned(), now);
        check(&object)?;
        let mut state = lock(&self.state);
        if state.projects.contains_key(&name) {
            let arn = account.arn("codebuild", &format!("project/{name}"));
            return Err(AwsError::new(
                "ResourceAlreadyExistsException",
                format!("Project already exists: {arn}"),
            ));
        }
        state.projects.insert(
            name,
            Project {
                object: object.clone(),
                builds: 0,
            },
        );
        Ok(json!({"project": object}))
    }

    pub(crate) fn update_project(&self, input: Value) -> Result<Value, AwsError> {
        let changes: Object = serde_json::from_value(input)?;
        let Name { name } = Name::deserialize(&Value::Object(changes.clone()))?;
        let mut state = lock(&self.state);
        let project = state
            .projects
            .get_mut(&name)
            .ok_or_else(|| self.no_project(&name))?;
        let mut object = project.object.clone();
        object.extend(changes);
        complete(&mut object);
        object.insert(
            "lastModified".to_owned(),
            json!(self.cloud.clock().epoch_seconds()),
        );
        check(&object)?;
        project.object = object.clone();
        Ok(json!({"project": object}))
    }

    /// As in AWS, a missing project is no error, and builds of the project stay readable.
    pub(crate) fn delete_project(&self, input: &Value) -> Result<Value, AwsError> {
        let Name { name } = Name::deserialize(input)?;
        lock(&self.state).projects.remove(self.project_name(&name));
        Ok(json!({}))
    }

    pub(crate) fn batch_get_projects(&self, input: &Value) -> Result<Value, AwsError> {
        let Names { names } = Names::deserialize(input)?;
        let state = lock(&self.state);
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for name in names {
            match state.projects.get(self.project_name(&name)) {
                Some(project) => found.push(project.object.clone()),
                None => missing.push(name),
            }
        }
        Ok(json!({"projects": found, "projectsNotFound": missing}))
    }

    pub(crate) fn list_projects(&self, input: &Value) -> Result<Value, AwsError> {
        let list = List::deserialize(input)?;
        let mut projects: Vec<_> = lock(&self.state)
            .projects
            .iter()
            .map(|(name, project)| (name.clone(), project.object.clone()))
            .collect();
        let by = match list.sort_by.as_deref() {
            Some("CREATED_TIME") => Some("created"),
            Some("LAST_MODIFIED_TIME") => Some("lastModified"),
            _ => None,
        };
        if let Some(by) = by {
            let time = |object: &Object| object.get(by).and_then(Value::as_f64).unwrap_or_default();
            projects.sort_by(|(_, a), (_, b)| time(a).total_cmp(&time(b)));
        }
        if list.sort_order.as_deref() == Some("DESCENDING") {
            projects.reverse();
        }
        let names = projects.into_iter().map(|(name, _)| name).collect();
        let (names, next) = page::<String>(names, list.next_token.as_deref(), PAGE)?;
        Ok(with_token(json!({"projects": names}), next))
    }

    /// A project's name, from a name or an ARN.
    pub(crate) fn project_name<'a>(&self, name: &'a str) -> &'a str {
        let prefix = self.cloud.account().arn("codebuild", "project/");
        name.strip_prefix(&prefix).unwrap_or(name)
    }

    pub(crate) fn no_project(&self, name: &str) -> AwsError {
        let arn = self.cloud.account().arn("codebuild", &format!("project/{name}"));
        AwsError::new(
            "ResourceNotFoundException",
            format!("Project cannot be found: {arn}"),
        )
    }
}

/// Adds `nextToken` where there is a next page.
pub(crate) fn with_token(mut output: Value, token: Option<String>) -> Value {
    if let (Some(token), Some(object)) = (token, output.as_object_mut()) {
        object.insert("nextToken".to_owned(), json!(token));
    }
    output
}
