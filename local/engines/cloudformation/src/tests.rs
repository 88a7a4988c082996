//! Tests of the engine as a whole: what it asks of the services, and what it tells of it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use signalbox_local_core::testing::{Recorded, TestCloud};
use signalbox_local_core::{AwsError, Caller, Cloud as _, Engine as _};
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

#[tokio::test(start_paused = true)]
async fn a_stack_is_made_in_the_order_of_its_dependencies() {
    let harness = Harness::new();
    let stack = harness.create(&small()).await;
    assert_eq!(stack["StackStatus"], "CREATE_COMPLETE");
    assert_eq!(harness.operations(), ["CreateTopic", "CreateQueue"]);
    assert_eq!(harness.inputs("CreateQueue")[0]["QueueName"], "news-dead");
    assert_eq!(
        stack["Outputs"][0]["OutputValue"],
        "arn:aws:sqs:us-east-1:123456789012:news-dead"
    );
    let events = harness.cloud.events();
    assert_eq!(
        events.last().unwrap().detail["status-details"]["status"],
        "CREATE_COMPLETE"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_creation_deletes_what_it_made_and_says_why() {
    let harness = Harness::answering(|call| match call.operation.as_str() {
        "CreateQueue" => Err(AwsError::new("QueueDeletedRecently", "wait 60 seconds")),
        _ => Ok(json!({})),
    });
    let stack = harness.create(&small()).await;
    assert_eq!(stack["StackStatus"], "ROLLBACK_COMPLETE");
    assert_eq!(
        harness.operations(),
        ["CreateTopic", "CreateQueue", "DeleteTopic"]
    );
    let reasons = harness.reasons("CREATE_FAILED").await;
    assert!(
        reasons[0].starts_with("A: ") && reasons[0].contains("wait 60 seconds"),
        "{reasons:?}"
    );
    let again = harness
        .call(
            "UpdateStack",
            json!({ "StackName": "app", "TemplateBody": small().to_string() }),
        )
        .await;
    assert!(
        again
            .unwrap_err()
            .message
            .contains("is in ROLLBACK_COMPLETE state and can not be updated")
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_type_fails_the_stack_and_is_named() {
    let harness = Harness::new();
    let template = json!({ "Resources": { "X": { "Type": "AWS::Teapot::Pot" } } });
    let stack = harness.create(&template).await;
    assert_eq!(stack["StackStatus"], "ROLLBACK_COMPLETE");
    assert!(harness.reasons("CREATE_FAILED").await[0].contains("AWS::Teapot::Pot"));
    assert!(harness.operations().is_empty());
}

#[tokio::test(start_paused = true)]
async fn deleting_goes_backwards_and_keeps_what_is_retained() {
    let harness = Harness::new();
    let mut template = small();
    template["Resources"]["B"]["DeletionPolicy"] = json!("Retain");
    harness.create(&template).await;
    harness
        .call("DeleteStack", json!({ "StackName": "app" }))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        harness.operations(),
        ["CreateTopic", "CreateQueue", "DeleteQueue"]
    );
    let gone = harness
        .call("DescribeStacks", json!({ "StackName": "app" }))
        .await
        .unwrap_err();
    assert_eq!(
        (gone.code.as_str(), gone.message.as_str()),
        ("ValidationError", "Stack with id app does not exist")
    );
    let listed = harness
        .call("ListStacks", json!({ "StackStatusFilter": ["DELETE_COMPLETE"] }))
        .await
        .unwrap();
    assert_eq!(listed["StackSummaries"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_update_without_changes_is_refused_and_a_change_set_fails() {
    let harness = Harness::new();
    harness.create(&small()).await;
    let input = json!({ "StackName": "app", "TemplateBody": small().to_string() });
    let refused = harness.call("UpdateStack", input).await.unwrap_err();
    assert_eq!(refused.message, "No updates are to be performed.");
    let set = harness.change_set(&small(), "UPDATE").await;
    assert_eq!(set["Status"], "FAILED");
    assert!(
        set["StatusReason"]
            .as_str()
            .unwrap()
            .starts_with("The submitted information didn't contain changes.")
    );
    let input = json!({ "StackName": "app", "ChangeSetName": "next" });
    let refused = harness.call("ExecuteChangeSet", input).await.unwrap_err();
    assert_eq!(refused.code, "InvalidChangeSetStatus");
}

#[tokio::test(start_paused = true)]
async fn a_change_set_creates_a_stack_only_when_it_is_executed() {
    let harness = Harness::new();
    let set = harness.change_set(&small(), "CREATE").await;
    assert_eq!(set["Status"], "CREATE_COMPLETE");
    let actions: Vec<&Value> = set["Changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["ResourceChange"]["Action"])
        .collect();
    assert_eq!(actions, ["Add", "Add"]);
    assert_eq!(harness.stack("app").await["StackStatus"], "REVIEW_IN_PROGRESS");
    assert!(harness.operations().is_empty());
    harness
        .call(
            "ExecuteChangeSet",
            json!({ "StackName": "app", "ChangeSetName": "next" }),
        )
        .await
        .unwrap();
    assert_eq!(harness.settled("app").await["StackStatus"], "CREATE_COMPLETE");
}

#[tokio::test(start_paused = true)]
async fn capabilities_must_be_acknowledged() {
    let harness = Harness::new();
    let role = json!({ "Type": "AWS::IAM::Role", "Properties": { "AssumeRolePolicyDocument": {} } });
    let template = json!({ "Resources": { "R": role } });
    let input = json!({ "StackName": "app", "TemplateBody": template.to_string() });
    let refused = harness.call("CreateStack", input).await.unwrap_err();
    assert_eq!(refused.code, "InsufficientCapabilitiesException");
    assert_eq!(refused.message, "Requires capabilities : [CAPABILITY_IAM]");
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_generated_from_its_template() {
    let harness = Harness::answering(|call| match call.operation.as_str() {
        "GetRandomPassword" => Ok(json!({ "RandomPassword": "k".repeat(64) })),
        _ => Ok(json!({})),
    });
    let described = json!({ "SecretStringTemplate": "{\"id\":\"k1\"}", "GenerateStringKey": "key", "PasswordLength": "64", "ExcludePunctuation": "true" });
    let secret = json!({ "Type": "AWS::SecretsManager::Secret", "Properties": { "Name": "s", "GenerateSecretString": described } });
    harness.create(&json!({ "Resources": { "S": secret } })).await;
    assert_eq!(
        harness.inputs("GetRandomPassword")[0],
        json!({ "PasswordLength": 64, "ExcludePunctuation": true })
    );
    let made: Value = serde_json::from_str(
        harness.inputs("CreateSecret")[0]["SecretString"]
            .as_str()
            .unwrap(),
    )
    .unwrap();
    assert_eq!(made, json!({ "id": "k1", "key": "k".repeat(64) }));
}

#[tokio::test(start_paused = true)]
async fn dynamic_references_are_resolved_for_the_call_and_kept_as_references() {
    let harness = Harness::answering(|call| match call.operation.as_str() {
        "GetSecretValue" => Ok(json!({ "SecretString": "{\"user\":\"a\\\"b\"}" })),
        _ => Ok(json!({})),
    });
    let topic = json!({ "Type": "AWS::SNS::Topic", "Properties": { "TopicName": "t", "DisplayName": "{{resolve:secretsmanager:box:SecretString:user}}" } });
    harness.create(&json!({ "Resources": { "T": topic } })).await;
    assert_eq!(
        harness.inputs("CreateTopic")[0]["Attributes"]["DisplayName"],
        "a\"b"
    );
    let events = harness
        .call("DescribeStackEvents", json!({ "StackName": "app" }))
        .await
        .unwrap()
        .to_string();
    assert!(
        events.contains("resolve:secretsmanager") && !events.contains("a\\\\\\\"b"),
        "{events}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_template_can_come_from_a_bucket() {
    let harness = Harness::new();
    harness
        .cloud
        .put_object("box", "dir/t.json", small().to_string().into_bytes())
        .await
        .unwrap();
    let input = json!({ "TemplateURL": "http://127.0.0.1:4750/box/dir/t.json" });
    let summary = harness.call("GetTemplateSummary", input).await.unwrap();
    assert_eq!(
        summary["ResourceTypes"],
        json!(["AWS::SNS::Topic", "AWS::SQS::Queue"])
    );
}

/// A function with a version of its own per revision, and the alias that CodeDeploy shifts.
fn deployed(revision: &str) -> Value {
    json!({
        "Resources": {
            "Function": { "Type": "AWS::Lambda::Function", "Properties": {
                "FunctionName": "fn", "Role": "arn:aws:iam::123456789012:role/r", "Runtime": "nodejs24.x",
                "Handler": "index.handler", "MemorySize": "128",
                "Code": { "S3Bucket": "code", "S3Key": format!("{revision}.zip") },
            } },
            "Version": { "Type": "AWS::Lambda::Version", "DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain",
                "Properties": { "FunctionName": { "Ref": "Function" }, "Description": revision } },
            "Alias": { "Type": "AWS::Lambda::Alias",
                "UpdatePolicy": { "CodeDeployLambdaAliasUpdate": {
                    "ApplicationName": "app", "DeploymentGroupName": "group", "BeforeAllowTrafficHook": "CodeDeployHook_x",
                } },
                "Properties": {
                    "FunctionName": { "Ref": "Function" }, "Name": "live",
                    "FunctionVersion": { "Fn::GetAtt": ["Version", "Version"] },
                } },
        },
        "Outputs": { "Version": { "Value": { "Fn::GetAtt": ["Version", "Version"] } } },
    })
}

/// Lambda and CodeDeploy, as far as an alias's update needs them. Deployments end as `outcome` says.
fn lambda_and_codedeploy(outcome: &'static str) -> Harness {
    let published = AtomicU32::new(0);
    let polls = AtomicU32::new(0);
    let alias = Mutex::new("1".to_owned());
    let target = Mutex::new(String::new());
    Harness::answering(move |call| {
        Ok(match call.operation.as_str() {
            "PublishVersion" => {
                json!({ "Version": (published.fetch_add(1, Ordering::SeqCst) + 1).to_string() })
            }
            "GetAlias" => json!({ "FunctionVersion": *alias.lock().unwrap() }),
            "CreateDeployment" => {
                let content = call.input["revision"]["appSpecContent"]["content"]
                    .as_str()
                    .unwrap();
                let spec: Value = serde_json::from_str(content).unwrap();
                let properties = &spec["Resources"][0]["Alias"]["Properties"];
                *target.lock().unwrap() = properties["TargetVersion"].as_str().unwrap().to_owned();
                json!({ "deploymentId": "d-1" })
            }
            "GetDeployment" if polls.fetch_add(1, Ordering::SeqCst) < 2 => {
                json!({ "deploymentInfo": { "status": "InProgress" } })
            }
            "GetDeployment" => {
                if outcome == "Succeeded" {
                    (*target.lock().unwrap()).clone_into(&mut alias.lock().unwrap());
                }
                json!({ "deploymentInfo": { "status": outcome, "errorInformation": { "message": "the hook failed" } } })
            }
            _ => json!({}),
        })
    })
}

#[tokio::test(start_paused = true)]
async fn the_plan_replaces_the_version_and_moves_the_alias() {
    let harness = lambda_and_codedeploy("Succeeded");
    harness.create(&deployed("r1")).await;
    let set = harness.change_set(&deployed("r2"), "UPDATE").await;
    let change = |logical: &str| {
        let changes = set["Changes"].as_array().unwrap();
        changes
            .iter()
            .map(|c| c["ResourceChange"].clone())
            .find(|c| c["LogicalResourceId"] == logical)
            .unwrap()
    };
    assert_eq!(change("Function")["Replacement"], "False");
    let version = change("Version");
    assert_eq!(
        (&version["Replacement"], &version["PolicyAction"]),
        (&json!("True"), &json!("ReplaceAndRetain"))
    );
    assert_eq!(version["Details"][0]["Target"]["RequiresRecreation"], "Always");
    assert_eq!(version["Details"][0]["Target"]["AfterValue"], "r2");
    let alias = change("Alias");
    assert_eq!(alias["Replacement"], "False");
    assert_eq!(alias["Details"][0]["Evaluation"], "Dynamic");
    assert_eq!(alias["Details"][0]["CausingEntity"], "Version.Version");
    assert_eq!(
        alias["Details"][0]["Target"]["AfterValue"],
        "{{changeSet:KNOWN_AFTER_APPLY}}"
    );
    assert!(
        !harness.operations().contains(&"CreateDeployment".to_owned()),
        "a plan does nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn an_alias_is_updated_by_a_deployment() {
    let harness = lambda_and_codedeploy("Succeeded");
    harness.create(&deployed("r1")).await;
    assert!(
        !harness.operations().contains(&"CreateDeployment".to_owned()),
        "a new alias has no traffic to shift"
    );
    let stack = harness.update(&deployed("r2")).await;
    assert_eq!(stack["StackStatus"], "UPDATE_COMPLETE");
    assert_eq!(stack["Outputs"][0]["OutputValue"], "2");
    let deployment = &harness.inputs("CreateDeployment")[0];
    let spec: Value = serde_json::from_str(
        deployment["revision"]["appSpecContent"]["content"]
            .as_str()
            .unwrap(),
    )
    .unwrap();
    let expected = json!({ "Name": "fn", "Alias": "live", "CurrentVersion": "1", "TargetVersion": "2" });
    assert_eq!(spec["Resources"][0]["Alias"]["Properties"], expected);
    assert_eq!(
        spec["Hooks"],
        json!([{ "BeforeAllowTraffic": "CodeDeployHook_x" }])
    );
    let operations = harness.operations();
    assert!(
        !operations.contains(&"UpdateAlias".to_owned()),
        "CodeDeploy moves it"
    );
    assert!(
        !operations.contains(&"DeleteFunction".to_owned()),
        "the replaced version is what a rollback needs"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_deployment_rolls_the_stack_back_and_leaves_the_alias_to_codedeploy() {
    let harness = lambda_and_codedeploy("Failed");
    harness.create(&deployed("r1")).await;
    let stack = harness.update(&deployed("r2")).await;
    assert_eq!(stack["StackStatus"], "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(stack["Outputs"][0]["OutputValue"], "1");
    let reasons = harness.reasons("UPDATE_FAILED").await;
    assert!(
        reasons[0].starts_with("Alias: ")
            && reasons[0].contains("d-1")
            && reasons[0].contains("the hook failed")
    );
    let operations = harness.operations();
    assert!(
        !operations.contains(&"UpdateAlias".to_owned()),
        "it points where it should already"
    );
    assert_eq!(
        operations
            .iter()
            .filter(|name| *name == "CreateDeployment")
            .count(),
        1,
        "no rollback of a rollback"
    );
    let code: Vec<Value> = harness
        .inputs("UpdateFunctionCode")
        .iter()
        .map(|input| input["S3Key"].clone())
        .collect();
    assert_eq!(code, ["r2.zip", "r1.zip"]);
    // The stack can go on from here.
    let next = harness.change_set(&deployed("r3"), "UPDATE").await;
    assert_eq!(next["Status"], "CREATE_COMPLETE");
}

#[tokio::test(start_paused = true)]
async fn cancelling_an_update_stops_its_deployment() {
    let harness = lambda_and_codedeploy("Stopped");
    harness.create(&deployed("r1")).await;
    let input = json!({ "StackName": "app", "TemplateBody": deployed("r2").to_string() });
    harness.call("UpdateStack", input).await.unwrap();
    while !harness.operations().contains(&"CreateDeployment".to_owned()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    harness
        .call("CancelUpdateStack", json!({ "StackName": "app" }))
        .await
        .unwrap();
    let stack = harness.settled("app").await;
    assert_eq!(stack["StackStatus"], "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(
        harness.inputs("StopDeployment"),
        [json!({ "deploymentId": "d-1", "autoRollbackEnabled": true })]
    );
    assert_eq!(
        harness.reasons("UPDATE_ROLLBACK_IN_PROGRESS").await,
        ["app: User Initiated"]
    );
}

#[tokio::test(start_paused = true)]
async fn numbers_and_local_binaries_reach_lambda_in_its_own_form() {
    let harness = Harness::new();
    let function = json!({ "Type": "AWS::Lambda::Function", "Properties": {
        "FunctionName": "fn", "Role": "r", "Runtime": "provided.al2023", "Handler": "bootstrap", "Timeout": "30",
        "Code": { "S3Bucket": "local-binary", "S3Key": "start-run" }, "ReservedConcurrentExecutions": "10",
        "Environment": { "Variables": { "MAX": 5 } }, "Tags": [{ "Key": "a", "Value": "b" }],
    } });
    harness.create(&json!({ "Resources": { "F": function } })).await;
    let input = &harness.inputs("CreateFunction")[0];
    assert_eq!(input["Code"], json!({ "ImageUri": "local-binary:start-run" }));
    assert_eq!(input["Timeout"], 30);
    assert_eq!(input["Environment"], json!({ "Variables": { "MAX": "5" } }));
    assert_eq!(input["Tags"], json!({ "a": "b" }));
    assert_eq!(
        harness.inputs("PutFunctionConcurrency")[0]["ReservedConcurrentExecutions"],
        10
    );
}

#[tokio::test(start_paused = true)]
async fn parameters_are_checked_and_previous_values_reused() {
    let harness = Harness::new();
    let mut template = small();
    template["Parameters"] = json!({
        "Name": { "Type": "String", "AllowedPattern": "[a-z]+", "ConstraintDescription": "small letters" },
        "Note": { "Type": "String", "Default": "x" },
    });
    template["Resources"]["B"]["Properties"] =
        json!({ "TopicName": { "Ref": "Name" }, "DisplayName": { "Ref": "Note" } });
    let call = |operation: &'static str, parameters: Value| {
        let input =
            json!({ "StackName": "app", "TemplateBody": template.to_string(), "Parameters": parameters });
        harness.call(operation, input)
    };
    let missing = call("CreateStack", json!([])).await.unwrap_err();
    assert_eq!(missing.message, "Parameters: [Name] must have values");
    let wrong = call(
        "CreateStack",
        json!([{ "ParameterKey": "Name", "ParameterValue": "news2" }]),
    )
    .await
    .unwrap_err();
    assert_eq!(
        wrong.message,
        "Parameter Name failed to satisfy constraint: small letters"
    );
    let unknown = call(
        "CreateStack",
        json!([{ "ParameterKey": "Nmae", "ParameterValue": "a" }]),
    )
    .await
    .unwrap_err();
    assert_eq!(unknown.message, "Parameters: [Nmae] do not exist in the template");
    call(
        "CreateStack",
        json!([{ "ParameterKey": "Name", "ParameterValue": "news" }]),
    )
    .await
    .unwrap();
    harness.settled("app").await;
    let kept = json!([{ "ParameterKey": "Name", "UsePreviousValue": true }, { "ParameterKey": "Note", "ParameterValue": "y" }]);
    call("UpdateStack", kept).await.unwrap();
    assert_eq!(harness.settled("app").await["StackStatus"], "UPDATE_COMPLETE");
    assert_eq!(harness.inputs("SetTopicAttributes").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_renamed_is_replaced_and_what_is_dropped_is_deleted_last() {
    let harness = Harness::new();
    let mut template = small();
    harness.create(&template).await;
    template["Resources"]["B"]["Properties"]["TopicName"] = json!("letters");
    template["Resources"]["C"] = json!({ "Type": "AWS::SNS::Topic" });
    assert_eq!(harness.update(&template).await["StackStatus"], "UPDATE_COMPLETE");
    let made = harness.operations().split_off(2);
    let deleted_at = made.iter().position(|name| name.starts_with("Delete")).unwrap();
    assert!(
        made[deleted_at..].iter().all(|name| name.starts_with("Delete")),
        "{made:?}"
    );
    template["Resources"].as_object_mut().unwrap().remove("C");
    harness.update(&template).await;
    assert_eq!(harness.operations().last().unwrap(), "DeleteTopic");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_fails_can_be_continued() {
    let broken = Arc::new(Mutex::new(true));
    let switch = Arc::clone(&broken);
    let harness = Harness::answering(move |call| match call.operation.as_str() {
        "SetTopicAttributes" if call.input["AttributeValue"] == "old" && *switch.lock().unwrap() => {
            Err(AwsError::new("InternalError", "not now"))
        }
        "CreateQueue" => Err(AwsError::new("Refused", "no")),
        _ => Ok(json!({})),
    });
    let template = |name: &str, queue: bool| {
        let mut template = json!({ "Resources": { "T": { "Type": "AWS::SNS::Topic", "Properties": { "TopicName": "t", "DisplayName": name } } } });
        if queue {
            template["Resources"]["Q"] = json!({ "Type": "AWS::SQS::Queue", "DependsOn": "T" });
        }
        template
    };
    harness.create(&template("old", false)).await;
    assert_eq!(
        harness.update(&template("new", true)).await["StackStatus"],
        "UPDATE_ROLLBACK_FAILED"
    );
    *broken.lock().unwrap() = false;
    harness
        .call("ContinueUpdateRollback", json!({ "StackName": "app" }))
        .await
        .unwrap();
    assert_eq!(
        harness.settled("app").await["StackStatus"],
        "UPDATE_ROLLBACK_COMPLETE"
    );
}
