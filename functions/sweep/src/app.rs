//! What lives as long as the process: configuration and clients.

use std::time::Duration;

use jiff::SignedDuration;
use signalbox_approvals::Policies;
use signalbox_bootstrap::{Aws, ConfigErrors, MoreRetries, Reader};
use signalbox_decision::names::{ApplicationName, FunctionName, PipelineName};
use signalbox_ledger::Ledger;

/// CodePipeline's own limits and default for `timeoutInMinutes` of an approval action (API reference of
/// `ActionDeclaration`).
const TIMEOUT_MINUTES: std::ops::RangeInclusive<u32> = 5..=86_400;
const DEFAULT_TIMEOUT_MINUTES: u32 = 10_080;
/// How old a freeze is when people are first reminded of it.
const DEFAULT_FREEZE_REMINDER: SignedDuration = SignedDuration::from_hours(24);

/// For how long a policy that was read counts as today's.
const POLICY_FRESH_FOR: Duration = Duration::from_secs(60);

/// What the environment says.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) pipeline: PipelineName,
    pub(crate) region: String,
    pub(crate) approval_topic: String,
    pub(crate) notice_topic: String,
    /// Where the page is; ends in `/`.
    pub(crate) answer_url: String,
    pub(crate) signing_secret: String,
    /// The SSM parameter's name; none where the environment has no policy.
    pub(crate) policy: Option<String>,
    pub(crate) request_approval: FunctionName,
    pub(crate) track_run: FunctionName,
    pub(crate) roll_back: FunctionName,
    /// The CodeDeploy application.
    pub(crate) application: ApplicationName,
    /// Only alarms whose names begin so can roll back.
    pub(crate) alarm_prefix: String,
    /// How long after its success an alarm still rolls a deployment back.
    pub(crate) bake: SignedDuration,
    /// At which age of a freeze people are reminded of it, and then at each multiple.
    pub(crate) freeze_reminder: SignedDuration,
    pub(crate) start_run: FunctionName,
    /// How long an approval may wait: no run that has one is older.
    pub(crate) timeout: SignedDuration,
    ledger_table: String,
}

/// Everything that a sweep needs.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) ledger: Ledger,
    pub(crate) pipelines: aws_sdk_codepipeline::Client,
    pub(crate) deployments: aws_sdk_codedeploy::Client,
    pub(crate) alarms: aws_sdk_cloudwatch::Client,
    pub(crate) functions: aws_sdk_lambda::Client,
    pub(crate) topics: aws_sdk_sns::Client,
    pub(crate) secrets: aws_sdk_secretsmanager::Client,
    pub(crate) policies: Policies,
}

impl App {
    /// Reads the configuration and makes the clients, once. No connection is opened ahead: nobody waits.
    pub(crate) async fn start(env: Reader, aws: Aws) -> Result<Self, ConfigErrors> {
        let region = aws.sdk().region().map_or_else(String::new, ToString::to_string);
        let config = configuration(env, region)?;
        let pipelines = aws_sdk_codepipeline::config::Builder::from(aws.sdk())
            .retry_classifier(MoreRetries)
            .build();
        let topics = aws_sdk_sns::config::Builder::from(aws.sdk())
            .retry_classifier(MoreRetries)
            .build();
        Ok(Self {
            ledger: Ledger::dynamodb(
                aws_sdk_dynamodb::Client::new(aws.sdk()),
                config.ledger_table.clone(),
            ),
            pipelines: aws_sdk_codepipeline::Client::from_conf(pipelines),
            deployments: aws_sdk_codedeploy::Client::new(aws.sdk()),
            alarms: aws_sdk_cloudwatch::Client::new(aws.sdk()),
            functions: aws_sdk_lambda::Client::new(aws.sdk()),
            topics: aws_sdk_sns::Client::from_conf(topics),
            secrets: aws_sdk_secretsmanager::Client::new(aws.sdk()),
            policies: Policies::new(
                aws_sdk_ssm::Client::new(aws.sdk()),
                config.policy.clone(),
                POLICY_FRESH_FOR,
            ),
            config,
        })
    }
}

fn configuration(mut env: Reader, region: String) -> Result<Config, ConfigErrors> {
    let pipeline = env.required("PIPELINE_NAME", "the pipeline that is looked at");
    let approval_topic = env.required(
        "APPROVAL_TOPIC_ARN",
        "the SNS topic whose subscriptions filter on `approver`",
    );
    let notice_topic = env.required("NOTICE_TOPIC_ARN", "the ARN of the topic for notices");
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
    let policy = env.optional(
        "APPROVAL_POLICY_PARAMETER",
        "the name of the SSM parameter with the approval policy",
    );
    let request_approval = env.required(
        "REQUEST_APPROVAL_FUNCTION",
        "the name of the function that asks for approval",
    );
    let track_run = env.required("TRACK_RUN_FUNCTION", "the name of the function that follows runs");
    let roll_back = env.required("ROLL_BACK_FUNCTION", "the name of the function that rolls back");
    let application = env.required(
        "CODEDEPLOY_APPLICATION",
        "the CodeDeploy application whose deployments are looked at",
    );
    let alarm_prefix = env.or(
        "ALARM_NAME_PREFIX",
        String::new(),
        "how the names of the alarms begin that can roll back",
    );
    let bake = env.or(
        "BAKE_MINUTES",
        60_u16,
        "how many minutes after success an alarm still rolls back",
    );
    let freeze_reminder = env.or(
        "FREEZE_REMINDER",
        DEFAULT_FREEZE_REMINDER,
        "at which age of a freeze people are reminded, as PT24H",
    );
    if freeze_reminder.is_some_and(|age| age <= SignedDuration::ZERO) {
        env.mistake("FREEZE_REMINDER is not more than zero; say after how long to remind, as PT24H");
    }
    let start_run = env.required("START_RUN_FUNCTION", "the name of the function that starts runs");
    let minutes = env.or(
        "APPROVAL_TIMEOUT_MINUTES",
        DEFAULT_TIMEOUT_MINUTES,
        "timeoutInMinutes of the pipeline's approval action, 5 to 86400",
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
        let mut answer_url = answer_url?;
        if !answer_url.ends_with('/') {
            answer_url.push('/');
        }
        Some(Config {
            pipeline: pipeline?,
            region,
            approval_topic: approval_topic?,
            notice_topic: notice_topic?,
            answer_url,
            signing_secret: signing_secret?,
            policy: policy?,
            request_approval: request_approval?,
            track_run: track_run?,
            roll_back: roll_back?,
            application: application?,
            alarm_prefix: alarm_prefix?,
            bake: SignedDuration::from_mins(i64::from(bake?)),
            freeze_reminder: freeze_reminder?,
            start_run: start_run?,
            timeout: SignedDuration::from_mins(i64::from(minutes?)),
            ledger_table: ledger_table?,
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn environment(changes: &[(&'static str, &'static str)]) -> Result<Config, ConfigErrors> {
        let mut env = HashMap::from([
            ("PIPELINE_NAME", "p"),
            ("APPROVAL_TOPIC_ARN", "arn:aws:sns:us-east-1:1:t"),
            ("NOTICE_TOPIC_ARN", "arn:aws:sns:us-east-1:1:n"),
            ("ANSWER_URL", "https://abc.lambda-url.us-east-1.on.aws"),
            (
                "SIGNING_SECRET_ARN",
                "arn:aws:secretsmanager:us-east-1:1:secret:s",
            ),
            ("REQUEST_APPROVAL_FUNCTION", "request-approval"),
            ("TRACK_RUN_FUNCTION", "track-run"),
            ("ROLL_BACK_FUNCTION", "roll-back"),
            ("CODEDEPLOY_APPLICATION", "app"),
            ("START_RUN_FUNCTION", "start-run"),
            ("LEDGER_TABLE", "t"),
        ]);
        env.extend(changes.iter().copied());
        configuration(Reader::new(env), "us-east-1".to_owned())
    }

    #[test]
    fn a_configuration_is_read() {
        let config =
            environment(&[("APPROVAL_POLICY_PARAMETER", "/signalbox/staging/approval-policy")]).unwrap();
        assert_eq!(config.answer_url, "https://abc.lambda-url.us-east-1.on.aws/");
        assert_eq!(
            config.policy.as_deref(),
            Some("/signalbox/staging/approval-policy")
        );
        let config = environment(&[("FREEZE_REMINDER", "PT36H")]).unwrap();
        assert_eq!(config.policy, None);
        assert_eq!(config.freeze_reminder, SignedDuration::from_hours(36));
    }

    #[test]
    fn all_mistakes_are_reported_together() {
        let error = environment(&[
            ("ANSWER_URL", "http://example.com/"),
            ("APPROVAL_TIMEOUT_MINUTES", "4"),
            ("TRACK_RUN_FUNCTION", "track run"),
            ("FREEZE_REMINDER", "PT0S"),
            ("BAKE_MINUTES", "an hour"),
            ("LEDGER_TABLE", ""),
        ])
        .unwrap_err();
        assert_eq!(error.mistakes().len(), 6, "{error}");
    }
}
