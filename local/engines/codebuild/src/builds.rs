//! Operations on builds.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Caller};

use crate::artifacts;
use crate::build::{Build, Fixed, LogStream, Object, Plan};
use crate::engine::Shared;
use crate::overrides;
use crate::projects::{invalid, with_token};
use crate::run;
use crate::state::{Token, lock, page};

/// AWS keeps an `idempotencyToken` this long, in seconds.
const TOKEN_LIFE: f64 = 300.0;

/// AWS's page of build ids.
const PAGE: usize = 100;

const PIPELINE: &str = "codepipeline.amazonaws.com";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    project_name: String,
    #[serde(default)]
    idempotency_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Retry {
    id: String,
    #[serde(default)]
    idempotency_token: Option<String>,
}

#[derive(Deserialize)]
struct Ids {
    ids: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    #[serde(default)]
    project_name: Option<String>,
    #[serde(default)]
    sort_order: Option<String>,
    #[serde(default)]
    next_token: Option<String>,
}

impl Shared {
    pub(crate) fn start_build(self: &Arc<Self>, caller: &Caller, input: Value) -> Result<Value, AwsError> {
        let start = Start::deserialize(&input)?;
        let name = self.project_name(&start.project_name).to_owned();
        let now = self.cloud.clock().epoch_seconds();
        let mut state = lock(&self.state);

        state.tokens.retain(|_, token| now - token.at < TOKEN_LIFE);
        let token_key = start.idempotency_token.map(|token| format!("{name}\n{token}"));
        if let Some(token) = token_key.as_ref().and_then(|key| state.tokens.get(key)) {
            if token.input != input {
                return Err(invalid(
                    "The idempotencyToken was used before with other parameters",
                ));
            }
            if let Some(build) = state.builds.get(&token.build_id) {
                return Ok(json!({"build": build.to_value()}));
            }
        }

        let project = state
            .projects
            .get(&name)
            .cloned()
            .ok_or_else(|| self.no_project(&name))?;
        let running = state
            .builds
            .values()
            .filter(|b| b.fixed.project == name && !b.is_complete())
            .count();
        let limit = project.object.get("concurrentBuildLimit").and_then(Value::as_u64);
        if limit.is_some_and(|limit| running as u64 >= limit) {
            let limit = limit.unwrap_or_default();
            return Err(AwsError::new(
                "AccountLimitExceededException",
                format!("Project-level concurrent build limit cannot exceed {limit}"),
            ));
        }

        let number = project.builds + 1;
        let fixed = self.fix(caller, &name, number, &project.object, input.clone(), now)?;
        let build = Arc::new(Build::new(fixed));
        let id = build.fixed.id.clone();
        if let Some(key) = token_key {
            state.tokens.insert(
                key,
                Token {
                    build_id: id.clone(),
                    input,
                    at: now,
                },
            );
        }
        if let Some(project) = state.projects.get_mut(&name) {
            project.builds = number;
        }
        state.builds.insert(id, Arc::clone(&build));
        drop(state);

        let answer = json!({"build": build.to_value()});
        self.tasks.spawn(run::run(Arc::clone(self), build));
        Ok(answer)
    }

    /// Everything about a build that is settled when it starts.
    fn fix(
        &self,
        caller: &Caller,
        project: &str,
        number: u64,
        object: &Object,
        input: Value,
        now: f64,
    ) -> Result<Fixed, AwsError> {
        let overrides: Object = serde_json::from_value(input.clone())?;
        let mut object = overrides::apply(object, &overrides);
        let plan =
            Plan::deserialize(Value::Object(object.clone())).map_err(|error| invalid(error.to_string()))?;
        check(caller, &plan)?;

        let account = self.cloud.account();
        let uuid = uuid::Uuid::new_v4().to_string();
        let id = format!("{project}:{uuid}");
        let arn = account.arn("codebuild", &format!("build/{id}"));
        let log_stream = log_stream(&plan, project, &uuid);

        let mut given = Object::new();
        for name in [
            "source",
            "secondarySources",
            "sourceVersion",
            "secondarySourceVersions",
            "cache",
            "environment",
            "serviceRole",
            "timeoutInMinutes",
            "queuedTimeoutInMinutes",
            "encryptionKey",
            "vpcConfig",
            "fileSystemLocations",
        ] {
            if let Some(value) = object.remove(name) {
                given.insert(name.to_owned(), value);
            }
        }
        let location = artifacts::location(&plan.artifacts, plan.artifacts.name.as_deref(), project, &uuid);
        given.insert(
            "artifacts".to_owned(),
            json!({"location": location.unwrap_or_default()}),
        );
        let mut logs = json!({"cloudWatchLogs": {"status": "DISABLED"}, "s3Logs": {"status": "DISABLED"}});
        if let Some(LogStream { group, stream }) = &log_stream {
            logs["groupName"] = json!(group);
            logs["streamName"] = json!(stream);
            logs["cloudWatchLogs"] = json!({"status": "ENABLED"});
            logs["cloudWatchLogsArn"] =
                json!(account.arn("logs", &format!("log-group:{group}:log-stream:{stream}")));
        }
        // AWS links to its console; there is none here, but the log is a file.
        logs["deepLink"] = json!(format!("file://{}", self.log_path(project, &uuid).display()));
        given.insert("logs".to_owned(), logs);

        Ok(Fixed {
            id,
            uuid,
            arn,
            project: project.to_owned(),
            number,
            initiator: initiator(caller, &overrides),
            plan,
            log_stream,
            start: now,
            input,
            given,
        })
    }

    pub(crate) async fn stop_build(&self, input: &Value) -> Result<Value, AwsError> {
        #[derive(Deserialize)]
        struct Id {
            id: String,
        }
        let Id { id } = Id::deserialize(input)?;
        let build = self.find_build(&id).ok_or_else(|| no_build(&id))?;
        if !build.is_complete() {
            build.stop.cancel();
            build.completed().await;
        }
        Ok(json!({"build": build.to_value()}))
    }

    pub(crate) fn retry_build(self: &Arc<Self>, caller: &Caller, input: &Value) -> Result<Value, AwsError> {
        let retry = Retry::deserialize(input)?;
        let build = self.find_build(&retry.id).ok_or_else(|| no_build(&retry.id))?;
        let mut input = build.fixed.input.clone();
        if let Some(object) = input.as_object_mut() {
            object.remove("idempotencyToken");
            if let Some(token) = retry.idempotency_token {
                object.insert("idempotencyToken".to_owned(), json!(token));
            }
        }
        self.start_build(caller, input)
    }

    pub(crate) fn batch_get_builds(&self, input: &Value) -> Result<Value, AwsError> {
        let Ids { ids } = Ids::deserialize(input)?;
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for id in ids {
            match self.find_build(&id) {
                Some(build) => found.push(build.to_value()),
                None => missing.push(id),
            }
        }
        Ok(json!({"builds": found, "buildsNotFound": missing}))
    }

    pub(crate) fn batch_delete_builds(&self, input: &Value) -> Result<Value, AwsError> {
        let Ids { ids } = Ids::deserialize(input)?;
        let mut state = lock(&self.state);
        let (mut deleted, mut kept) = (Vec::new(), Vec::new());
        for id in ids {
            let key = self.build_id(&id).to_owned();
            match state.builds.get(&key) {
                Some(build) if build.is_complete() => {
                    deleted.push(build.fixed.arn.clone());
                    state.builds.shift_remove(&key);
                }
                Some(_) => kept.push(json!({"id": id, "statusCode": "BUILD_IN_PROGRESS"})),
                None => kept.push(json!({"id": id, "statusCode": "BUILD_NOT_FOUND"})),
            }
        }
        Ok(json!({"buildsDeleted": deleted, "buildsNotDeleted": kept}))
    }

    pub(crate) fn list_builds(&self, input: &Value) -> Result<Value, AwsError> {
        self.list(&List::deserialize(input)?, None)
    }

    pub(crate) fn list_builds_for_project(&self, input: &Value) -> Result<Value, AwsError> {
        let list = List::deserialize(input)?;
        let name = self
            .project_name(list.project_name.as_deref().unwrap_or_default())
            .to_owned();
        let known = {
            let state = lock(&self.state);
            state.projects.contains_key(&name) || state.builds.values().any(|b| b.fixed.project == name)
        };
        if !known {
            return Err(self.no_project(&name));
        }
        self.list(&list, Some(&name))
    }

    /// Newest first unless asked otherwise.
    fn list(&self, list: &List, project: Option<&str>) -> Result<Value, AwsError> {
        let mut ids: Vec<String> = lock(&self.state)
            .builds
            .values()
            .filter(|build| project.is_none_or(|name| build.fixed.project == name))
            .map(|build| build.fixed.id.clone())
            .collect();
        if list.sort_order.as_deref() != Some("ASCENDING") {
            ids.reverse();
        }
        let (ids, next) = page(ids, list.next_token.as_deref(), PAGE)?;
        Ok(with_token(json!({"ids": ids}), next))
    }

    fn build_id<'a>(&self, id: &'a str) -> &'a str {
        let prefix = self.cloud.account().arn("codebuild", "build/");
        id.strip_prefix(&prefix).unwrap_or(id)
    }

    /// A build by id or ARN.
    pub(crate) fn find_build(&self, id: &str) -> Option<Arc<Build>> {
        lock(&self.state).builds.get(self.build_id(id)).cloned()
    }
}

fn no_build(id: &str) -> AwsError {
    AwsError::new("ResourceNotFoundException", format!("Build not found: {id}"))
}

/// AWS's rules about sources and artifacts that an override can break.
fn check(caller: &Caller, plan: &Plan) -> Result<(), AwsError> {
    let pipeline = matches!(caller, Caller::Service { principal, .. } if principal == PIPELINE);
    let location = plan.source.location.as_deref().unwrap_or_default();
    if plan.source.kind == "CODEPIPELINE" && (!pipeline || location.is_empty()) {
        return Err(invalid(
            "A project whose source type is CODEPIPELINE is started by its pipeline; to start a build \
             yourself, give sourceTypeOverride, sourceLocationOverride and artifactsOverride",
        ));
    }
    if !pipeline && plan.artifacts.kind == "CODEPIPELINE" {
        return Err(invalid(
            "Artifacts type CODEPIPELINE is only possible with source type CODEPIPELINE; \
             give artifactsOverride, for example with type NO_ARTIFACTS",
        ));
    }
    if !matches!(plan.source.kind.as_str(), "CODEPIPELINE" | "NO_SOURCE") && location.is_empty() {
        return Err(invalid(format!(
            "Source of type {} needs a location",
            plan.source.kind
        )));
    }
    Ok(())
}

fn log_stream(plan: &Plan, project: &str, uuid: &str) -> Option<LogStream> {
    let config = plan.logs_config.cloud_watch_logs.as_ref();
    if config.is_some_and(|config| config.status == "DISABLED") {
        return None;
    }
    let group = config.and_then(|config| config.group_name.clone());
    let prefix = config.and_then(|config| config.stream_name.as_deref());
    Some(LogStream {
        group: group.unwrap_or_else(|| format!("/aws/codebuild/{project}")),
        stream: prefix.map_or_else(|| uuid.to_owned(), |prefix| format!("{prefix}/{uuid}")),
    })
}

/// Who started the build, in AWS's form: a user's name, `role/session`, `codepipeline/<pipeline>`.
///
/// CodePipeline names its pipeline by the ARN it acts for, or by a member `initiator`, which the
/// service's model does not have and which only a service can therefore send.
fn initiator(caller: &Caller, input: &Object) -> String {
    match caller {
        Caller::Admin => "local".to_owned(),
        Caller::Role { arn, session } => {
            format!("{}/{session}", arn.rsplit('/').next().unwrap_or(arn))
        }
        Caller::Service {
            principal,
            source_arn,
        } => {
            if let Some(given) = input.get("initiator").and_then(Value::as_str) {
                return given.to_owned();
            }
            let service = principal.split('.').next().unwrap_or(principal);
            match source_arn
                .as_deref()
                .and_then(|arn| arn.rsplit([':', '/']).next())
            {
                Some(resource) => format!("{service}/{resource}"),
                None => service.to_owned(),
            }
        }
    }
}
