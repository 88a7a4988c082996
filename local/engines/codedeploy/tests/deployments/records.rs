//! Applications, groups, revisions, and what is refused.

use serde_json::{Value, json};
use signalbox_local_core::Cloud as _;

use crate::stage::{CANARY, Stage, revision, settle};

#[tokio::test(start_paused = true)]
async fn revisions_are_known_by_their_digest() {
    let stage = Stage::new(json!({})).await;
    let id = stage.deploy(json!({})).await;
    settle().await;
    let digest = stage.info(&id).await["revision"]["appSpecContent"]["sha256"].clone();
    let short = json!({"revisionType": "AppSpecContent", "appSpecContent": {"sha256": digest}});
    let known = stage
        .ok(
            "GetApplicationRevision",
            json!({"applicationName": "app", "revision": short}),
        )
        .await;
    assert_eq!(known["revisionInfo"]["deploymentGroups"], json!(["live"]));
    assert!(known["revision"]["appSpecContent"]["content"].is_string());
    assert_eq!(
        stage
            .ok("ListApplicationRevisions", json!({"applicationName": "app"}))
            .await["revisions"],
        json!([short])
    );

    stage.world.lock().unwrap().alias = json!({"FunctionVersion": "1"});
    let again = stage.deploy(json!({"revision": short})).await;
    settle().await;
    assert_eq!(stage.status(&again).await, "Succeeded");
    let content = revision("2", "3", false)["appSpecContent"]["content"]
        .as_str()
        .unwrap()
        .to_owned();
    stage
        .cloud
        .put_object("b", "appspec.json", content.into_bytes())
        .await
        .unwrap();
    let stored = json!({"revisionType": "S3", "s3Location": {"bucket": "b", "key": "appspec.json", "bundleType": "JSON"}});
    let from_bucket = stage.deploy(json!({"revision": stored})).await;
    settle().await;
    assert_eq!(stage.status(&from_bucket).await, "Succeeded");
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_refused_by_name() {
    let stage = Stage::new(json!({})).await;
    let code = async |operation: &str, input: Value| stage.call(operation, input).await.unwrap_err().code;
    let deployment = |more: Value| {
        let mut input = json!({"applicationName": "app", "deploymentGroupName": "live", "revision": revision("1", "2", false)});
        input
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        input
    };
    for (more, expected) in [
        (
            json!({"applicationName": "x"}),
            "ApplicationDoesNotExistException",
        ),
        (
            json!({"deploymentGroupName": "x"}),
            "DeploymentGroupDoesNotExistException",
        ),
        (
            json!({"deploymentConfigName": "CodeDeployDefault.Lambda10PercentEvery5Minutes"}),
            "DeploymentConfigDoesNotExistException",
        ),
        (
            json!({"revision": {"revisionType": "AppSpecContent", "appSpecContent": {"content": "{"}}}),
            "InvalidRevisionException",
        ),
        (
            json!({"revision": {"revisionType": "GitHub"}}),
            "InvalidRevisionException",
        ),
        (
            json!({"revision": {"revisionType": "AppSpecContent", "appSpecContent": {"content": "x", "sha256": "00"}}}),
            "InvalidRevisionException",
        ),
        (
            json!({"revision": {"revisionType": "AppSpecContent", "appSpecContent": {"sha256": "00"}}}),
            "RevisionDoesNotExistException",
        ),
        (
            json!({"revision": {"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k"}}}),
            "RevisionDoesNotExistException",
        ),
        (
            json!({"autoRollbackConfiguration": {"enabled": true}}),
            "InvalidAutoRollbackConfigException",
        ),
        (
            json!({"overrideAlarmConfiguration": {"enabled": true}}),
            "InvalidAlarmConfigException",
        ),
    ] {
        assert_eq!(
            code("CreateDeployment", deployment(more.clone())).await,
            expected,
            "{more}"
        );
    }
    assert_eq!(
        code("CreateApplication", json!({"applicationName": "s"})).await,
        "InvalidComputePlatformException"
    );
    assert_eq!(
        code(
            "CreateApplication",
            json!({"applicationName": "app", "computePlatform": "Lambda"})
        )
        .await,
        "ApplicationAlreadyExistsException"
    );
    assert_eq!(
        code("GetDeployment", json!({"deploymentId": "d-X"})).await,
        "DeploymentDoesNotExistException"
    );
    assert_eq!(
        code("GetDeploymentConfig", json!({"deploymentConfigName": "x"})).await,
        "DeploymentConfigDoesNotExistException"
    );
    let taken = json!({"deploymentConfigName": "CodeDeployDefault.Mine", "computePlatform": "Lambda"});
    assert_eq!(
        code("CreateDeploymentConfig", taken).await,
        "InvalidDeploymentConfigNameException"
    );
    assert_eq!(
        code("ListDeployments", json!({"applicationName": "app"})).await,
        "DeploymentGroupNameRequiredException"
    );
    let id = stage.deploy(json!({})).await;
    assert_eq!(
        code("ListDeploymentTargets", json!({"deploymentId": id})).await,
        "DeploymentNotStartedException"
    );
    settle().await;
    assert_eq!(
        stage
            .ok("ListDeploymentTargets", json!({"deploymentId": id}))
            .await["targetIds"],
        json!(["f:live"])
    );
    assert_eq!(
        code(
            "GetDeploymentTarget",
            json!({"deploymentId": id, "targetId": "x"})
        )
        .await,
        "DeploymentTargetDoesNotExistException"
    );
    assert_eq!(
        code("ContinueDeployment", json!({"deploymentId": id})).await,
        "DeploymentAlreadyCompletedException"
    );
}

#[tokio::test(start_paused = true)]
async fn groups_are_changed_renamed_tagged_and_deleted() {
    let stage = Stage::new(json!({"tags": [{"Key": "a", "Value": "1"}]})).await;
    let update = json!({"applicationName": "app", "currentDeploymentGroupName": "live", "newDeploymentGroupName": "prod", "deploymentConfigName": CANARY});
    stage.ok("UpdateDeploymentGroup", update).await;
    assert_eq!(
        stage
            .ok("ListDeploymentGroups", json!({"applicationName": "app"}))
            .await["deploymentGroups"],
        json!(["prod"])
    );
    let batch = json!({"applicationName": "app", "deploymentGroupNames": ["prod", "live"]});
    let described = stage.ok("BatchGetDeploymentGroups", batch).await;
    assert_eq!(
        described["deploymentGroupsInfo"][0]["deploymentConfigName"],
        CANARY
    );
    assert!(described["errorMessage"].as_str().unwrap().contains("live"));
    let arn = json!("arn:aws:codedeploy:us-east-1:123456789012:deploymentgroup:app/prod");
    assert_eq!(
        stage.ok("ListTagsForResource", json!({"ResourceArn": arn})).await["Tags"],
        json!([{"Key": "a", "Value": "1"}])
    );
    stage
        .ok(
            "DeleteDeploymentGroup",
            json!({"applicationName": "app", "deploymentGroupName": "prod"}),
        )
        .await;
    stage
        .ok("DeleteApplication", json!({"applicationName": "app"}))
        .await;
    assert_eq!(
        stage.ok("ListApplications", json!({})).await["applications"],
        json!([])
    );
    assert_eq!(
        stage.ok("ListDeploymentConfigs", json!({})).await["deploymentConfigsList"]
            .as_array()
            .unwrap()
            .len(),
        9
    );
}
