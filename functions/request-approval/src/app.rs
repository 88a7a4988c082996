//! What lives as long as the process: configuration and clients.

use std::time::Duration;

use aws_types::SdkConfig;
use jiff::SignedDuration;
use signalbox_approvals::Policies;
use signalbox_bootstrap::{Aws, ConfigErrors, MoreRetries, Reader};
use signalbox_decision::names::PipelineName;
use signalbox_ledger::Ledger;
use signalbox_slack::{Slack, SlackConfig};

/// CodePipeline's own limits and default for `timeoutInMinutes` of an approval action (API reference of
/// `ActionDeclaration`).
const TIMEOUT_MINUTES: std::ops::RangeInclusive<u32> = 5..=86_400;
const DEFAULT_TIMEOUT_MINUTES: u32 = 10_080;

/// What the environment says.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) environment: String,
    pub(crate) pipeline: PipelineName,
    /// The SSM parameter that holds the approval policy; while there is none, nobody can be asked.
    pub(crate) policy_parameter: Option<String>,
    pub(crate) topic: String,
    /// Where the page is; ends in `/`.
    pub(crate) answer_url: String,
    pub(crate) signing_secret: String,
    pub(crate) timeout: SignedDuration,
    pub(crate) ledger_table: String,
    /// `None` while Slack is off.
    pub(crate) slack: Option<SlackConfig>,
}

/// Everything that an event needs.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) ledger: Ledger,
    pub(crate) pipelines: aws_sdk_codepipeline::Client,
    pub(crate) stacks: aws_sdk_cloudformation::Client,
    pub(crate) policies: Policies,
    pub(crate) topics: aws_sdk_sns::Client,
    pub(crate) secrets: aws_sdk_secretsmanager::Client,
    pub(crate) slack: Option<Slack>,
}

impl App {
    /// Reads the configuration and makes the clients, once.
    pub(crate) async fn start(env: Reader, aws: Aws) -> Result<Self, ConfigErrors> {
        let config = configuration(env)?;
        let ledger = Ledger::dynamodb(
            aws_sdk_dynamodb::Client::new(aws.sdk()),
            config.ledger_table.clone(),
        );
        let app = Self::new(config, ledger, aws.sdk());
        aws.warm(&["codepipeline", "secretsmanager", "dynamodb", "sns"])
            .await;
        Ok(app)
    }

    pub(crate) fn new(config: Config, ledger: Ledger, sdk: &SdkConfig) -> Self {
        let pipelines = aws_sdk_codepipeline::config::Builder::from(sdk)
            .retry_classifier(MoreRetries)
            .build();
        let topics = aws_sdk_sns::config::Builder::from(sdk)
            .retry_classifier(MoreRetries)
            .build();
        let secrets = aws_sdk_secretsmanager::Client::new(sdk);
        // Read anew for every request: they are few, and each is to follow the rules of its day.
        let policies = Policies::new(
            aws_sdk_ssm::Client::new(sdk),
            config.policy_parameter.clone(),
            Duration::ZERO,
        );
        let slack = config
            .slack
            .clone()
            .map(|slack| Slack::new(slack, secrets.clone()));
        Self {
            config,
            ledger,
            slack,
            stacks: aws_sdk_cloudformation::Client::new(sdk),
            policies,
            pipelines: aws_sdk_codepipeline::Client::from_conf(pipelines),
            topics: aws_sdk_sns::Client::from_conf(topics),
            secrets,
        }
    }
}

fn configuration(mut env: Reader) -> Result<Config, ConfigErrors> {
    let environment = env.required("ENVIRONMENT", "the environment, such as production");
    let pipeline = env.required("PIPELINE_NAME", "the pipeline whose approvals are asked for");
    let policy_parameter = env.optional(
        "APPROVAL_POLICY_PARAMETER",
        "the name of the SSM parameter that holds the approval policy; empty: nobody can be asked",
    );
    let slack = SlackConfig::read(&mut env);
    let topic = env.required(
        "APPROVAL_TOPIC_ARN",
        "the SNS topic whose subscriptions filter on `approver`",
    );
    let answer_url = env.required::<String>("ANSWER_URL", "the URL of the function answer-approval");
    if let Some(url) = &answer_url
        && !(url.starts_with("https://") || url.starts_with("http://127.0.0.1"))
    {
        env.mistake(
            "ANSWER_URL is not an https:// URL; links carry a credential (only a local cloud is plain HTTP)",
        );
    }
    let signing_secret = env.required(
        "SIGNING_SECRET_ARN",
        "the Secrets Manager secret that signs links",
    );
    let minutes = env.or(
        "APPROVAL_TIMEOUT_MINUTES",
        DEFAULT_TIMEOUT_MINUTES,
        "timeoutInMinutes of the pipeline's approval action, 5 to 86400; no link outlives it",
    );
    if let Some(minutes) = minutes
        && !TIMEOUT_MINUTES.contains(&minutes)
    {
        env.mistake(format!(
            "APPROVAL_TIMEOUT_MINUTES is {minutes}; CodePipeline takes 5 to 86400"
        ));
    }
    let ledger_table = env.required("LEDGER_TABLE", "the ledger's DynamoDB table");
    env.finish(|| {
        Some(Config {
            environment: environment?,
            pipeline: pipeline?,
            policy_parameter: policy_parameter?,
            topic: topic?,
            answer_url: with_slash(answer_url?),
            signing_secret: signing_secret?,
            timeout: SignedDuration::from_mins(i64::from(minutes?)),
            ledger_table: ledger_table?,
            slack: slack?,
        })
    })
}

fn with_slash(mut url: String) -> String {
    if !url.ends_with('/') {
        url.push('/');
    }
    url
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn environment(changes: &[(&'static str, &'static str)]) -> Result<Config, ConfigErrors> {
        let mut env = HashMap::from([
            ("ENVIRONMENT", "production"),
            ("PIPELINE_NAME", "p"),
            (
                "APPROVAL_POLICY_PARAMETER",
                "/signalbox/production/approval-policy",
            ),
            ("APPROVAL_TOPIC_ARN", "arn:aws:sns:us-east-1:1:t"),
            ("ANSWER_URL", "https://abc.lambda-url.us-east-1.on.aws"),
            (
                "SIGNING_SECRET_ARN",
                "arn:aws:secretsmanager:us-east-1:1:secret:s",
            ),
            ("LEDGER_TABLE", "t"),
        ]);
        env.extend(changes.iter().copied());
        configuration(Reader::new(env))
    }

    #[test]
    fn a_configuration_is_read() {
        let config = environment(&[]).unwrap();
        assert_eq!(config.answer_url, "https://abc.lambda-url.us-east-1.on.aws/");
        assert_eq!(config.timeout, SignedDuration::from_hours(7 * 24));
        assert_eq!(
            config.policy_parameter.as_deref(),
            Some("/signalbox/production/approval-policy")
        );
        assert_eq!(config.slack, None, "Slack is off");
    }

    #[test]
    fn all_mistakes_are_reported_together() {
        let error = environment(&[
            ("ANSWER_URL", "http://example.com/"),
            ("APPROVAL_TIMEOUT_MINUTES", "4"),
            ("SLACK_API_URL", "http://slack.example/api"),
            ("LEDGER_TABLE", ""),
        ])
        .unwrap_err();
        assert_eq!(error.mistakes().len(), 4, "{error}");
    }
}
