//! Tests of the engine as a whole: what it asks of the services, and what it tells of it.

mod deployments;
mod requests;
mod updates;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use signalbox_local_core::testing::{Recorded, TestCloud};
use signalbox_local_core::{AwsError, Caller, Engine as _};
use tempfile::TempDir;

use crate::{CloudFormationEngine, Options};

struct Harness {
    cloud: Arc<TestCloud>,
    engine: Arc<CloudFormationEngine>,
    _dir: TempDir,
}

impl Harness {
    fn answering(answer: impl Fn(&Recorded) -> Result<Value, AwsError> + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cloud = TestCloud::answering(dir.path(), answer);
        let missing = PathBuf::from("/nonexistent");
        let options = Options {
            python: missing.clone(),
            transform: missing,
            project_root: dir.path().to_owned(),
        };
        let engine = CloudFormationEngine::new(cloud.clone(), options);
        Self {
            cloud,
            engine,
            _dir: dir,
        }
    }

    fn new() -> Self {
        Self::answering(|_| Ok(json!({})))
    }

    async fn call(&self, operation: &str, input: Value) -> Result<Value, AwsError> {
        self.engine.call(&Caller::Admin, operation, input).await
    }

    async fn stack(&self, name: &str) -> Value {
        self.call("DescribeStacks", json!({ "StackName": name }))
            .await
            .unwrap()["Stacks"][0]
            .clone()
    }

    /// Waits, on virtual time, until nothing is under way.
    async fn settled(&self, name: &str) -> Value {
        loop {
            let stack = self.stack(name).await;
            if !stack["StackStatus"].as_str().unwrap().ends_with("_IN_PROGRESS") {
                return stack;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn create(&self, template: &Value) -> Value {
        let input = json!({
            "StackName": "app", "TemplateBody": template.to_string(), "Capabilities": ["CAPABILITY_NAMED_IAM"],
        });
        self.call("CreateStack", input).await.unwrap();
        self.settled("app").await
    }

    async fn update(&self, template: &Value) -> Value {
        let input = json!({ "StackName": "app", "TemplateBody": template.to_string() });
        self.call("UpdateStack", input).await.unwrap();
        self.settled("app").await
    }

    async fn change_set(&self, template: &Value, kind: &str) -> Value {
        let input = json!({
            "StackName": "app", "ChangeSetName": "next", "ChangeSetType": kind, "TemplateBody": template.to_string(),
        });
        self.call("CreateChangeSet", input).await.unwrap();
        loop {
            let input = json!({ "StackName": "app", "ChangeSetName": "next", "IncludePropertyValues": true });
            let set = self.call("DescribeChangeSet", input).await.unwrap();
            if set["Status"] != "CREATE_IN_PROGRESS" {
                return set;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn operations(&self) -> Vec<String> {
        self.cloud
            .calls()
            .into_iter()
            .map(|call| call.operation)
            .collect()
    }

    fn inputs(&self, operation: &str) -> Vec<Value> {
        self.cloud
            .calls()
            .into_iter()
            .filter(|call| call.operation == operation)
            .map(|call| call.input)
            .collect()
    }

    async fn reasons(&self, status: &str) -> Vec<String> {
        let events = self
            .call("DescribeStackEvents", json!({ "StackName": "app" }))
            .await
            .unwrap();
        let events = events["StackEvents"].as_array().unwrap().clone();
        events
            .iter()
            .filter(|event| event["ResourceStatus"] == status)
            .map(|event| {
                format!(
                    "{}: {}",
                    event["LogicalResourceId"].as_str().unwrap(),
                    event["ResourceStatusReason"].as_str().unwrap_or_default()
                )
            })
            .collect()
    }
}

/// A topic and, depending on it, a queue.
fn small() -> Value {
    json!({
        "Resources": {
            "A": { "Type": "AWS::SQS::Queue", "Properties": { "QueueName": { "Fn::Sub": "${B.TopicName}-dead" } } },
            "B": { "Type": "AWS::SNS::Topic", "Properties": { "TopicName": "news" } },
        },
        "Outputs": { "Queue": { "Value": { "Fn::GetAtt": ["A", "Arn"] }, "Export": { "Name": "dead" } } },
    })
}
