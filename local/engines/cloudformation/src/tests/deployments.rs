//! Updates of an alias that CodeDeploy carries out.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::Harness;

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
async fn what_fails_after_the_deployment_moves_the_traffic_back_at_once() {
    let harness = lambda_and_codedeploy("Succeeded");
    harness.create(&deployed("r1")).await;
    let mut template = deployed("r2");
    template["Resources"]["Last"] = json!({ "Type": "AWS::Teapot::Pot", "DependsOn": "Alias" });
    let stack = harness.update(&template).await;
    assert_eq!(stack["StackStatus"], "UPDATE_ROLLBACK_COMPLETE");
    let back = &harness.inputs("UpdateAlias")[0];
    assert_eq!(back["FunctionVersion"], "1");
    assert_eq!(back["RoutingConfig"], json!({ "AdditionalVersionWeights": {} }));
    assert_eq!(harness.inputs("CreateDeployment").len(), 1);
}
