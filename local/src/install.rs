//! Installs one environment into a running local cloud, as an operator would into an account: buckets,
//! roles, the control plane's stack, the pipeline around the application.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use signalbox_bootstrap::{AwsFailure, aws_failure};
use signalbox_local_core::{AwsError, Cloud};
use thiserror::Error;

use crate::running::Running;
use crate::sample::{self, Behaviour};

/// Which environment, and for whom.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `staging` or `production`.
    pub environment: String,
    /// Who is asked for approval: e-mail addresses.
    pub approvers: Vec<String>,
    /// Who is told what happens: an e-mail address.
    pub watcher: String,
}

/// What was installed, by name.
#[derive(Debug, Clone)]
pub struct Installed {
    /// `staging` or `production`.
    pub environment: String,
    /// The pipeline.
    pub pipeline: String,
    /// Where packages are uploaded to.
    pub source_bucket: String,
    /// What stages hand over to each other.
    pub artifact_bucket: String,
    /// The application's function.
    pub function: String,
    /// The alias that users call.
    pub alias: String,
    /// The ledger's table.
    pub ledger_table: String,
    /// Where approval links lead.
    pub answer_url: String,
}

/// Why an environment could not be installed.
#[derive(Debug, Error)]
pub enum InstallError {
    /// A call was refused.
    #[error("{what}: {error}")]
    Refused {
        /// What was being done.
        what: String,
        /// AWS's error.
        error: AwsError,
    },
    /// A stack did not reach its goal.
    #[error("stack {stack} ended as {status}: {reason}")]
    Stack {
        /// The stack.
        stack: String,
        /// Its status.
        status: String,
        /// The first failed resource's reason.
        reason: String,
    },
    /// A file of the project cannot be read.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// A file of the project is not what it should be.
    #[error("{file}: {problem}")]
    Malformed {
        /// Which file.
        file: String,
        /// What is wrong.
        problem: String,
    },
}

/// The runtime of the sample: what this machine's own Node.js can run.
const RUNTIME: &str = "nodejs20.x";

/// Installs the environment. Everything is new afterwards; to install twice is refused by AWS's own rules.
///
/// # Errors
/// The first call that was refused, with AWS's reason.
pub async fn install(running: &Running, plan: &Plan) -> Result<Installed, InstallError> {
    let installed = install_control_plane(running, plan).await?;
    make_pipeline(running, &installed).await?;
    Ok(installed)
}

/// Installs buckets, the control plane's stack and its subscriptions, and no pipeline: it may be any.
///
/// # Errors
/// The first call that was refused, with AWS's reason.
pub async fn install_control_plane(running: &Running, plan: &Plan) -> Result<Installed, InstallError> {
    let environment = &plan.environment;
    let function = format!("lambda-function-{environment}");
    let mut installed = Installed {
        environment: environment.clone(),
        pipeline: format!("{function}-pipeline"),
        source_bucket: format!("lambda-artifacts-{environment}"),
        artifact_bucket: format!("lambda-pipeline-{environment}"),
        function: function.clone(),
        alias: "live".to_owned(),
        ledger_table: String::new(),
        answer_url: String::new(),
    };
    make_bucket(running, &installed.source_bucket, true).await?;
    make_bucket(running, &installed.artifact_bucket, false).await?;
    let template = read(&running.paths.project, "template.yaml")?;
    let parameters = [
        ("Environment", environment.as_str()),
        ("ApprovalPolicy", &approval_policy(&plan.approvers)),
        ("SourceBucketName", &installed.source_bucket),
        ("LogLevel", "info"),
    ];
    let stack = format!("signalbox-{environment}");
    let outputs = create_stack(running, &stack, &template, &parameters).await?;
    let output = |name: &str| {
        outputs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
            .ok_or_else(|| InstallError::Malformed {
                file: "template.yaml".to_owned(),
                problem: format!("it has no output {name}"),
            })
    };
    installed.ledger_table = output("LedgerTableName")?;
    installed.answer_url = output("AnswerUrl")?;
    subscribe(
        running,
        plan,
        &output("ApprovalTopicArn")?,
        &output("NoticeTopicArn")?,
    )
    .await?;
    Ok(installed)
}

/// Everybody may approve, nobody their own change, and one suffices. Without anybody there is no policy.
fn approval_policy(approvers: &[String]) -> String {
    if approvers.is_empty() {
        return String::new();
    }
    let approvers: Vec<Value> = approvers.iter().map(|email| json!({ "email": email })).collect();
    json!({ "version": 1, "approvers": approvers, "quorum": 1, "reminders": ["PT24H", "PT72H"], "expiry_notice": "PT12H" })
        .to_string()
}

async fn call(
    running: &Running,
    service: &str,
    operation: &str,
    input: Value,
) -> Result<Value, InstallError> {
    let answer = running.call(service, operation, input).await;
    answer.map_err(|error| InstallError::Refused {
        what: format!("{service} {operation}"),
        error,
    })
}

fn read(project: &Path, file: &str) -> Result<String, InstallError> {
    std::fs::read_to_string(project.join(file))
        .map_err(|error| std::io::Error::new(error.kind(), format!("{file}: {error}")).into())
}

async fn make_bucket(running: &Running, bucket: &str, source: bool) -> Result<(), InstallError> {
    use aws_sdk_s3::types::{
        BucketVersioningStatus, EventBridgeConfiguration, NotificationConfiguration, VersioningConfiguration,
    };
    let refused = |failure: AwsFailure| InstallError::Refused {
        what: format!("bucket {bucket}"),
        error: AwsError::new(failure.code.as_deref().unwrap_or("NoAnswer"), failure.message),
    };
    let s3 = running.s3();
    s3.create_bucket()
        .bucket(bucket)
        .send()
        .await
        .map_err(|error| refused(aws_failure(&error)))?;
    let versioning = VersioningConfiguration::builder()
        .status(BucketVersioningStatus::Enabled)
        .build();
    let request = s3
        .put_bucket_versioning()
        .bucket(bucket)
        .versioning_configuration(versioning);
    request
        .send()
        .await
        .map_err(|error| refused(aws_failure(&error)))?;
    if source {
        let notifications = NotificationConfiguration::builder()
            .event_bridge_configuration(EventBridgeConfiguration::builder().build())
            .build();
        let request = s3.put_bucket_notification_configuration().bucket(bucket);
        let request = request.notification_configuration(notifications);
        request
            .send()
            .await
            .map_err(|error| refused(aws_failure(&error)))?;
    }
    Ok(())
}

/// Creates a stack and waits until it stands; answers its outputs.
///
/// # Errors
/// It was refused, or a resource failed.
pub async fn create_stack(
    running: &Running,
    stack: &str,
    template: &str,
    parameters: &[(&str, &str)],
) -> Result<Vec<(String, String)>, InstallError> {
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|(key, value)| json!({ "ParameterKey": key, "ParameterValue": value }))
        .collect();
    let input = json!({
        "StackName": stack, "TemplateBody": template, "Parameters": parameters,
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    });
    call(running, "cloudformation", "CreateStack", input).await?;
    loop {
        let answer = call(
            running,
            "cloudformation",
            "DescribeStacks",
            json!({ "StackName": stack }),
        )
        .await?;
        let described = answer.pointer("/Stacks/0").cloned().unwrap_or_default();
        let status = described
            .get("StackStatus")
            .and_then(Value::as_str)
            .unwrap_or_default();
        match status {
            "CREATE_COMPLETE" => return Ok(outputs(&described)),
            _ if status.ends_with("IN_PROGRESS") => tokio::time::sleep(Duration::from_millis(50)).await,
            _ => {
                let reason = first_failure(running, stack).await;
                return Err(InstallError::Stack {
                    stack: stack.to_owned(),
                    status: status.to_owned(),
                    reason,
                });
            }
        }
    }
}

fn outputs(stack: &Value) -> Vec<(String, String)> {
    let text = |output: &Value, name: &str| {
        output
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    stack
        .get("Outputs")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|output| (text(output, "OutputKey"), text(output, "OutputValue")))
        .collect()
}

async fn first_failure(running: &Running, stack: &str) -> String {
    let events = running
        .call(
            "cloudformation",
            "DescribeStackEvents",
            json!({ "StackName": stack }),
        )
        .await;
    let events = events.unwrap_or_default();
    let failed = events
        .get("StackEvents")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .rev()
        .find(|event| {
            event
                .get("ResourceStatus")
                .and_then(Value::as_str)
                .is_some_and(|status| status.ends_with("FAILED"))
        });
    let text = |name: &str| {
        failed
            .and_then(|event| event.get(name))
            .and_then(Value::as_str)
            .unwrap_or("unknown")
    };
    format!("{}: {}", text("LogicalResourceId"), text("ResourceStatusReason"))
}

async fn subscribe(
    running: &Running,
    plan: &Plan,
    approvals: &str,
    notices: &str,
) -> Result<(), InstallError> {
    for approver in &plan.approvers {
        let input = json!({
            "TopicArn": approvals, "Protocol": "email", "Endpoint": approver,
            "Attributes": { "FilterPolicy": json!({ "approver": [approver] }).to_string() },
        });
        call(running, "sns", "Subscribe", input).await?;
    }
    let input = json!({ "TopicArn": notices, "Protocol": "email", "Endpoint": plan.watcher });
    call(running, "sns", "Subscribe", input).await?;
    Ok(())
}

async fn make_pipeline(running: &Running, installed: &Installed) -> Result<(), InstallError> {
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
    ];
    create_stack(running, &installed.function, &template, &parameters)
        .await
        .map(drop)
}
