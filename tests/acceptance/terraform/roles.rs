//! What the roles that Terraform makes may do: as narrow as those of the templates.

use serde_json::{Value, json};

use super::installation::Installation;
use crate::world::World;

/// What knows no resource, or whose resource has no name before it exists.
const ON_EVERYTHING: [&str; 13] = [
    "cloudformation:ValidateTemplate",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:GetMetricData",
    "cloudwatch:GetMetricStatistics",
    "codedeploy:StopDeployment",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "lambda:CreateCodeSigningConfig",
    "logs:DescribeIndexPolicies",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
];

/// Permissions that are no operations of a service's model: of the service authorisation reference.
const NO_OPERATIONS: [&str; 8] = [
    "codebuild:BatchPutTestCases",
    "codebuild:CreateReport",
    "codebuild:UpdateReport",
    "iam:PassRole",
    "lambda:InvokeFunction",
    "s3:GetObjectVersion",
    "s3:GetObjectVersionTagging",
    "s3:ListBucket",
];

/// Every resource of a state, whichever module it is in.
fn resources(module: &Value) -> Vec<Value> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut found = list(&module["resources"]);
    for child in list(&module["child_modules"]) {
        found.extend(resources(&child));
    }
    found
}

/// One value, or a list of them.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(many) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        one => one.as_str().map(str::to_owned).into_iter().collect(),
    }
}

/// No wildcard among the actions, no resource `*` without a reason, and no action that AWS does not have.
pub(super) async fn must_be_narrow(world: &World, installation: &Installation) {
    let state = installation.terraform(&["show", "-json"]).await;
    let state: Value = serde_json::from_str(&state).unwrap();
    let policies = resources(&state["values"]["root_module"]);
    let policies: Vec<&Value> = policies
        .iter()
        .filter(|resource| resource["type"] == "aws_iam_role_policy")
        .collect();
    assert!(
        policies.len() >= 3,
        "pipeline, builds and stack have a policy each"
    );
    for policy in policies {
        let name = &policy["address"];
        let document: Value = serde_json::from_str(policy["values"]["policy"].as_str().unwrap()).unwrap();
        for statement in document["Statement"].as_array().unwrap() {
            assert_eq!(statement["Effect"], "Allow", "{name}");
            let everything = texts(&statement["Resource"]).contains(&"*".to_owned());
            let actions = texts(&statement["Action"]);
            assert!(!actions.is_empty(), "{name}: {statement}");
            for action in actions {
                assert!(
                    !everything || ON_EVERYTHING.contains(&action.as_str()),
                    "{name} allows {action} on everything"
                );
                if NO_OPERATIONS.contains(&action.as_str()) {
                    continue;
                }
                let (service, operation) = action.split_once(':').unwrap();
                let model = world.running.cloud.models().get(service).unwrap();
                assert!(
                    model.has_operation(operation),
                    "{name} allows {action}, which AWS does not have"
                );
            }
            if texts(&statement["Action"]) == ["iam:PassRole"] {
                let to = &statement["Condition"]["StringEquals"]["iam:PassedToService"];
                assert!(to != &json!(null), "{name} hands roles over to anybody");
            }
        }
    }
}
