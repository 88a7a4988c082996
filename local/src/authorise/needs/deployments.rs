//! CodeDeploy: resources are deployment groups, which most inputs name only by a deployment's id.

use serde_json::{Value, json};
use signalbox_local_core::Caller;

use super::{Call, Needed};
use crate::cloud::LocalCloud;

/// Asks the engine, which holds what the input refers to.
async fn ask(cloud: &LocalCloud, operation: &str, input: Value) -> Value {
    match cloud.engine("codedeploy") {
        // What the engine does not know, the call itself will be told.
        Some(engine) => engine
            .call(&Caller::Admin, operation, input)
            .await
            .unwrap_or(Value::Null),
        None => Value::Null,
    }
}

fn group_of(call: &Call<'_>, deployment: &Value) -> Option<String> {
    let application = deployment["applicationName"].as_str()?;
    let group = deployment["deploymentGroupName"].as_str()?;
    Some(call.arn(&format!("deploymentgroup:{application}/{group}")))
}

pub(super) async fn needed(cloud: &LocalCloud, call: &Call<'_>) -> Vec<Needed> {
    let application = call
        .text("applicationName")
        .map(|name| call.arn(&format!("application:{name}")));
    let group = call
        .text("deploymentGroupName")
        .or_else(|| call.text("currentDeploymentGroupName"));
    let named = call.text("applicationName").zip(group);
    let named = named.map(|(app, group)| call.arn(&format!("deploymentgroup:{app}/{group}")));
    let config = |name: &str| call.arn(&format!("deploymentconfig:{name}"));
    let resource = match call.operation {
        "GetDeployment" | "GetDeploymentTarget" | "ListDeploymentTargets" | "BatchGetDeploymentTargets" => {
            let id = call.text("deploymentId").unwrap_or_default();
            let answer = ask(cloud, "GetDeployment", json!({"deploymentId": id})).await;
            group_of(call, &answer["deploymentInfo"])
        }
        "BatchGetDeployments" => {
            let mut groups = Vec::new();
            for id in call.texts("deploymentIds") {
                let answer = ask(cloud, "GetDeployment", json!({"deploymentId": id})).await;
                groups.extend(group_of(call, &answer["deploymentInfo"]));
            }
            groups.sort_unstable();
            groups.dedup();
            return call.own(groups);
        }
        "BatchGetDeploymentGroups" => {
            let app = call.text("applicationName").unwrap_or_default();
            let groups = call.texts("deploymentGroupNames").into_iter();
            return call.own(
                groups
                    .map(|group| call.arn(&format!("deploymentgroup:{app}/{group}")))
                    .collect(),
            );
        }
        "CreateDeployment" => return create_deployment(cloud, call, named, application).await,
        "CreateDeploymentConfig" | "GetDeploymentConfig" | "DeleteDeploymentConfig" => {
            call.text("deploymentConfigName").map(config)
        }
        // No resource type.
        "StopDeployment"
        | "ContinueDeployment"
        | "PutLifecycleEventHookExecutionStatus"
        | "ListApplications"
        | "ListDeploymentConfigs" => None,
        _ => named.or(application),
    };
    call.own(resource.into_iter().collect())
}

/// Creating a deployment registers its revision and reads the configuration, with the caller's
/// permissions (CodeDeploy API permissions reference).
async fn create_deployment(
    cloud: &LocalCloud,
    call: &Call<'_>,
    group: Option<String>,
    application: Option<String>,
) -> Vec<Needed> {
    let mut all = call.own(group.into_iter().collect());
    let config = match call.text("deploymentConfigName") {
        Some(name) => Some(name.to_owned()),
        None => {
            let input = json!({
                "applicationName": call.input["applicationName"],
                "deploymentGroupName": call.input["deploymentGroupName"],
            });
            let answer = ask(cloud, "GetDeploymentGroup", input).await;
            answer["deploymentGroupInfo"]["deploymentConfigName"]
                .as_str()
                .map(str::to_owned)
        }
    };
    if let Some(config) = config {
        let resource = call.arn(&format!("deploymentconfig:{config}"));
        all.push(Needed::new(&call.action("GetDeploymentConfig"), &resource));
    }
    if let Some(application) = application {
        for action in ["GetApplicationRevision", "RegisterApplicationRevision"] {
            all.push(Needed::new(&call.action(action), &application));
        }
    }
    all
}
