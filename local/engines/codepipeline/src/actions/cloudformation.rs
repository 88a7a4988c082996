//! Deploy actions: change sets and stacks.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use signalbox_local_core::AwsError;

use super::{POLL, artifacts, parameters};
use crate::engine::Inner;
use crate::task::{ActionTask, Failure, Outcome, Progress, Success, text};

/// One action's view of its stack.
struct Stack<'a> {
    inner: &'a Arc<Inner>,
    task: &'a ActionTask,
    configuration: &'a BTreeMap<String, String>,
    name: &'a str,
}

pub(super) async fn run(
    inner: &Arc<Inner>,
    task: &ActionTask,
    configuration: &BTreeMap<String, String>,
) -> Outcome {
    let name = configuration.get("StackName").map_or("", String::as_str);
    let stack = Stack {
        inner,
        task,
        configuration,
        name,
    };
    match configuration.get("ActionMode").map(String::as_str) {
        Some("CHANGE_SET_REPLACE") => stack.replace_change_set().await,
        Some("CHANGE_SET_EXECUTE") => stack.execute_change_set().await,
        Some("CREATE_UPDATE") => stack.create_or_update().await,
        Some("DELETE_ONLY") => stack.delete().await,
        other => Err(Failure::configuration(format!(
            "ActionMode {other:?} is not one that the local cloud has"
        ))),
    }
}

/// Whether a change set or an update has failed only because there is nothing to change, which
/// CodePipeline counts as success.
fn nothing_to_do(reason: &str) -> bool {
    reason.contains("didn't contain changes") || reason.contains("No updates are to be performed")
}

fn missing(error: &AwsError) -> bool {
    error.message.contains("does not exist") || error.code == "ChangeSetNotFound"
}

impl Stack<'_> {
    async fn call(&self, operation: &str, input: Value) -> Result<Value, AwsError> {
        self.inner
            .cloud
            .call(&Inner::caller(self.task), "cloudformation", operation, input)
            .await
    }

    fn change_set(&self) -> &str {
        self.configuration.get("ChangeSetName").map_or("", String::as_str)
    }

    fn url(&self, id: &str) -> String {
        let region = &self.inner.cloud.account().region;
        format!(
            "https://console.aws.amazon.com/cloudformation/home?region={region}#/stack/detail?stackId={id}"
        )
    }

    /// The stack as it is, where it is.
    async fn describe(&self) -> Result<Option<Value>, Failure> {
        match self
            .call("DescribeStacks", json!({ "StackName": self.name }))
            .await
        {
            Ok(answer) => Ok(answer
                .pointer("/Stacks/0")
                .filter(|stack| text(stack, "/StackStatus") != "DELETE_COMPLETE")
                .cloned()),
            Err(error) if missing(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What creating a stack, updating it and creating a change set have in common.
    async fn input(&self) -> Result<Map<String, Value>, Failure> {
        let template = self.configuration.get("TemplatePath").map_or("", String::as_str);
        let template = artifacts::read(self.inner, self.task, template).await?;
        let (parameters, tags) = parameters::gather(self.inner, self.task, self.configuration).await?;
        let mut input = Map::new();
        input.insert("StackName".to_owned(), json!(self.name));
        input.insert("TemplateBody".to_owned(), json!(template));
        input.insert("Parameters".to_owned(), Value::Array(parameters));
        if !tags.is_empty() {
            input.insert("Tags".to_owned(), Value::Array(tags));
        }
        if let Some(capabilities) = self.configuration.get("Capabilities") {
            let all: Vec<&str> = capabilities
                .split(',')
                .map(str::trim)
                .filter(|it| !it.is_empty())
                .collect();
            input.insert("Capabilities".to_owned(), json!(all));
        }
        if let Some(role) = self.configuration.get("RoleArn") {
            input.insert("RoleARN".to_owned(), json!(role));
        }
        Ok(input)
    }

    async fn replace_change_set(&self) -> Outcome {
        let mut input = self.input().await?;
        let existing = self.describe().await?;
        let fresh = existing
            .as_ref()
            .is_none_or(|stack| text(stack, "/StackStatus") == "REVIEW_IN_PROGRESS");
        let name = json!({ "StackName": self.name, "ChangeSetName": self.change_set() });
        if existing.is_some() {
            match self.call("DeleteChangeSet", name.clone()).await {
                Err(error) if !missing(&error) => return Err(error.into()),
                _ => {}
            }
        }
        input.insert("ChangeSetName".to_owned(), json!(self.change_set()));
        input.insert(
            "ChangeSetType".to_owned(),
            json!(if fresh { "CREATE" } else { "UPDATE" }),
        );
        let created = self.call("CreateChangeSet", Value::Object(input)).await?;
        let id = text(&created, "/Id").to_owned();
        let url = self.url(text(&created, "/StackId"));
        self.inner.progress(
            self.task,
            Progress {
                external_id: Some(id.clone()),
                external_url: Some(url.clone()),
                summary: None,
            },
        );
        loop {
            let described = self.call("DescribeChangeSet", name.clone()).await?;
            let reason = text(&described, "/StatusReason");
            let summary = match text(&described, "/Status") {
                "CREATE_COMPLETE" => format!("Change set {} was created.", self.change_set()),
                "FAILED" if nothing_to_do(reason) => {
                    format!("Change set {} contains no changes.", self.change_set())
                }
                "FAILED" => {
                    return Err(Failure {
                        external_id: Some(id),
                        external_url: Some(url),
                        ..Failure::job(format!("Change set {} failed: {reason}", self.change_set()))
                    });
                }
                _ => {
                    tokio::time::sleep(POLL).await;
                    continue;
                }
            };
            return Ok(Success {
                summary: Some(summary),
                external_id: Some(id),
                external_url: Some(url),
                ..Success::default()
            });
        }
    }

    async fn execute_change_set(&self) -> Outcome {
        let name = json!({ "StackName": self.name, "ChangeSetName": self.change_set() });
        let described = self.call("DescribeChangeSet", name.clone()).await?;
        if text(&described, "/Status") == "FAILED" && nothing_to_do(text(&described, "/StatusReason")) {
            let id = text(&described, "/StackId").to_owned();
            return Ok(Success {
                summary: Some(format!(
                    "Change set {} contains no changes: the stack is as it was.",
                    self.change_set()
                )),
                external_url: Some(self.url(&id)),
                external_id: Some(id),
                variables: self.describe().await?.as_ref().map(outputs).unwrap_or_default(),
                ..Success::default()
            });
        }
        self.call("ExecuteChangeSet", name).await?;
        self.settled("was updated").await
    }

    async fn create_or_update(&self) -> Outcome {
        let input = Value::Object(self.input().await?);
        match self.describe().await? {
            None => {
                self.call("CreateStack", input).await?;
                self.settled("was created").await
            }
            Some(existing) => match self.call("UpdateStack", input).await {
                Ok(_) => self.settled("was updated").await,
                Err(error) if nothing_to_do(&error.message) => {
                    self.succeeded(&existing, "is up to date").await
                }
                Err(error) => Err(error.into()),
            },
        }
    }

    async fn delete(&self) -> Outcome {
        let Some(existing) = self.describe().await? else {
            return Ok(Success {
                summary: Some(format!("Stack {} does not exist.", self.name)),
                ..Success::default()
            });
        };
        // By its id a stack can still be described after its deletion.
        let id = text(&existing, "/StackId").to_owned();
        self.call("DeleteStack", json!({ "StackName": self.name }))
            .await?;
        loop {
            match self.describe().await? {
                Some(stack) if text(&stack, "/StackStatus") == "DELETE_FAILED" => {
                    return Err(self.failed(&stack).await);
                }
                Some(_) => tokio::time::sleep(POLL).await,
                None => {
                    return Ok(Success {
                        summary: Some(format!("Stack {} was deleted.", self.name)),
                        external_url: Some(self.url(&id)),
                        external_id: Some(id),
                        ..Success::default()
                    });
                }
            }
        }
    }

    /// Waits until the stack changes no more.
    async fn settled(&self, done: &str) -> Outcome {
        loop {
            let Some(stack) = self.describe().await? else {
                return Err(Failure::job(format!(
                    "Stack {} does not exist any more",
                    self.name
                )));
            };
            let id = text(&stack, "/StackId");
            self.inner.progress(
                self.task,
                Progress {
                    external_id: Some(id.to_owned()),
                    external_url: Some(self.url(id)),
                    summary: None,
                },
            );
            match text(&stack, "/StackStatus") {
                "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" => {
                    return self.succeeded(&stack, done).await;
                }
                status if status.ends_with("_IN_PROGRESS") => tokio::time::sleep(POLL).await,
                _ => return Err(self.failed(&stack).await),
            }
        }
    }

    async fn succeeded(&self, stack: &Value, done: &str) -> Outcome {
        let variables = outputs(stack);
        if let (Some(artifact), Some(file)) = (
            self.task.outputs.first(),
            self.configuration.get("OutputFileName"),
        ) {
            let content = serde_json::to_vec(&variables).unwrap_or_default();
            artifacts::write(self.inner, artifact, file, &content).await?;
        }
        let id = text(stack, "/StackId").to_owned();
        Ok(Success {
            summary: Some(format!("Stack {} {done}.", self.name)),
            external_url: Some(self.url(&id)),
            external_id: Some(id),
            variables,
            ..Success::default()
        })
    }

    async fn failed(&self, stack: &Value) -> Failure {
        let id = text(stack, "/StackId").to_owned();
        let reason = match self.first_failure().await {
            Some(reason) => reason,
            None => text(stack, "/StackStatusReason").to_owned(),
        };
        let message = format!(
            "Stack {} ended in state {}. {reason}",
            self.name,
            text(stack, "/StackStatus")
        );
        Failure {
            external_url: Some(self.url(&id)),
            external_id: Some(id),
            ..Failure::job(message.trim_end())
        }
    }

    /// The resource whose failure made the stack's last operation fail. Events come newest first; the
    /// operation began with the stack's own newest `…_IN_PROGRESS` that is no part of a rollback.
    async fn first_failure(&self) -> Option<String> {
        let answer = self
            .call("DescribeStackEvents", json!({ "StackName": self.name }))
            .await
            .ok()?;
        let mut first = None;
        for event in answer.pointer("/StackEvents")?.as_array()? {
            let status = text(event, "/ResourceStatus");
            let own = text(event, "/LogicalResourceId") == self.name;
            if own && ["CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"].contains(&status) {
                break;
            }
            let reason = text(event, "/ResourceStatusReason");
            if !own && status.ends_with("_FAILED") && !reason.contains("cancelled") {
                first = Some(format!("{}: {reason}", text(event, "/LogicalResourceId")));
            }
        }
        first
    }
}

fn outputs(stack: &Value) -> BTreeMap<String, String> {
    let all = stack.pointer("/Outputs").and_then(Value::as_array);
    all.into_iter()
        .flatten()
        .map(|output| {
            (
                text(output, "/OutputKey").to_owned(),
                text(output, "/OutputValue").to_owned(),
            )
        })
        .collect()
}
