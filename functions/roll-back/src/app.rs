//! Configuration and clients, made once at init.

use jiff::SignedDuration;
use signalbox_bootstrap::{Aws, ConfigErrors, MoreRetries, Reader};
use signalbox_decision::names::{
    ApplicationName, DeploymentGroupName, FunctionName, PipelineName, StageName,
};
use signalbox_ledger::Ledger;

/// What the environment says.
pub(crate) struct Config {
    /// The pipeline whose stage is frozen after a rollback.
    pub(crate) pipeline: PipelineName,
    /// The stage that brings a version to its users.
    pub(crate) release_stage: StageName,
    /// The CodeDeploy application, with whatever deployment groups it has.
    pub(crate) application: ApplicationName,
    /// The group that a person means who names none.
    pub(crate) group: DeploymentGroupName,
    /// The function of that group, for as long as it has had no deployment.
    pub(crate) function: FunctionName,
    /// The alias of that group.
    pub(crate) alias: String,
    /// This function, as people invoke it.
    pub(crate) own_name: FunctionName,
    /// Where people are told.
    pub(crate) notice_topic: String,
    /// How long after its success a deployment is still taken to be an alarm's cause.
    pub(crate) bake: SignedDuration,
}

/// The function's state between invocations.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) ledger: Ledger,
    pub(crate) alarms: aws_sdk_cloudwatch::Client,
    pub(crate) deployments: aws_sdk_codedeploy::Client,
    pub(crate) functions: aws_sdk_lambda::Client,
    pub(crate) pipelines: aws_sdk_codepipeline::Client,
    pub(crate) topics: aws_sdk_sns::Client,
}

impl App {
    /// Reads the configuration and builds the clients.
    pub(crate) async fn start(mut env: Reader, aws: Aws) -> Result<Self, ConfigErrors> {
        let pipeline = env.required("PIPELINE_NAME", "the pipeline that is frozen after a rollback");
        let release_stage = env.required(
            "RELEASE_STAGE",
            "the pipeline's stage that is frozen after a rollback",
        );
        let application = env.required(
            "CODEDEPLOY_APPLICATION",
            "the CodeDeploy application of the function",
        );
        let group = env.required(
            "DEPLOYMENT_GROUP",
            "the deployment group that a person means who names none",
        );
        let function = env.required("FUNCTION_NAME", "the function of that group");
        let alias: Option<String> = env.required("ALIAS_NAME", "the alias of that group");
        let notice_topic = env.required("NOTICE_TOPIC_ARN", "the SNS topic that tells people");
        let bake = env.or(
            "BAKE_MINUTES",
            30_u16,
            "how many minutes after success an alarm still rolls back",
        );
        let own_name = env.required(
            "AWS_LAMBDA_FUNCTION_NAME",
            "the function's own name, which Lambda sets",
        );
        let table: Option<String> = env.required("LEDGER_TABLE", "the ledger's DynamoDB table");
        let config = env.finish(|| {
            Some((
                Config {
                    pipeline: pipeline?,
                    release_stage: release_stage?,
                    application: application?,
                    group: group?,
                    function: function?,
                    alias: alias?,
                    own_name: own_name?,
                    notice_topic: notice_topic?,
                    bake: SignedDuration::from_mins(i64::from(bake?)),
                },
                table?,
            ))
        });
        let (config, table) = config?;
        aws.warm(&["codedeploy", "monitoring", "dynamodb", "codepipeline"])
            .await;
        let pipelines = aws_sdk_codepipeline::config::Builder::from(aws.sdk())
            .retry_classifier(MoreRetries)
            .build();
        let topics = aws_sdk_sns::config::Builder::from(aws.sdk())
            .retry_classifier(MoreRetries)
            .build();
        Ok(Self {
            config,
            ledger: Ledger::dynamodb(aws_sdk_dynamodb::Client::new(aws.sdk()), table),
            alarms: aws_sdk_cloudwatch::Client::new(aws.sdk()),
            deployments: aws_sdk_codedeploy::Client::new(aws.sdk()),
            functions: aws_sdk_lambda::Client::new(aws.sdk()),
            pipelines: aws_sdk_codepipeline::Client::from_conf(pipelines),
            topics: aws_sdk_sns::Client::from_conf(topics),
        })
    }
}
