//! Installs one environment into a running local cloud, as an operator would into an account: buckets,
//! roles, the control plane's stack, the pipeline around the application.

use std::path::Path;

use serde_json::{Value, json};
use signalbox_bootstrap::{AwsFailure, aws_failure};
use signalbox_local_core::AwsError;
use thiserror::Error;

use crate::running::Running;

mod pipeline;
mod stack;

use pipeline::make_pipeline;
pub use pipeline::{deploy_first_version, make_deployment_application, source_key};
pub use stack::create_stack;

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
    /// The topic that alarms tell.
    pub alert_topic: String,
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
        alert_topic: String::new(),
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
    installed.alert_topic = output("AlertTopicArn")?;
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
