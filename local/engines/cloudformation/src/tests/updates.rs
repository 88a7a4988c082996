//! Stacks come about, change, fail, and go.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use super::{Harness, small};

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
