//! The pipeline around the application, and the application's first version.

use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Cloud};

use super::{InstallError, Installed, call, create_stack, read};
use crate::running::Running;
use crate::sample::{self, Behaviour};

/// The runtime of the sample: what this machine's own Node.js can run.
const RUNTIME: &str = "nodejs20.x";

pub(super) async fn make_pipeline(running: &Running, installed: &Installed) -> Result<(), InstallError> {
    let pipeline_role = make_role(
        running,
        installed,
        "pipeline",
        "codepipeline.amazonaws.com",
        json!([]),
    )
    .await?;
    let stack_role = make_role(
        running,
        installed,
        "stack",
        "cloudformation.amazonaws.com",
        json!([]),
    )
    .await?;
    let build_role = make_role(
        running,
        installed,
        "build",
        "codebuild.amazonaws.com",
        build_policy(running, installed),
    )
    .await?;
    let key = make_key(running, installed).await?;
    let fill = |text: &str| {
        [
            ("${ArtifactKeyArn}", key.as_str()),
            ("${Environment}", installed.environment.as_str()),
            ("${PipelineName}", &installed.pipeline),
            ("${SourceBucket}", &installed.source_bucket),
            ("${SourceObjectKey}", &source_key(&installed.environment)),
            ("${ArtifactBucket}", &installed.artifact_bucket),
            ("${PipelineRoleArn}", &pipeline_role),
            ("${BuildRoleArn}", &build_role),
            ("${CloudFormationRoleArn}", &stack_role),
            ("${Runtime}", RUNTIME),
            ("${AlertTopicArn}", &installed.alert_topic),
            (
                "${DeploymentConfigName}",
                deployment_config(&installed.environment),
            ),
        ]
        .iter()
        .fold(text.to_owned(), |text, (token, value)| text.replace(token, value))
    };
    make_deployment_application(running, installed).await?;
    for (service, operation, file) in [
        ("codebuild", "CreateProject", "build.json".to_owned()),
        ("codebuild", "CreateProject", "integration-test.json".to_owned()),
        (
            "codepipeline",
            "CreatePipeline",
            format!("{}.json", installed.environment),
        ),
    ] {
        let file = format!("templates/pipeline/{file}");
        let text = fill(&read(&running.paths.project, &file)?);
        let input = serde_json::from_str(&text).map_err(|error| InstallError::Malformed {
            file,
            problem: error.to_string(),
        })?;
        call(running, service, operation, input).await?;
    }
    Ok(())
}

/// Makes the CodeDeploy application that the application's stack adds its deployment group to. It belongs to the
/// pipeline and outlives the stack.
///
/// # Errors
/// Where CodeDeploy refuses it, as for an application of that name that exists.
pub async fn make_deployment_application(
    running: &Running,
    installed: &Installed,
) -> Result<(), InstallError> {
    let application = json!({ "applicationName": installed.function, "computePlatform": "Lambda" });
    call(running, "codedeploy", "CreateApplication", application)
        .await
        .map(drop)
}

/// The key that a developer of the environment's own branch uploads to.
#[must_use]
pub fn source_key(environment: &str) -> String {
    let branch = if environment == "production" {
        "main"
    } else {
        "develop"
    };
    format!("source/{branch}/lambda-function.zip")
}

fn deployment_config(environment: &str) -> &'static str {
    if environment == "production" {
        "CodeDeployDefault.LambdaCanary10Percent5Minutes"
    } else {
        "CodeDeployDefault.LambdaAllAtOnce"
    }
}

async fn make_role(
    running: &Running,
    installed: &Installed,
    purpose: &str,
    principal: &str,
    statements: Value,
) -> Result<String, InstallError> {
    let name = format!("{}-{purpose}", installed.function);
    let trust = json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Principal": { "Service": principal }, "Action": "sts:AssumeRole" }],
    });
    let input = json!({ "RoleName": name, "AssumeRolePolicyDocument": trust.to_string() });
    call(running, "iam", "CreateRole", input).await?;
    if statements
        .as_array()
        .is_some_and(|statements| !statements.is_empty())
    {
        let document = json!({ "Version": "2012-10-17", "Statement": statements });
        let input =
            json!({ "RoleName": name, "PolicyName": purpose, "PolicyDocument": document.to_string() });
        call(running, "iam", "PutRolePolicy", input).await?;
    }
    Ok(format!("arn:aws:iam::{}:role/{name}", running.cloud.account().id))
}

/// The key of the artifacts.
async fn make_key(running: &Running, installed: &Installed) -> Result<String, InstallError> {
    let input = json!({ "Description": format!("Artifacts of {}", installed.pipeline) });
    let answer = call(running, "kms", "CreateKey", input).await?;
    let arn = answer.pointer("/KeyMetadata/Arn").and_then(Value::as_str);
    arn.map(str::to_owned).ok_or_else(|| InstallError::Refused {
        what: "kms CreateKey".to_owned(),
        error: AwsError::internal("the answer names no key"),
    })
}

/// What a build may do: keep its artifacts, and call and read what it tests.
fn build_policy(running: &Running, installed: &Installed) -> Value {
    let account = running.cloud.account();
    let bucket = format!("arn:aws:s3:::{}", installed.artifact_bucket);
    let function = account.arn("lambda", &format!("function:{}", installed.function));
    let logs = account.arn("logs", &format!("log-group:/aws/lambda/{}", installed.function));
    json!([
        { "Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": format!("{bucket}/*") },
        { "Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": bucket },
        { "Effect": "Allow", "Action": ["lambda:InvokeFunction", "lambda:GetAlias", "lambda:GetFunctionConfiguration"],
          "Resource": [function, format!("{function}:*")] },
        { "Effect": "Allow", "Action": ["logs:FilterLogEvents", "logs:DescribeLogStreams"],
          "Resource": [logs, format!("{logs}:*")] },
        { "Effect": "Allow", "Action": ["cloudwatch:GetMetricData", "cloudwatch:GetMetricStatistics"], "Resource": "*" },
    ])
}

/// The application as it runs before anything new is uploaded: version 1, deployed straight as a stack.
/// A first deployment has nothing to shift traffic from; a canary needs a version to compare with.
///
/// # Errors
/// The code cannot be packaged, or the stack does not stand.
pub async fn deploy_first_version(running: &Running, installed: &Installed) -> Result<(), InstallError> {
    let package = sample::function_zip(&running.paths.project, "1.0.0", Behaviour::Good)?;
    let key = format!("functions/{}/first.zip", installed.function);
    running
        .cloud
        .put_object(&installed.artifact_bucket, &key, package)
        .await
        .map_err(|error| InstallError::Refused {
            what: format!("upload of {key}"),
            error,
        })?;
    let template = read(
        &running.paths.project,
        "templates/lambda-deployment-template.yaml",
    )?;
    let parameters = [
        ("Environment", installed.environment.as_str()),
        ("FunctionName", &installed.function),
        ("PipelineName", &installed.pipeline),
        ("CodeDeployApplicationName", &installed.function),
        ("CodeS3Bucket", &installed.artifact_bucket),
        ("CodeS3Key", &key),
        ("Revision", "1.0.0"),
        ("Runtime", RUNTIME),
        ("DeploymentConfigName", deployment_config(&installed.environment)),
        ("AlarmTopicArn", &installed.alert_topic),
    ];
    create_stack(running, &installed.function, &template, &parameters)
        .await
        .map(drop)
}
