//! Each way of shifting traffic, driven once: as configured, to its end.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::rollback_cloud::{SCALE, cloud};
use crate::rollback_group::Group;
use crate::world::{World, until};

/// A deployment's course.
struct Course {
    /// Every share of the new version, in percent, that was seen on the way: under load, not all are.
    shares: BTreeSet<u64>,
    /// How long it took, in the minutes of its configuration.
    minutes: f64,
}

impl Course {
    /// No other shares than these were seen.
    fn has_only(&self, shares: impl IntoIterator<Item = u64>) -> bool {
        self.shares.is_subset(&shares.into_iter().collect())
    }
}

/// Deploys version 2 in this way.
async fn course(world: &World, config: &str) -> Course {
    let cloud = cloud(world).await;
    let group = Group::new(&cloud).await;
    let id = group.deploy(1, 2, config, json!({})).await;
    let mut shares = BTreeSet::new();
    until("the deployment's end", async || {
        let (version, weights) = group.alias().await;
        if let Some(share) = weights.get("2").and_then(Value::as_f64) {
            assert_eq!(version, "1");
            shares.insert(format!("{:.0}", share * 100.0).parse().unwrap());
        }
        match group.status(&id).await.as_str() {
            "Succeeded" => Some(()),
            status => {
                assert!(["Created", "InProgress"].contains(&status), "{status}");
                None
            }
        }
    })
    .await;
    assert_eq!(group.alias().await, ("2".to_owned(), Value::Null));
    let input = json!({ "deploymentId": id });
    let answer = cloud.call("codedeploy", "GetDeployment", input).await;
    let at = |member: &str| answer["deploymentInfo"][member].as_f64().unwrap();
    Course {
        shares,
        minutes: (at("completeTime") - at("createTime")) * SCALE / 60.0,
    }
}

pub(crate) async fn all_at_once_moves_everything_in_one_step(world: &World) {
    let course = course(world, "CodeDeployDefault.LambdaAllAtOnce").await;
    assert!(course.has_only([]), "{:?}", course.shares);
}

pub(crate) async fn a_canary_waits_with_a_tenth(world: &World) {
    let course = course(world, "CodeDeployDefault.LambdaCanary10Percent5Minutes").await;
    assert!(course.has_only([10]), "{:?}", course.shares);
    assert!(course.minutes >= 5.0, "{} minutes", course.minutes);
}

pub(crate) async fn a_linear_shift_goes_in_equal_steps(world: &World) {
    let course = course(world, "CodeDeployDefault.LambdaLinear10PercentEvery1Minute").await;
    assert!(course.has_only((10..100).step_by(10)), "{:?}", course.shares);
    assert!(course.minutes >= 9.0, "{} minutes", course.minutes);
}

pub(crate) async fn a_custom_configuration_shifts_as_it_says(world: &World) {
    let config = "Custom.Lambda5PercentEvery2Minutes";
    let input = json!({
        "deploymentConfigName": config, "computePlatform": "Lambda",
        "trafficRoutingConfig": {
            "type": "TimeBasedLinear",
            "timeBasedLinear": { "linearPercentage": 5, "linearInterval": 2 },
        },
    });
    cloud(world)
        .await
        .call("codedeploy", "CreateDeploymentConfig", input)
        .await;
    let course = course(world, config).await;
    assert!(
        course.shares.len() >= 2 && course.has_only((5..100).step_by(5)),
        "{:?}",
        course.shares
    );
    assert!(course.minutes >= 38.0, "{} minutes", course.minutes);
}

pub(crate) async fn a_linear_shift_that_fails_goes_back_at_once(world: &World) {
    let cloud = cloud(world).await;
    let group = Group::new(&cloud).await;
    let config = "CodeDeployDefault.LambdaLinear10PercentEvery10Minutes";
    let bad = group.deploy(1, 2, config, json!({})).await;
    until("the second step", async || {
        let (_, weights) = group.alias().await;
        let share = weights.get("2").and_then(Value::as_f64)?;
        (share > 0.15).then_some(())
    })
    .await;
    group.alarm().await;
    group.until_status(&bad, "Stopped").await;
    group.until_alias("1").await;
}
