//! CloudFormation actions, over a stand-in for CloudFormation that keeps one stack.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use signalbox_local_core::testing::Recorded;
use signalbox_local_core::{AwsError, Cloud};

use crate::world::{World, action, archive, pairs};

/// One stack, and what its next operation comes to.
#[derive(Default)]
struct Fake {
    status: Option<String>,
    change_set: Option<(String, String)>,
    no_changes: bool,
    ends_in: Option<&'static str>,
}

const STACK: &str = "lambda-function-production";
const STACK_ID: &str = "arn:aws:cloudformation:us-east-1:123456789012:stack/lambda-function-production/1";

fn cloudformation(fake: &Mutex<Fake>, call: &Recorded) -> Result<Value, AwsError> {
    let mut fake = fake.lock().unwrap();
    let absent = || AwsError::new("ValidationError", format!("Stack with id {STACK} does not exist"));
    match call.operation.as_str() {
        "DescribeStacks" => {
            let status = fake.status.clone().ok_or_else(absent)?;
            // Each look brings a running operation to its end.
            if status.ends_with("_IN_PROGRESS") && status != "REVIEW_IN_PROGRESS" {
                let done = fake.ends_in.map(str::to_owned);
                let done = done.unwrap_or_else(|| status.replace("_IN_PROGRESS", "_COMPLETE"));
                fake.status = (done != "DELETE_COMPLETE").then_some(done);
            }
            Ok(json!({ "Stacks": [{
                "StackId": STACK_ID, "StackName": STACK, "StackStatus": status,
                "Outputs": [{ "OutputKey": "Alias", "OutputValue": "live" }],
            }] }))
        }
        "CreateChangeSet" => {
            fake.change_set = Some(match fake.no_changes {
                true => (
                    "FAILED".to_owned(),
                    "The submitted information didn't contain changes.".to_owned(),
                ),
                false => ("CREATE_COMPLETE".to_owned(), String::new()),
            });
            fake.status.get_or_insert_with(|| "REVIEW_IN_PROGRESS".to_owned());
            Ok(json!({ "Id": "arn:change-set", "StackId": STACK_ID }))
        }
        "DescribeChangeSet" => {
            let (status, reason) = fake.change_set.clone().unwrap();
            Ok(json!({ "Status": status, "StatusReason": reason, "StackId": STACK_ID }))
        }
        "DeleteChangeSet" => match fake.change_set.take() {
            Some(_) => Ok(json!({})),
            None => Err(AwsError::new(
                "ChangeSetNotFound",
                "ChangeSet [signalbox] does not exist",
            )),
        },
        "ExecuteChangeSet" | "UpdateStack" => {
            if fake.no_changes {
                return Err(AwsError::new(
                    "ValidationError",
                    "No updates are to be performed.",
                ));
            }
            fake.status = Some("UPDATE_IN_PROGRESS".to_owned());
            Ok(json!({}))
        }
        "CreateStack" => {
            fake.status = Some("CREATE_IN_PROGRESS".to_owned());
            Ok(json!({ "StackId": STACK_ID }))
        }
        "DeleteStack" => {
            fake.status = Some("DELETE_IN_PROGRESS".to_owned());
            Ok(json!({}))
        }
        "DescribeStackEvents" => Ok(json!({ "StackEvents": [
            { "LogicalResourceId": STACK, "ResourceStatus": "UPDATE_ROLLBACK_COMPLETE" },
            { "LogicalResourceId": "Other", "ResourceStatus": "UPDATE_FAILED",
              "ResourceStatusReason": "Resource update cancelled" },
            { "LogicalResourceId": "Alias", "ResourceStatus": "UPDATE_FAILED",
              "ResourceStatusReason": "CodeDeploy deployment failed" },
            { "LogicalResourceId": STACK, "ResourceStatus": "UPDATE_IN_PROGRESS" },
            { "LogicalResourceId": "Old", "ResourceStatus": "UPDATE_FAILED", "ResourceStatusReason": "long ago" },
        ] })),
        other => panic!("unexpected {other}"),
    }
}

/// Source → Deploy, where the source's archive holds the template and its parameters.
async fn world(configurations: Vec<Value>, fake: Fake) -> (World, Arc<Mutex<Fake>>) {
    let fake = Arc::new(Mutex::new(fake));
    let known = fake.clone();
    let change = move |pipeline: &mut Value| {
        let actions: Vec<Value> = configurations
            .into_iter()
            .enumerate()
            .map(|(at, mut configuration)| {
                configuration["StackName"] = json!(STACK);
                let mut deploy = action(&format!("Deploy{at}"), "Deploy", "CloudFormation", &configuration);
                deploy["inputArtifacts"] = json!([{ "name": "SourceOutput" }]);
                deploy["runOrder"] = json!(at + 1);
                deploy["namespace"] = json!(format!("Deploy{at}"));
                deploy
            })
            .collect();
        pipeline["stages"].as_array_mut().unwrap().truncate(1);
        pipeline["stages"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "name": "Deploy", "actions": actions }));
    };
    let world = World::answering(change, move |call| {
        (call.service == "cloudformation").then(|| cloudformation(&known, call))
    })
    .await;
    let files = archive(&[
        ("template.yaml", "Resources: {}"),
        (
            "parameters.json",
            r#"{"Parameters": {"Environment": "staging", "Memory": 256}, "Tags": {"Team": "a"}}"#,
        ),
        ("manifest.json", r#"{"digest": "abc"}"#),
    ]);
    world
        .cloud
        .put_object("source", "source/app.zip", files)
        .await
        .unwrap();
    (world, fake)
}

fn replace() -> Value {
    json!({
        "ActionMode": "CHANGE_SET_REPLACE",
        "ChangeSetName": "signalbox",
        "TemplatePath": "SourceOutput::template.yaml",
        "TemplateConfiguration": "SourceOutput::parameters.json",
        "Capabilities": "CAPABILITY_IAM,CAPABILITY_NAMED_IAM",
        "ParameterOverrides": json!({
            "Environment": "production",
            "Bucket": { "Fn::GetArtifactAtt": ["SourceOutput", "BucketName"] },
            "Digest": { "Fn::GetParam": ["SourceOutput", "manifest.json", "digest"] },
            "Revision": "#{SourceVariables.VersionId}",
        }).to_string(),
    })
}

fn execute() -> Value {
    json!({ "ActionMode": "CHANGE_SET_EXECUTE", "ChangeSetName": "signalbox" })
}

fn create_update() -> Value {
    json!({ "ActionMode": "CREATE_UPDATE", "TemplatePath": "SourceOutput::template.yaml" })
}

#[tokio::test(start_paused = true)]
async fn a_change_set_is_made_from_the_artifact_and_then_executed() {
    let (world, _) = world(vec![replace(), execute()], Fake::default()).await;
    let run = world.start().await;
    assert_eq!(world.settled(&run).await, "Succeeded");
    let created = world.calls("CreateChangeSet").remove(0);
    assert_eq!(created["ChangeSetType"], "CREATE");
    assert_eq!(created["TemplateBody"], "Resources: {}");
    assert_eq!(
        created["Capabilities"],
        json!(["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"])
    );
    assert_eq!(created["Tags"], json!([{ "Key": "Team", "Value": "a" }]));
    let parameters = pairs(&created["Parameters"], "ParameterKey", "ParameterValue");
    assert_eq!(parameters["Environment"], "production", "overrides win");
    assert_eq!(parameters["Memory"], "256");
    assert_eq!(parameters["Bucket"], "artifacts");
    assert_eq!(parameters["Digest"], "abc");
    assert_eq!(parameters["Revision"], "v2");
    assert_eq!(world.calls("DeleteChangeSet").len(), 0, "there is no stack yet");
    let executed = world.actions(&run).await[0].clone();
    assert_eq!(
        executed["output"]["executionResult"]["externalExecutionId"],
        STACK_ID
    );
    assert_eq!(executed["output"]["outputVariables"]["Alias"], "live");
}

#[tokio::test(start_paused = true)]
async fn an_existing_stack_gets_an_update_and_its_old_change_set_is_replaced() {
    let before = Fake {
        status: Some("UPDATE_COMPLETE".to_owned()),
        change_set: Some(("CREATE_COMPLETE".to_owned(), String::new())),
        ..Fake::default()
    };
    let (world, _) = world(vec![replace()], before).await;
    let run = world.start().await;
    assert_eq!(world.settled(&run).await, "Succeeded");
    assert_eq!(world.calls("CreateChangeSet")[0]["ChangeSetType"], "UPDATE");
    assert_eq!(world.calls("DeleteChangeSet").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_to_change_is_success() {
    let before = || Fake {
        status: Some("UPDATE_COMPLETE".to_owned()),
        no_changes: true,
        ..Fake::default()
    };
    let (change_set, _) = world(vec![replace(), execute()], before()).await;
    let run = change_set.start().await;
    assert_eq!(change_set.settled(&run).await, "Succeeded");
    assert_eq!(change_set.calls("ExecuteChangeSet").len(), 0);
    let (update, _) = world(vec![create_update()], before()).await;
    let run = update.start().await;
    assert_eq!(update.settled(&run).await, "Succeeded");
    assert_eq!(
        update.actions(&run).await[0]["output"]["outputVariables"]["Alias"],
        "live"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stack_is_created_where_there_is_none_and_updated_where_there_is() {
    let (world, _) = world(vec![create_update()], Fake::default()).await;
    let run = world.start().await;
    assert_eq!(world.settled(&run).await, "Succeeded");
    let run = world.start().await;
    assert_eq!(world.settled(&run).await, "Succeeded");
    assert_eq!(
        (world.calls("CreateStack").len(), world.calls("UpdateStack").len()),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_rolls_back_fails_the_action_and_names_the_resource() {
    let before = Fake {
        status: Some("UPDATE_COMPLETE".to_owned()),
        ends_in: Some("UPDATE_ROLLBACK_COMPLETE"),
        ..Fake::default()
    };
    let (world, _) = world(vec![replace(), execute()], before).await;
    let run = world.start().await;
    assert_eq!(world.settled(&run).await, "Failed");
    let failed = world.event(&run, "Deploy/Deploy1 FAILED")["execution-result"].clone();
    assert_eq!(
        failed["external-execution-summary"],
        format!("Stack {STACK} ended in state UPDATE_ROLLBACK_COMPLETE. Alias: CodeDeploy deployment failed")
    );
    assert_eq!(failed["external-execution-id"], STACK_ID);
}

#[tokio::test(start_paused = true)]
async fn a_stack_is_deleted_and_its_absence_is_success() {
    let delete = json!({ "ActionMode": "DELETE_ONLY" });
    let before = Fake {
        status: Some("UPDATE_COMPLETE".to_owned()),
        ..Fake::default()
    };
    let (world, fake) = world(vec![delete], before).await;
    for _ in 0..2 {
        let run = world.start().await;
        assert_eq!(world.settled(&run).await, "Succeeded");
    }
    assert_eq!(fake.lock().unwrap().status, None);
    assert_eq!(world.calls("DeleteStack").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_the_artifact_does_not_hold_is_named() {
    let mut configuration = create_update();
    configuration["TemplatePath"] = json!("SourceOutput::missing.yaml");
    let (world, _) = world(vec![configuration], Fake::default()).await;
    let run = world.start().await;
    assert_eq!(world.settled(&run).await, "Failed");
    let error = world.action("Deploy").await["errorDetails"].clone();
    assert_eq!(error["code"], "ConfigurationError");
    assert!(
        error["message"].as_str().unwrap().contains("missing.yaml"),
        "{error}"
    );
}
