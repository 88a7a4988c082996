//! What requests say, and what reaches the services of it.

use serde_json::{Value, json};
use signalbox_local_core::Cloud as _;

use super::{Harness, small};

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
