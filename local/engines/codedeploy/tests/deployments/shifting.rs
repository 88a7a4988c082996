//! How traffic shifts, and what must not run at the same time.

use serde_json::{Value, json};
use signalbox_local_core::{Caller, Engine as _};

use crate::stage::{ALL_AT_ONCE, CANARY, LINEAR, Stage, pass, revision, rolling_back, settle};

#[tokio::test(start_paused = true)]
async fn a_canary_waits_and_then_takes_everything() {
    let stage = Stage::new(json!({"deploymentConfigName": CANARY})).await;
    let id = stage.deploy(json!({})).await;
    pass(299).await;
    assert_eq!(stage.status(&id).await, "InProgress");
    let target = stage
        .ok(
            "BatchGetDeploymentTargets",
            json!({"deploymentId": id, "targetIds": ["f:live"]}),
        )
        .await;
    assert_eq!(
        target["deploymentTargets"][0]["lambdaTarget"]["lambdaFunctionInfo"]["targetVersionWeight"],
        10.0
    );
    pass(2).await;
    assert_eq!(stage.status(&id).await, "Succeeded");
    assert_eq!(
        stage.changes(),
        [
            (0, "1".to_owned(), json!({"2": 0.1})),
            (300, "2".to_owned(), json!({}))
        ]
    );
    assert_eq!(stage.lifecycle(&id).await, ["Skipped", "Succeeded", "Skipped"]);

    let info = stage.info(&id).await;
    assert_eq!(info["creator"], "user");
    assert_eq!(info["deploymentOverview"]["Succeeded"], 1);
    assert!(info["completeTime"].as_f64().unwrap() >= info["startTime"].as_f64().unwrap() + 300.0);
    assert_eq!(stage.states(&id), ["START", "SUCCESS"]);
    let event = &stage.cloud.events()[0];
    assert_eq!(
        event.detail_type,
        "CodeDeploy Deployment State-change Notification"
    );
    assert_eq!(
        event.resources,
        [
            "arn:aws:codedeploy:us-east-1:123456789012:application:app",
            "arn:aws:codedeploy:us-east-1:123456789012:deploymentgroup:app/live"
        ]
    );
    let group = stage
        .ok(
            "GetDeploymentGroup",
            json!({"applicationName": "app", "deploymentGroupName": "live"}),
        )
        .await;
    assert_eq!(
        group["deploymentGroupInfo"]["lastSuccessfulDeployment"]["deploymentId"],
        id.as_str()
    );
}

#[tokio::test(start_paused = true)]
async fn linear_and_at_once_and_custom_shift_as_they_say() {
    let stage = Stage::new(json!({"deploymentConfigName": LINEAR})).await;
    let id = stage.deploy(json!({})).await;
    pass(10 * 60).await;
    assert_eq!(stage.status(&id).await, "Succeeded");
    let changes = stage.changes();
    let expected: Vec<_> = (1..10)
        .map(|step| {
            (
                (step - 1) * 60,
                "1".to_owned(),
                json!({"2": f64::from(u32::try_from(step).unwrap() * 10) / 100.0}),
            )
        })
        .collect();
    assert_eq!(changes[..9], expected);
    assert_eq!(changes[9], (540, "2".to_owned(), json!({})));

    let id = stage
        .deploy(json!({"revision": revision("2", "3", false), "deploymentConfigName": ALL_AT_ONCE}))
        .await;
    settle().await;
    assert_eq!(stage.status(&id).await, "Succeeded");
    assert_eq!(stage.changes()[10..], [(600, "3".to_owned(), json!({}))]);
    assert_eq!(
        stage.info(&id).await["previousRevision"]["revisionType"],
        "AppSpecContent"
    );

    let config = json!({"deploymentConfigName": "Custom.Lambda40PercentEvery2Minutes", "computePlatform": "Lambda",
        "trafficRoutingConfig": {"type": "TimeBasedLinear", "timeBasedLinear": {"linearPercentage": 40, "linearInterval": 2}}});
    stage.ok("CreateDeploymentConfig", config).await;
    stage.deploy(json!({"revision": revision("3", "4", false), "deploymentConfigName": "Custom.Lambda40PercentEvery2Minutes"})).await;
    pass(5 * 60).await;
    let weights: Vec<Value> = stage.changes()[11..]
        .iter()
        .map(|(_, _, weights)| weights.clone())
        .collect();
    assert_eq!(weights, [json!({"4": 0.4}), json!({"4": 0.8}), json!({})]);
}

#[tokio::test(start_paused = true)]
async fn an_alias_moved_by_somebody_else_fails_the_deployment_and_stays_where_it_is() {
    let stage = Stage::new(rolling_back(CANARY, &["DEPLOYMENT_FAILURE"])).await;
    let wrong = stage.deploy(json!({"revision": revision("7", "8", false)})).await;
    settle().await;
    assert_eq!(
        stage.info(&wrong).await["errorInformation"]["code"],
        "INVALID_LAMBDA_CONFIGURATION"
    );

    let id = stage.deploy(json!({})).await;
    pass(30).await;
    stage.world.lock().unwrap().alias = json!({"FunctionVersion": "9"});
    pass(11).await;
    let info = stage.info(&id).await;
    assert_eq!(
        (&info["status"], &info["errorInformation"]["code"]),
        (&json!("Failed"), &json!("INVALID_LAMBDA_CONFIGURATION"))
    );
    assert_eq!(stage.changes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn groups_deploy_one_at_a_time_each_and_beside_each_other() {
    let stage = Stage::new(json!({"deploymentConfigName": CANARY})).await;
    stage
        .group("other", json!({"deploymentConfigName": ALL_AT_ONCE}))
        .await;
    let id = stage.deploy(json!({})).await;
    let second = stage.try_deploy(json!({})).await.unwrap_err();
    assert_eq!(second.code, "DeploymentLimitExceededException");
    assert!(second.message.contains(&id));
    let other = revision("1", "2", false).to_string().replace("live", "blue");
    let beside = stage.deploy(json!({"deploymentGroupName": "other", "revision": serde_json::from_str::<Value>(&other).unwrap()})).await;
    settle().await;
    let in_group = |group: &str| json!({"applicationName": "app", "deploymentGroupName": group});
    assert_eq!(
        stage.ok("ListDeployments", in_group("other")).await["deployments"],
        json!([beside])
    );
    let mut running = in_group("live");
    running["includeOnlyStatuses"] = json!(["InProgress"]);
    assert_eq!(
        stage.ok("ListDeployments", running).await["deployments"],
        json!([id])
    );
}

#[tokio::test(start_paused = true)]
async fn who_made_it_is_written_down() {
    let stage = Stage::new(json!({})).await;
    let input = |description: &str, current: &str, target: &str| json!({"applicationName": "app", "deploymentGroupName": "live", "revision": revision(current, target, false), "description": description});
    let cloudformation = Caller::service("cloudformation.amazonaws.com");
    for (description, creator, current, target) in [
        ("CloudFormation update", "CloudFormation", "1", "2"),
        (
            "CloudFormation rollback of d-X",
            "CloudFormationRollback",
            "2",
            "1",
        ),
    ] {
        let answer = stage
            .engine
            .call(
                &cloudformation,
                "CreateDeployment",
                input(description, current, target),
            )
            .await
            .unwrap();
        settle().await;
        assert_eq!(
            stage.info(answer["deploymentId"].as_str().unwrap()).await["creator"],
            creator
        );
    }
}
