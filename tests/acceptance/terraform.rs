//! `infrastructure/` by the real Terraform with the real AWS provider, each environment in a local cloud of
//! its own: applied, found unchanged, used, and taken out again.

mod declared;
mod installation;
mod roles;

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use serde_json::{Value, json};
use signalbox_local::sample::{self, Behaviour};
use tokio::time::{sleep, timeout};

use crate::world::{TEAM, World};
use installation::Installation;

/// A whole run, with a build that may have to fetch its tools.
const PATIENCE: Duration = Duration::from_secs(1200);

/// A second pipeline in the same account and environment, with all that is optional.
const SECOND: &str = r#"
module "orders" {
  source = "./modules/pipeline"

  environment            = var.environment
  function_name          = "orders-${var.environment}"
  control_plane_name     = "orders"
  branch                 = "main"
  approval               = false
  deployment_config      = "Lambda5PercentEvery2Minutes"
  runtime                = var.runtime
  create_vpc             = true
  code_signing           = true
  force_destroy          = true
  control_plane_template = "${path.root}/../template.yaml"
  functions_directory    = "${path.root}/../target/lambda"

  custom_deployment_configs = {
    Lambda5PercentEvery2Minutes = { type = "TimeBasedLinear", percentage = 5, interval = 2 }
  }
}
"#;

pub(crate) async fn staging_is_installed_runs_an_upload_and_is_taken_out_again(world: &World) {
    let installation = Installation::prepare(world, "staging", "").await;
    let outputs = installation.apply().await;
    declared::must_be_the_demos(&installation, &outputs).await;
    run_an_upload(&installation, &outputs).await;
    // As docs/install.md says: the application is the pipeline's, not Terraform's.
    let stack = outputs["application_stack"]["value"].as_str().unwrap();
    delete_stack(&installation, stack).await;
    installation.destroy().await;
    must_be_empty(&installation, &["signalbox-staging-ledger"]).await;
    installation.running.stop().await;
}

pub(crate) async fn production_is_installed_beside_a_second_pipeline_and_is_taken_out_again(world: &World) {
    let installation = Installation::prepare(world, "production", SECOND).await;
    mistakes_must_be_refused(&installation).await;
    let outputs = installation.apply().await;
    declared::must_be_the_demos(&installation, &outputs).await;
    must_have_the_options(&installation).await;
    an_upgrade_must_replace_nothing(&installation).await;
    roles::must_be_narrow(world, &installation).await;
    installation.destroy().await;
    must_be_empty(
        &installation,
        &["orders-production-ledger", "signalbox-production-ledger"],
    )
    .await;
    installation.running.stop().await;
}

/// What cannot be is said in the plan, before anything is made, and with what would be right.
async fn mistakes_must_be_refused(installation: &Installation) {
    let mistakes = [
        ("environment=qa", "The environment is staging or production"),
        (
            "function_name=my_function",
            "At most 36 letters, digits and hyphens, a letter first",
        ),
        ("timeout_in_minutes=4", "5 to 86400 minutes"),
        ("compute_type=SMALL", "such as BUILD_GENERAL1_SMALL"),
        ("approvers=[\"ann\"]", "Each approver is an e-mail address"),
        (
            "vpc_subnet_ids=[\"subnet-1\"]",
            "Subnets and security groups are needed together",
        ),
        (
            "functions_directory=nowhere",
            "run `cargo package-functions` first",
        ),
    ];
    for (mistake, told) in mistakes {
        let said = installation
            .try_terraform(&["plan", "-input=false", "-var", mistake])
            .await;
        assert!(!said.succeeded, "{mistake} is taken");
        let text = words(&said.err);
        assert!(text.contains(told), "{mistake}: {}", said.err);
    }
    // Another environment's workspace.
    installation.terraform(&["workspace", "new", "staging"]).await;
    let said = installation.try_terraform(&["plan", "-input=false"]).await;
    assert!(!said.succeeded);
    let told = "terraform workspace select -or-create production";
    assert!(words(&said.err).contains(told), "{}", said.err);
    installation.terraform(&["workspace", "select", "default"]).await;
    installation.terraform(&["workspace", "delete", "staging"]).await;
}

/// What Terraform says as one line: it breaks lines, and draws a bar beside them.
fn words(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| *word != "│");
    words.collect::<Vec<_>>().join(" ")
}

/// Uploads the sample, and follows its run to a good end.
async fn run_an_upload(installation: &Installation, outputs: &Value) {
    let package = sample::package(&installation.running.paths.project, "2.0.0", Behaviour::Good).unwrap();
    let bucket = outputs["source_bucket"]["value"].as_str().unwrap();
    let upload = installation.running.s3().put_object().bucket(bucket);
    let upload = upload
        .key("source/develop/package.zip")
        .body(ByteStream::from(package));
    upload.send().await.unwrap();
    let name = &outputs["pipeline_name"]["value"];
    let followed = timeout(PATIENCE, async {
        loop {
            let input = json!({ "pipelineName": name });
            let runs = installation
                .ask("codepipeline", "ListPipelineExecutions", input)
                .await;
            match runs["pipelineExecutionSummaries"][0]["status"].as_str() {
                Some("InProgress") | None => sleep(Duration::from_millis(200)).await,
                Some(status) => return status.to_owned(),
            }
        }
    });
    let status = followed.await.expect("the run did not end in time");
    let input = json!({ "name": name });
    let state = installation.ask("codepipeline", "GetPipelineState", input).await;
    assert_eq!(
        status,
        "Succeeded",
        "the logs are in {}: {state:#}",
        installation.running.logs.display()
    );
    // The control plane has seen it, and Terraform's subscription tells people.
    let told = installation.running.cloud.inbox();
    let told = told.wait_for(|mail| mail.to == TEAM && mail.topic.ends_with(":signalbox-staging-notices"));
    let told = timeout(PATIENCE, told).await;
    told.expect("nobody is told of the run");
}

/// Deletes a stack, as a person would.
async fn delete_stack(installation: &Installation, stack: &str) {
    installation
        .ask("cloudformation", "DeleteStack", json!({ "StackName": stack }))
        .await;
    let deleted = timeout(PATIENCE, async {
        while stacks(installation).await.iter().any(|name| name == stack) {
            sleep(Duration::from_millis(100)).await;
        }
    });
    deleted.await.expect("the application's stack is still there");
}

/// The names of the stacks that stand.
async fn stacks(installation: &Installation) -> Vec<String> {
    let answer = installation
        .ask("cloudformation", "DescribeStacks", json!({}))
        .await;
    names(&answer["Stacks"], "StackName")
}

/// A member of each of a list's objects, or the texts of a list.
fn names(list: &Value, member: &str) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items
        .filter_map(|item| item.as_str().or(item[member].as_str()))
        .map(str::to_owned)
        .collect()
}

/// The second pipeline has its own network, deployment configuration and signing.
async fn must_have_the_options(installation: &Installation) {
    let input = json!({ "name": "orders-production-pipeline" });
    let got = installation.ask("codepipeline", "GetPipeline", input).await;
    let deploy = &got["pipeline"]["stages"][2]["actions"][0]["configuration"];
    let overrides: Value = serde_json::from_str(deploy["ParameterOverrides"].as_str().unwrap()).unwrap();
    let text = |name: &str| overrides[name].as_str().unwrap_or_default().to_owned();
    assert!(text("VpcSubnetIds").starts_with("subnet-"), "{overrides}");
    assert!(text("VpcSecurityGroupIds").starts_with("sg-"), "{overrides}");
    assert!(
        text("SigningProfileVersionArn").contains("/orders_production_"),
        "{overrides}"
    );
    let hook = "CodeDeployHook_orders-production-before-traffic";
    assert_eq!(text("BeforeAllowTrafficHook"), hook);
    installation
        .ask("lambda", "GetFunction", json!({ "FunctionName": hook }))
        .await;
    // It has no stage Release, though it is production.
    let input = json!({ "FunctionName": "orders-production-roll-back" });
    let function = installation
        .ask("lambda", "GetFunctionConfiguration", input)
        .await;
    assert_eq!(function["Environment"]["Variables"]["RELEASE_STAGE"], "Deploy");
    let config = text("DeploymentConfigName");
    assert_eq!(config, "orders-production.Lambda5PercentEvery2Minutes");
    let input = json!({ "deploymentConfigName": config });
    let config = installation.ask("codedeploy", "GetDeploymentConfig", input).await;
    assert_eq!(
        config["deploymentConfigInfo"]["trafficRoutingConfig"],
        json!({ "type": "TimeBasedLinear", "timeBasedLinear": { "linearPercentage": 5, "linearInterval": 2 } })
    );
}

/// While the control plane's stack changes, what it answers is unknown: whatever is made anew for that is gone for a
/// while, and a subscription until each person has confirmed it again.
async fn an_upgrade_must_replace_nothing(installation: &Installation) {
    let change = "control_plane_parameters={BakeMinutes=61}";
    let plan = ["plan", "-input=false", "-out=upgrade.tfplan", "-var", change];
    installation.terraform(&plan).await;
    let plan = installation.terraform(&["show", "-json", "upgrade.tfplan"]).await;
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let planned: Vec<(&str, Vec<String>)> = plan["resource_changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            let address = change["address"].as_str().unwrap();
            (address, names(&change["change"]["actions"], ""))
        })
        .collect();
    let stack = planned
        .iter()
        .find(|(address, _)| *address == "module.pipeline.aws_cloudformation_stack.control_plane");
    assert!(
        stack.is_some_and(|(_, actions)| actions == &["update"]),
        "{planned:#?}"
    );
    let replaced = planned
        .iter()
        .filter(|(_, actions)| actions.iter().any(|action| action == "delete"));
    let replaced: Vec<_> = replaced.collect();
    assert!(replaced.is_empty(), "{replaced:#?}");
}

/// Nothing is left but the tables that are kept.
async fn must_be_empty(installation: &Installation, tables: &[&str]) {
    assert_eq!(stacks(installation).await, Vec::<String>::new(), "stacks");
    let questions = [
        ("codepipeline", "ListPipelines", "pipelines", "name"),
        ("codebuild", "ListProjects", "projects", ""),
        ("codedeploy", "ListApplications", "applications", ""),
        ("lambda", "ListFunctions", "Functions", "FunctionName"),
        ("events", "ListRules", "Rules", "Name"),
        ("cloudwatch", "DescribeAlarms", "MetricAlarms", "AlarmName"),
        ("logs", "DescribeLogGroups", "logGroups", "logGroupName"),
        ("iam", "ListRoles", "Roles", "RoleName"),
        ("sns", "ListTopics", "Topics", "TopicArn"),
        ("sns", "ListSubscriptions", "Subscriptions", "SubscriptionArn"),
        ("sqs", "ListQueues", "QueueUrls", ""),
        ("secretsmanager", "ListSecrets", "SecretList", "Name"),
        ("ssm", "DescribeParameters", "Parameters", "Name"),
    ];
    for (service, operation, list, member) in questions {
        let answer = installation.ask(service, operation, json!({})).await;
        let left = names(&answer[list], member);
        assert_eq!(left, Vec::<String>::new(), "{service} {operation}");
    }
    let configs = installation
        .ask("codedeploy", "ListDeploymentConfigs", json!({}))
        .await;
    let configs = names(&configs["deploymentConfigsList"], "");
    assert!(
        configs.iter().all(|name| name.starts_with("CodeDeployDefault.")),
        "{configs:?}"
    );
    let buckets = installation.running.s3().list_buckets().send().await.unwrap();
    assert_eq!(buckets.buckets(), []);
    let left = installation.ask("dynamodb", "ListTables", json!({})).await;
    let mut left = names(&left["TableNames"], "");
    left.sort();
    assert_eq!(left, tables);
}
