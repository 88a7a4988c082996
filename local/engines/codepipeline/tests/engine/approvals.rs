//! Manual approvals.

use std::time::Duration;

use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Caller, Engine};

use crate::world::{PIPELINE, World, action, last_stage};

fn with_approval(configuration: Value, timeout: Option<u32>) -> impl FnOnce(&mut Value) {
    move |pipeline| {
        let mut approve = action("Approve", "Approval", "Manual", &configuration);
        if let Some(minutes) = timeout {
            approve["timeoutInMinutes"] = json!(minutes);
        }
        last_stage(pipeline, "Approval", &[approve]);
    }
}

async fn waiting(configuration: Value, timeout: Option<u32>) -> (World, String, String) {
    let world = World::new(with_approval(configuration, timeout)).await;
    let run = world.start().await;
    world.settle().await;
    let action = world.action("Approval").await;
    assert_eq!(action["status"], "InProgress");
    let token = action["token"].as_str().unwrap().to_owned();
    (world, run, token)
}

fn answer(token: &str, status: &str, summary: &str) -> Value {
    json!({
        "pipelineName": PIPELINE, "stageName": "Approval", "actionName": "Approve", "token": token,
        "result": { "status": status, "summary": summary },
    })
}

#[tokio::test(start_paused = true)]
async fn approved_the_run_goes_on_and_says_who_and_why() {
    let (world, run, token) = waiting(json!({}), None).await;
    let caller = Caller::Role {
        arn: "arn:aws:iam::123456789012:role/answer".to_owned(),
        session: "answer-approval".to_owned(),
    };
    let given = world
        .engine
        .call(
            &caller,
            "PutApprovalResult",
            answer(&token, "Approved", "ok, by Ann"),
        )
        .await
        .unwrap();
    assert!(given["approvedAt"].is_f64());
    assert_eq!(world.settled(&run).await, "Succeeded");
    let action = world.action("Approval").await;
    assert_eq!(action["status"], "Succeeded");
    assert_eq!(action["summary"], "ok, by Ann");
    assert_eq!(
        action["lastUpdatedBy"],
        "arn:aws:sts::123456789012:assumed-role/answer/answer-approval"
    );
    assert_eq!(action.get("token"), None);
}

#[tokio::test(start_paused = true)]
async fn rejected_the_action_fails_with_the_reason() {
    let (world, run, token) = waiting(json!({}), None).await;
    world
        .call("PutApprovalResult", answer(&token, "Rejected", "not on a Friday"))
        .await;
    assert_eq!(world.settled(&run).await, "Failed");
    let result = world.event(&run, "Approval/Approve FAILED")["execution-result"].clone();
    assert_eq!(result["external-execution-summary"], "not on a Friday");
    assert_eq!(result["error-code"], "JobFailed");
    assert_eq!(world.action("Approval").await["summary"], "not on a Friday");
}

#[tokio::test(start_paused = true)]
async fn the_second_answer_and_a_wrong_token_are_refused() {
    let (world, run, token) = waiting(json!({}), None).await;
    let other = "00000000-0000-4000-8000-000000000000";
    let wrong = world
        .refused("PutApprovalResult", answer(other, "Approved", ""))
        .await;
    assert_eq!(wrong.code, "InvalidApprovalTokenException");
    assert_eq!(world.status(&run).await, "InProgress");
    world
        .call("PutApprovalResult", answer(&token, "Approved", ""))
        .await;
    let late = world
        .refused("PutApprovalResult", answer(&token, "Rejected", ""))
        .await;
    assert_eq!(late.code, "ApprovalAlreadyCompletedException");
    assert_eq!(world.settled(&run).await, "Succeeded", "the first answer stands");
    let mut elsewhere = answer(&token, "Approved", "");
    elsewhere["actionName"] = json!("Nobody");
    assert_eq!(
        world.refused("PutApprovalResult", elsewhere.clone()).await.code,
        "ActionNotFoundException"
    );
    elsewhere["stageName"] = json!("Nowhere");
    assert_eq!(
        world.refused("PutApprovalResult", elsewhere).await.code,
        "StageNotFoundException"
    );
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_it_expires_after_seven_days() {
    let (world, run, token) = waiting(json!({}), None).await;
    tokio::time::sleep(Duration::from_hours(7 * 24 - 1)).await;
    assert_eq!(world.status(&run).await, "InProgress");
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(world.settled(&run).await, "Failed");
    let error = world.action("Approval").await["errorDetails"].clone();
    assert!(error["message"].as_str().unwrap().contains("expired"), "{error}");
    let late = world
        .refused("PutApprovalResult", answer(&token, "Approved", ""))
        .await;
    assert_eq!(late.code, "InvalidApprovalTokenException");
}

#[tokio::test(start_paused = true)]
async fn the_actions_own_time_out_counts() {
    let (world, run, _) = waiting(json!({}), Some(5)).await;
    tokio::time::sleep(Duration::from_mins(4)).await;
    assert_eq!(world.status(&run).await, "InProgress");
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(world.settled(&run).await, "Failed");
}

#[tokio::test(start_paused = true)]
async fn the_topic_gets_the_message_that_aws_documents() {
    let topic = "arn:aws:sns:us-east-1:123456789012:approvals";
    let configuration = json!({
        "NotificationArn": topic,
        "CustomData": "Revision #{SourceVariables.VersionId}",
        "ExternalEntityLink": "https://example.com",
    });
    let (world, _, token) = waiting(configuration, None).await;
    let published = world.calls("Publish");
    assert_eq!(published.len(), 1);
    assert_eq!(published[0]["TopicArn"], topic);
    assert!(published[0]["Subject"].as_str().unwrap().len() < 100);
    let message: Value = serde_json::from_str(published[0]["Message"].as_str().unwrap()).unwrap();
    assert_eq!(message["region"], "us-east-1");
    let approval = &message["approval"];
    assert_eq!(approval["pipelineName"], PIPELINE);
    assert_eq!(approval["stageName"], "Approval");
    assert_eq!(approval["actionName"], "Approve");
    assert_eq!(approval["token"], token);
    assert_eq!(approval["customData"], "Revision v1");
    assert_eq!(approval["externalEntityLink"], "https://example.com");
    let expires = approval["expires"].as_str().unwrap();
    assert!(
        expires.len() == "2016-07-07T20:22Z".len() && expires.ends_with('Z'),
        "{expires}"
    );
    assert!(
        approval["approvalReviewLink"]
            .as_str()
            .unwrap()
            .ends_with(&format!("/Approval/Approve/approve/{token}"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_refuses_fails_the_action() {
    let configuration = json!({ "NotificationArn": "arn:aws:sns:us-east-1:123456789012:gone" });
    let world = World::answering(with_approval(configuration, None), |call| {
        (call.operation == "Publish").then(|| Err(AwsError::new("NotFound", "Topic does not exist")))
    })
    .await;
    let run = world.start().await;
    assert_eq!(world.settled(&run).await, "Failed");
    let error = world.action("Approval").await["errorDetails"].clone();
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("Topic does not exist"),
        "{error}"
    );
}
