//! Permissions: what a role may not do is refused here as in AWS, and the templates give no role more than it
//! needs.

use std::collections::BTreeSet;

use aws_credential_types::Credentials;
use aws_sdk_s3::error::ProvideErrorMetadata;
use serde_json::{Value, json};
use signalbox_bootstrap::Aws;
use signalbox_local_core::{Cloud, Engine};
use tokio::process::Command;

use crate::host;
use crate::tools::{run, with_aws};
use crate::transformed::{APPLICATION, CONTROL_PLANE, Template, list, referred};
use crate::world::World;

/// A role with these statements; answers its ARN.
pub(crate) async fn make_role(world: &World, statements: &Value) -> String {
    let name = format!("trial-{}", uuid::Uuid::new_v4().simple());
    let trust = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "Service": "lambda.amazonaws.com" }, "Action": "sts:AssumeRole" }
    ]});
    let input = json!({ "RoleName": name, "AssumeRolePolicyDocument": trust.to_string() });
    let made = world.running.call("iam", "CreateRole", input).await.unwrap();
    let document = json!({ "Version": "2012-10-17", "Statement": statements });
    let input = json!({ "RoleName": name, "PolicyName": "trial", "PolicyDocument": document.to_string() });
    world.running.call("iam", "PutRolePolicy", input).await.unwrap();
    made["Role"]["Arn"].as_str().unwrap().to_owned()
}

/// The SDK's configuration with credentials of a role, as a function has them.
fn as_role(world: &World, role: &str) -> Aws {
    let (key, secret, token) = world.running.cloud.credentials_for(role, "trial");
    let credentials = Credentials::new(key, secret, Some(token), None, "trial");
    Aws::new("us-east-1".to_owned(), credentials, Some(world.running.url()))
}

/// The state of the world's pipeline, asked for by a role: the error's code and message where it is refused.
async fn ask_state(world: &World, role: &str) -> Result<(), (String, String)> {
    let client = aws_sdk_codepipeline::Client::new(as_role(world, role).sdk());
    let asked = client
        .get_pipeline_state()
        .name(&world.installed.pipeline)
        .send()
        .await;
    let refused = |error: &dyn ProvideErrorMetadata| {
        (
            error.code().unwrap_or_default().to_owned(),
            error.message().unwrap_or_default().to_owned(),
        )
    };
    asked.map(drop).map_err(|error| refused(&error))
}

fn pipeline_arn(world: &World) -> String {
    world
        .running
        .cloud
        .account()
        .arn("codepipeline", &world.installed.pipeline)
}

fn allow(action: &str, resource: &str) -> Value {
    json!({ "Effect": "Allow", "Action": action, "Resource": resource })
}

pub(crate) async fn a_call_without_a_statement_is_denied_in_awss_words(world: &World) {
    let elsewhere = world
        .running
        .cloud
        .account()
        .arn("codepipeline", "another-pipeline");
    for statements in [
        json!([allow("codepipeline:GetPipeline", &pipeline_arn(world))]),
        json!([allow("codepipeline:GetPipelineState", &elsewhere)]),
    ] {
        let role = make_role(world, &statements).await;
        let (code, message) = ask_state(world, &role).await.unwrap_err();
        assert_eq!(code, "AccessDeniedException");
        let name = role.rsplit('/').next().unwrap();
        let expected = format!(
            "User: arn:aws:sts::123456789012:assumed-role/{name}/trial is not authorized to perform: \
             codepipeline:GetPipelineState on resource: {} because no identity-based policy allows the \
             codepipeline:GetPipelineState action",
            pipeline_arn(world)
        );
        assert_eq!(message, expected);
    }
}

pub(crate) async fn a_call_with_its_statement_is_allowed(world: &World) {
    let role = make_role(
        world,
        &json!([allow("codepipeline:GetPipelineState", &pipeline_arn(world))]),
    )
    .await;
    ask_state(world, &role).await.unwrap();
}

pub(crate) async fn an_explicit_deny_wins_over_every_allow(world: &World) {
    let deny = json!({ "Effect": "Deny", "Action": "codepipeline:GetPipelineState", "Resource": "*" });
    let allowed = allow("codepipeline:GetPipelineState", &pipeline_arn(world));
    for statements in [json!([deny, allowed]), json!([allowed, deny])] {
        let role = make_role(world, &statements).await;
        let (code, message) = ask_state(world, &role).await.unwrap_err();
        assert_eq!(code, "AccessDeniedException");
        assert!(
            message.ends_with("with an explicit deny in an identity-based policy"),
            "{message}"
        );
    }
}

pub(crate) async fn a_role_that_loses_its_policy_is_denied_at_once(world: &World) {
    let role = make_role(world, &json!([allow("codepipeline:GetPipelineState", "*")])).await;
    ask_state(world, &role).await.unwrap();
    let input = json!({ "RoleName": role.rsplit('/').next().unwrap(), "PolicyName": "trial" });
    world
        .running
        .call("iam", "DeleteRolePolicy", input)
        .await
        .unwrap();
    assert_eq!(
        ask_state(world, &role).await.unwrap_err().0,
        "AccessDeniedException"
    );
}

pub(crate) async fn a_condition_on_the_resources_account_is_honoured(world: &World) {
    let key = "trials/condition.txt";
    let stored = world
        .running
        .cloud
        .put_object(&world.installed.artifact_bucket, key, b"here".to_vec())
        .await;
    stored.unwrap();
    for (account, is_allowed) in [("123456789012", true), ("210987654321", false)] {
        let resource = format!("arn:aws:s3:::{}/*", world.installed.artifact_bucket);
        let mut statement = allow("s3:GetObject", &resource);
        statement["Condition"] = json!({ "StringEquals": { "aws:ResourceAccount": account } });
        let role = make_role(world, &json!([statement])).await;
        let aws = as_role(world, &role);
        let config = aws_sdk_s3::config::Builder::from(aws.sdk())
            .force_path_style(true)
            .build();
        let client = aws_sdk_s3::Client::from_conf(config);
        let asked = client
            .get_object()
            .bucket(&world.installed.artifact_bucket)
            .key(key)
            .send()
            .await;
        match asked {
            Ok(_) => assert!(is_allowed, "the account {account} owns no bucket here"),
            Err(error) => {
                assert!(!is_allowed, "{error:?}");
                assert_eq!(error.code(), Some("AccessDenied"));
            }
        }
    }
}

pub(crate) async fn a_condition_on_the_metrics_namespace_is_honoured(world: &World) {
    let mut statement = allow("cloudwatch:PutMetricData", "*");
    statement["Condition"] = json!({ "StringEquals": { "cloudwatch:namespace": "Signalbox" } });
    let role = make_role(world, &json!([statement])).await;
    let (key, secret, token) = world.running.cloud.credentials_for(&role, "trial");
    for (namespace, is_allowed) in [("Signalbox", true), ("Elsewhere", false)] {
        let mut command = with_aws(world, Command::new(&world.running.tools.aws));
        command
            .env("AWS_ACCESS_KEY_ID", &key)
            .env("AWS_SECRET_ACCESS_KEY", &secret)
            .env("AWS_SESSION_TOKEN", &token);
        command.args([
            "cloudwatch",
            "put-metric-data",
            "--metric-name",
            "Trials",
            "--value",
            "1",
            "--namespace",
        ]);
        let said = run(command.arg(namespace), "").await;
        assert_eq!(said.succeeded, is_allowed, "{namespace}: {}", said.err);
        assert!(
            is_allowed
                || said
                    .err
                    .contains("is not authorized to perform: cloudwatch:PutMetricData"),
            "{}",
            said.err
        );
    }
}

/// The function asks for the pipeline's state with the credentials that it finds in its environment.
const ASKING: &str = "
exports.handler = async ({ pipeline }) => {
    const key = process.env.AWS_ACCESS_KEY_ID;
    const answer = await fetch(process.env.AWS_ENDPOINT_URL, {
        method: 'POST',
        headers: {
            'content-type': 'application/x-amz-json-1.1',
            'x-amz-target': 'CodePipeline_20150709.GetPipelineState',
            authorization: `AWS4-HMAC-SHA256 Credential=${key}/20260203/us-east-1/codepipeline/aws4_request, SignedHeaders=host, Signature=0`,
        },
        body: JSON.stringify({ name: pipeline }),
    });
    return { status: answer.status, body: await answer.text() };
};
";

pub(crate) async fn a_functions_own_calls_are_checked_against_its_role(world: &World) {
    let event = json!({ "pipeline": world.installed.pipeline });
    for (action, status) in [
        ("codepipeline:GetPipelineState", 200),
        ("codepipeline:GetPipeline", 400),
    ] {
        let role = make_role(world, &json!([allow(action, &pipeline_arn(world))])).await;
        let function = host::deploy(world, ASKING, json!({ "Role": role })).await;
        let answer = host::invoke(world, &function, &event).await.payload;
        assert_eq!(answer["status"], status, "{answer}");
        let refused = answer["body"].as_str().unwrap().contains("AccessDeniedException");
        assert_eq!(refused, status == 400, "{answer}");
    }
}

pub(crate) async fn what_roles_ask_for_is_remembered(world: &World) {
    let role = make_role(
        world,
        &json!([
            allow("codepipeline:GetPipelineState", "*"),
            allow("sns:Publish", "*")
        ]),
    )
    .await;
    ask_state(world, &role).await.unwrap();
    let asked: Vec<_> = world
        .running
        .cloud
        .usage()
        .into_iter()
        .filter(|usage| usage.role == role)
        .collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(
        (asked[0].action.as_str(), asked[0].allowed, asked[0].calls),
        ("codepipeline:GetPipelineState", true, 1)
    );
    let unused = world.running.cloud.policies().unused(&role);
    assert_eq!(
        unused
            .iter()
            .map(|grant| grant.action.as_str())
            .collect::<Vec<_>>(),
        ["sns:Publish"]
    );
}

pub(crate) async fn every_function_of_the_templates_has_a_role_of_its_own(world: &World) {
    for file in [CONTROL_PLANE, APPLICATION] {
        let template = Template::load(world, file).await;
        let mut roles = BTreeSet::new();
        for (name, function) in template.functions() {
            let role =
                referred(&function["Properties"]["Role"]).unwrap_or_else(|| panic!("{name} has no role"));
            assert!(
                roles.insert(role.to_owned()),
                "{name} shares {role} with another function"
            );
            let trust = &template.resource(role)["Properties"]["AssumeRolePolicyDocument"]["Statement"];
            let statements = list(trust);
            assert_eq!(statements.len(), 1, "{role}");
            assert_eq!(
                statements[0]["Principal"],
                json!({ "Service": "lambda.amazonaws.com" }),
                "{role}"
            );
        }
    }
}

/// What AWS gives no resource type, or nothing narrower that would serve: the only actions allowed on `*`.
const ON_EVERYTHING: [(&str, &str); 9] = [
    ("xray:PutTraceSegments", "X-Ray's segments have no resource type"),
    (
        "xray:PutTelemetryRecords",
        "X-Ray's records have no resource type",
    ),
    (
        "cloudwatch:PutMetricData",
        "metrics have no resource type; the namespace is a condition",
    ),
    ("cloudwatch:GetMetricData", "metrics have no resource type"),
    (
        "cloudwatch:DescribeAlarms",
        "composite alarms are only described to who may describe all",
    ),
    ("codepipeline:PutJobSuccessResult", "jobs have no resource type"),
    ("codepipeline:PutJobFailureResult", "jobs have no resource type"),
    (
        "codedeploy:PutLifecycleEventHookExecutionStatus",
        "hooks have no resource type",
    ),
    (
        "codedeploy:StopDeployment",
        "it has no resource type; the code checks the group first",
    ),
];

/// What lets a function into a VPC: network interfaces have no ARN before they exist.
const NETWORK: &str = "ec2:";

/// Every statement of the template's policies that allows something, with the policy's logical name.
fn statements(template: &Template) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut collect = |name: &str, document: &Value| {
        for statement in list(&document["Statement"]) {
            // Statements that stand only under a condition of the template.
            let statements = match statement.get("Fn::If") {
                Some(branches) => list(branches).into_iter().skip(1).collect(),
                None => vec![statement],
            };
            let real = statements.into_iter().filter(|one| !one["Effect"].is_null());
            found.extend(real.map(|one| (name.to_owned(), one.clone())));
        }
    };
    for (name, role) in template.of_type("AWS::IAM::Role") {
        for policy in list(&role["Properties"]["Policies"]) {
            let policies = match policy.get("Fn::If") {
                Some(branches) => list(branches).into_iter().skip(1).collect(),
                None => vec![policy],
            };
            policies
                .into_iter()
                .for_each(|policy| collect(name, &policy["PolicyDocument"]));
        }
    }
    for kind in ["AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"] {
        template
            .of_type(kind)
            .for_each(|(name, policy)| collect(name, &policy["Properties"]["PolicyDocument"]));
    }
    assert!(found.len() > 2, "the scan finds nothing in {}", template.file);
    found
}

pub(crate) async fn no_action_of_the_templates_has_a_wildcard(world: &World) {
    for file in [CONTROL_PLANE, APPLICATION] {
        for (name, statement) in statements(&Template::load(world, file).await) {
            assert!(
                statement["NotAction"].is_null() && statement["NotResource"].is_null(),
                "{file}: {name}"
            );
            let actions = list(&statement["Action"]);
            assert!(
                !actions.is_empty(),
                "{file}: {name} has a statement without an action"
            );
            for action in actions {
                assert!(
                    !action.as_str().unwrap().contains('*'),
                    "{file}: {name} allows {action}"
                );
            }
        }
    }
}

pub(crate) async fn every_star_for_a_resource_is_listed_with_its_reason(world: &World) {
    let mut met = BTreeSet::new();
    for file in [CONTROL_PLANE, APPLICATION] {
        for (name, statement) in statements(&Template::load(world, file).await) {
            if !list(&statement["Resource"])
                .iter()
                .any(|resource| *resource == "*")
            {
                continue;
            }
            for action in list(&statement["Action"]).into_iter().filter_map(Value::as_str) {
                let listed =
                    ON_EVERYTHING.iter().any(|(listed, _)| *listed == action) || action.starts_with(NETWORK);
                assert!(
                    listed,
                    "{file}: {name} allows {action} on everything, and no reason is listed"
                );
                met.insert(action.to_owned());
                if action == "cloudwatch:PutMetricData" {
                    let namespace = &statement["Condition"]["StringEquals"]["cloudwatch:namespace"];
                    assert!(
                        !namespace.is_null(),
                        "{file}: {name} may put metrics of any namespace"
                    );
                }
            }
        }
    }
    let stale: Vec<_> = ON_EVERYTHING
        .iter()
        .filter(|(action, _)| !met.contains(*action))
        .collect();
    assert!(stale.is_empty(), "listed, and not in the templates: {stale:?}");
}

/// The engines' own operations by the name of the permission: an action that AWS does not have would be a typing
/// mistake that denies in production only.
pub(crate) async fn every_action_of_the_templates_exists_in_aws(world: &World) {
    for file in [CONTROL_PLANE, APPLICATION] {
        for (name, statement) in statements(&Template::load(world, file).await) {
            for action in list(&statement["Action"]).into_iter().filter_map(Value::as_str) {
                let (service, operation) = action.split_once(':').unwrap();
                let operation = match (service, operation) {
                    ("lambda", "InvokeFunction") => "Invoke",
                    // Permissions that are no operations of their own.
                    ("s3", "GetObjectVersion") => "GetObject",
                    _ => operation,
                };
                let model = world.running.cloud.models().get(service).unwrap();
                assert!(
                    model.has_operation(operation),
                    "{file}: {name} allows {action}, which AWS does not have"
                );
            }
        }
    }
    assert!(world.running.lambda.operations().contains(&"Invoke"));
}
