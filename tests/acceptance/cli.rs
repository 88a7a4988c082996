//! The real AWS CLI against the gateway: the commands that people type when they look into a pipeline.

use serde_json::{Value, json};
use tokio::process::Command;

use crate::host;
use crate::permissions::make_role;
use crate::tools::{Said, run, with_aws};
use crate::world::{World, package, until};

async fn aws(world: &World, arguments: &[&str]) -> Said {
    let mut command = with_aws(world, Command::new(&world.running.tools.aws));
    run(command.args(arguments), "").await
}

/// What a command answers as JSON.
async fn ask(world: &World, arguments: &[&str]) -> Value {
    let said = aws(world, arguments).await;
    assert!(said.succeeded, "aws {} failed: {}", arguments.join(" "), said.err);
    serde_json::from_str(&said.out)
        .unwrap_or_else(|error| panic!("aws {}: {error}: {}", arguments.join(" "), said.out))
}

/// A list of an answer, which must be there.
fn items<'a>(answer: &'a Value, name: &str) -> &'a Vec<Value> {
    answer[name]
        .as_array()
        .unwrap_or_else(|| panic!("no {name} in {answer}"))
}

fn file(directory: &tempfile::TempDir, name: &str, bytes: &[u8]) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

pub(crate) async fn a_package_copied_with_the_cli_starts_a_run_that_the_cli_shows(world: &World) {
    let directory = tempfile::tempdir().unwrap();
    let local = file(&directory, "package.zip", &package());
    let key = format!("source/develop/cli-{}.zip", uuid::Uuid::new_v4().simple());
    let target = format!("s3://{}/{key}", world.installed.source_bucket);
    let said = aws(world, &["s3", "cp", &local, &target, "--only-show-errors"]).await;
    assert!(said.succeeded, "{}", said.err);
    let listed = aws(
        world,
        &[
            "s3",
            "ls",
            &format!("s3://{}/source/develop/", world.installed.source_bucket),
        ],
    )
    .await;
    assert!(
        listed.out.contains(key.rsplit('/').next().unwrap()),
        "{}",
        listed.out
    );
    let back = directory.path().join("back.zip");
    let said = aws(
        world,
        &["s3", "cp", &target, back.to_str().unwrap(), "--only-show-errors"],
    )
    .await;
    assert!(said.succeeded, "{}", said.err);
    assert_eq!(std::fs::read(back).unwrap(), std::fs::read(local).unwrap());

    let head = [
        "s3api",
        "head-object",
        "--bucket",
        &world.installed.source_bucket,
        "--key",
        &key,
    ];
    let version = ask(world, &head).await["VersionId"].as_str().unwrap().to_owned();
    let run = world.run_of(&version).await;
    let pipeline = world.installed.pipeline.as_str();
    let command = [
        "codepipeline",
        "get-pipeline-execution",
        "--pipeline-name",
        pipeline,
        "--pipeline-execution-id",
        &run,
    ];
    assert_eq!(
        ask(world, &command).await["pipelineExecution"]["pipelineExecutionId"],
        run.as_str()
    );
    let actions = until("the run's approval", async || {
        let filter = format!("pipelineExecutionId={run}");
        let command = [
            "codepipeline",
            "list-action-executions",
            "--pipeline-name",
            pipeline,
            "--filter",
            &filter,
        ];
        let answer = ask(world, &command).await;
        let is_waiting =
            |action: &Value| action["actionName"] == "Approve" && action["status"] == "InProgress";
        items(&answer, "actionExecutionDetails")
            .iter()
            .any(is_waiting)
            .then_some(answer)
    });
    let actions = actions.await;
    assert_eq!(items(&actions, "actionExecutionDetails").len(), 2, "{actions}");
    let command = [
        "codepipeline",
        "list-action-executions",
        "--pipeline-name",
        pipeline,
        "--max-results",
        "10",
    ];
    assert!(!items(&ask(world, &command).await, "actionExecutionDetails").is_empty());
}

pub(crate) async fn the_cli_shows_the_pipeline_and_its_state(world: &World) {
    let pipelines = ask(world, &["codepipeline", "list-pipelines"]).await;
    let is_ours = |pipeline: &Value| pipeline["name"] == world.installed.pipeline.as_str();
    assert!(items(&pipelines, "pipelines").iter().any(is_ours), "{pipelines}");
    let state = ask(
        world,
        &[
            "codepipeline",
            "get-pipeline-state",
            "--name",
            "lambda-function-staging-pipeline",
        ],
    )
    .await;
    let stages: Vec<_> = items(&state, "stageStates")
        .iter()
        .map(|stage| stage["stageName"].clone())
        .collect();
    assert_eq!(stages, ["Source", "Approval"]);
}

pub(crate) async fn the_cli_says_what_aws_refuses(world: &World) {
    for (arguments, code) in [
        (
            &["codepipeline", "get-pipeline-state", "--name", "absent"][..],
            "PipelineNotFoundException",
        ),
        (
            &["deploy", "get-deployment", "--deployment-id", "d-ABSENT123"],
            "DeploymentDoesNotExistException",
        ),
        (
            &["lambda", "get-function", "--function-name", "absent"],
            "ResourceNotFoundException",
        ),
        (
            &["cloudformation", "describe-stacks", "--stack-name", "absent"],
            "ValidationError",
        ),
        (
            &["events", "describe-rule", "--name", "absent"],
            "ResourceNotFoundException",
        ),
        (
            &["s3api", "head-object", "--bucket", "absent", "--key", "absent"],
            "404",
        ),
    ] {
        let said = aws(world, arguments).await;
        assert!(
            !said.succeeded && said.err.contains(&format!("({code})")),
            "aws {arguments:?} says {}",
            said.err
        );
    }
}

pub(crate) async fn the_cli_invokes_a_function_and_finds_its_logs(world: &World) {
    let code = "exports.handler = async (event) => { console.log('got', event.action); return { made: event.data.name }; };";
    let function = host::deploy(world, code, json!({})).await;
    let directory = tempfile::tempdir().unwrap();
    let response = directory.path().join("response.json");
    let payload = r#"{"action":"create","data":{"name":"test"}}"#;
    let command = [
        "lambda",
        "invoke",
        "--function-name",
        &function,
        "--payload",
        payload,
        response.to_str().unwrap(),
    ];
    let answer = ask(world, &command).await;
    assert_eq!(
        (&answer["StatusCode"], &answer["ExecutedVersion"]),
        (&json!(200), &json!("$LATEST"))
    );
    assert_eq!(std::fs::read_to_string(&response).unwrap(), r#"{"made":"test"}"#);
    let group = format!("/aws/lambda/{function}");
    let an_hour_ago = (jiff::Timestamp::now().as_millisecond() - 3_600_000).to_string();
    let command = [
        "logs",
        "filter-log-events",
        "--log-group-name",
        &group,
        "--start-time",
        &an_hour_ago,
    ];
    let found = until("the log", async || {
        let said = aws(world, &command).await;
        said.out.contains("got create").then_some(said)
    });
    assert!(found.await.out.contains("REPORT RequestId"));
}

pub(crate) async fn the_cli_makes_and_lists_deployment_configurations(world: &World) {
    let name = format!(
        "Custom.Lambda5PercentEvery2Minutes-{}",
        uuid::Uuid::new_v4().simple()
    );
    let routing = "type=TimeBasedCanary,timeBasedCanary={canaryPercentage=5,canaryInterval=2}";
    let command = [
        "deploy",
        "create-deployment-config",
        "--deployment-config-name",
        &name,
    ];
    let command = [
        &command[..],
        &[
            "--compute-platform",
            "Lambda",
            "--traffic-routing-config",
            routing,
        ],
    ]
    .concat();
    assert!(ask(world, &command).await["deploymentConfigId"].is_string());
    let listed = ask(world, &["deploy", "list-deployment-configs"]).await;
    let configs = items(&listed, "deploymentConfigsList");
    for expected in [
        name.as_str(),
        "CodeDeployDefault.LambdaCanary10Percent5Minutes",
        "CodeDeployDefault.LambdaAllAtOnce",
    ] {
        assert!(
            configs.iter().any(|config| config == expected),
            "no {expected} in {configs:?}"
        );
    }
}

pub(crate) async fn the_cli_shows_stacks_rules_and_alarms(world: &World) {
    let stack = format!("signalbox-{}", world.installed.environment);
    let described = ask(
        world,
        &["cloudformation", "describe-stacks", "--stack-name", &stack],
    )
    .await;
    assert_eq!(items(&described, "Stacks")[0]["StackStatus"], "CREATE_COMPLETE");
    let command = [
        "cloudformation",
        "list-stacks",
        "--stack-status-filter",
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
    ];
    let listed = ask(world, &command).await;
    assert!(
        items(&listed, "StackSummaries")
            .iter()
            .any(|one| one["StackName"] == stack.as_str()),
        "{listed}"
    );
    let events = ask(
        world,
        &["cloudformation", "describe-stack-events", "--stack-name", &stack],
    )
    .await;
    assert!(items(&events, "StackEvents").len() > 20);
    let rules = ask(
        world,
        &["events", "list-rules", "--name-prefix", &format!("{stack}-")],
    )
    .await;
    assert!(items(&rules, "Rules").len() >= 5, "{rules}");
    let name = format!("cli-{}", uuid::Uuid::new_v4().simple());
    let command = [
        "cloudwatch",
        "put-metric-alarm",
        "--alarm-name",
        &name,
        "--namespace",
        "AWS/Lambda",
        "--metric-name",
        "Errors",
        "--statistic",
        "Sum",
        "--period",
        "60",
        "--evaluation-periods",
        "1",
        "--threshold",
        "1",
        "--comparison-operator",
        "GreaterThanOrEqualToThreshold",
        "--dimensions",
        "Name=FunctionName,Value=absent",
    ];
    let said = aws(world, &command).await;
    assert!(said.succeeded, "{}", said.err);
    let alarms = ask(world, &["cloudwatch", "describe-alarms", "--alarm-names", &name]).await;
    assert_eq!(
        items(&alarms, "MetricAlarms")[0]["Dimensions"],
        json!([{ "Name": "FunctionName", "Value": "absent" }])
    );
}

pub(crate) async fn the_cli_builds_and_finds_the_builds_log(world: &World) {
    let project = format!("cli-{}", uuid::Uuid::new_v4().simple());
    let logs = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"];
    let role = make_role(
        world,
        &json!([{ "Effect": "Allow", "Action": logs, "Resource": "*" }]),
    )
    .await;
    let buildspec = "{version: 0.2, phases: {build: {commands: ['echo built it']}}}";
    let source = json!({ "type": "NO_SOURCE", "buildspec": buildspec }).to_string();
    let environment = json!({
        "type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0", "computeType": "BUILD_GENERAL1_SMALL",
    });
    let command = [
        "codebuild",
        "create-project",
        "--name",
        &project,
        "--source",
        &source,
        "--artifacts",
    ];
    let environment = environment.to_string();
    let more = [
        "type=NO_ARTIFACTS",
        "--environment",
        &environment,
        "--service-role",
        &role,
    ];
    ask(world, &[&command[..], &more].concat()).await;
    let projects = ask(world, &["codebuild", "list-projects", "--sort-by", "NAME"]).await;
    assert!(
        items(&projects, "projects").contains(&json!(project)),
        "{projects}"
    );
    let started = ask(world, &["codebuild", "start-build", "--project-name", &project]).await;
    let id = started["build"]["id"].as_str().unwrap();
    let build = until("the build's end", async || {
        let answer = ask(world, &["codebuild", "batch-get-builds", "--ids", id]).await;
        let build = items(&answer, "builds")[0].clone();
        (build["buildComplete"] == true).then_some(build)
    });
    let build = build.await;
    assert_eq!(build["buildStatus"], "SUCCEEDED", "{build}");
    let group = format!("/aws/codebuild/{project}");
    let streams = until("the build's log", async || {
        let said = aws(
            world,
            &["logs", "describe-log-streams", "--log-group-name", &group],
        )
        .await;
        said.succeeded
            .then(|| serde_json::from_str::<Value>(&said.out).unwrap())
    });
    assert_eq!(items(&streams.await, "logStreams").len(), 1);
    until("the log's line", async || {
        let said = aws(world, &["logs", "filter-log-events", "--log-group-name", &group]).await;
        said.out.contains("built it").then_some(())
    })
    .await;
}

pub(crate) async fn the_cli_reads_a_buckets_policy(world: &World) {
    // A bucket of its own: while the policy stands, nobody else may write without TLS.
    let bucket = "policy-of-the-cli";
    let said = aws(world, &["s3api", "create-bucket", "--bucket", bucket]).await;
    assert!(said.succeeded, "{}", said.err);
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Sid": "Tls", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
        "Resource": format!("arn:aws:s3:::{bucket}/*"), "Condition": { "Bool": { "aws:SecureTransport": "false" } },
    }]});
    let said = aws(
        world,
        &[
            "s3api",
            "put-bucket-policy",
            "--bucket",
            bucket,
            "--policy",
            &policy.to_string(),
        ],
    )
    .await;
    assert!(said.succeeded, "{}", said.err);
    let read = ask(world, &["s3api", "get-bucket-policy", "--bucket", bucket]).await;
    assert_eq!(
        serde_json::from_str::<Value>(read["Policy"].as_str().unwrap()).unwrap(),
        policy
    );
    let said = aws(world, &["s3api", "delete-bucket-policy", "--bucket", bucket]).await;
    assert!(said.succeeded, "{}", said.err);
}
