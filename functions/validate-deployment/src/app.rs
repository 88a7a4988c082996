//! Configuration and clients, made once at init.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use aws_types::SdkConfig;
use signalbox_bootstrap::{Aws, ConfigErrors, MoreRetries, Reader};
use signalbox_decision::names::FunctionName;
use signalbox_ledger::Ledger;

/// Which of its three callers this function resource serves: CodeDeploy's event does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    BeforeAllowTraffic,
    AfterAllowTraffic,
    Job,
}

impl FromStr for Hook {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "BeforeAllowTraffic" => Ok(Self::BeforeAllowTraffic),
            "AfterAllowTraffic" => Ok(Self::AfterAllowTraffic),
            "Job" => Ok(Self::Job),
            _ => Err("unknown hook".to_owned()),
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BeforeAllowTraffic => "BeforeAllowTraffic",
            Self::AfterAllowTraffic => "AfterAllowTraffic",
            Self::Job => "Job",
        })
    }
}

/// What the environment says.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) hook: Hook,
    /// The only function that may be validated: the role can invoke no other.
    pub(crate) function: FunctionName,
    pub(crate) alias: String,
    /// The SSM parameter that holds the validation policy; where there is none, the defaults hold.
    pub(crate) policy_parameter: String,
}

/// The function's state between invocations.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) ledger: Ledger,
    pub(crate) deployments: aws_sdk_codedeploy::Client,
    pub(crate) functions: aws_sdk_lambda::Client,
    /// Invokes; does not try again.
    pub(crate) prober: aws_sdk_lambda::Client,
    pub(crate) logs: aws_sdk_cloudwatchlogs::Client,
    pub(crate) metrics: aws_sdk_cloudwatch::Client,
    pub(crate) pipelines: aws_sdk_codepipeline::Client,
    pub(crate) parameters: aws_sdk_ssm::Client,
}

/// Longer than any function runs. How long a request is really waited for is the policy's bound.
const PATIENCE: Duration = Duration::from_secs(910);

impl App {
    /// Reads the configuration and builds the clients.
    pub(crate) async fn start(mut env: Reader, aws: Aws) -> Result<Self, ConfigErrors> {
        let hook = env.required("HOOK", "one of BeforeAllowTraffic, AfterAllowTraffic, Job");
        let function = env.required("FUNCTION_NAME", "the function whose versions are validated");
        let alias: Option<String> = env.required("ALIAS_NAME", "the alias that users call");
        let policy_parameter: Option<String> = env.required(
            "VALIDATION_POLICY_PARAMETER",
            "the name of the SSM parameter that holds the validation policy; it need not exist",
        );
        let table: Option<String> = env.required("LEDGER_TABLE", "the ledger's DynamoDB table");
        let (config, table) = env.finish(|| {
            let config = Config {
                hook: hook?,
                function: function?,
                alias: alias?,
                policy_parameter: policy_parameter?,
            };
            Some((config, table?))
        })?;
        aws.warm(&["codedeploy", "lambda", "monitoring", "logs", "ssm", "dynamodb"])
            .await;
        let ledger = Ledger::dynamodb(aws_sdk_dynamodb::Client::new(aws.sdk()), table);
        Ok(Self::new(config, ledger, aws.sdk()))
    }

    pub(crate) fn new(config: Config, ledger: Ledger, sdk: &SdkConfig) -> Self {
        let pipelines = aws_sdk_codepipeline::config::Builder::from(sdk)
            .retry_classifier(MoreRetries)
            .build();
        // A throttled or failed probe is a measurement, not something to hide by trying again; and a request
        // that is slower than the bound must still be measured, and be seen to be too slow.
        let timeouts = aws_smithy_types::timeout::TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_attempt_timeout(PATIENCE)
            .operation_timeout(PATIENCE)
            .build();
        let prober = aws_sdk_lambda::config::Builder::from(sdk)
            .retry_config(aws_smithy_types::retry::RetryConfig::disabled())
            .timeout_config(timeouts)
            .build();
        Self {
            config,
            ledger,
            deployments: aws_sdk_codedeploy::Client::new(sdk),
            functions: aws_sdk_lambda::Client::new(sdk),
            prober: aws_sdk_lambda::Client::from_conf(prober),
            logs: aws_sdk_cloudwatchlogs::Client::new(sdk),
            metrics: aws_sdk_cloudwatch::Client::new(sdk),
            pipelines: aws_sdk_codepipeline::Client::from_conf(pipelines),
            parameters: aws_sdk_ssm::Client::new(sdk),
        }
    }
}
