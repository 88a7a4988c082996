//! Configuration and clients, made once at init.

use std::str::FromStr;
use std::time::Duration;

use signalbox_bootstrap::{Aws, ConfigErrors, MoreRetries, Reader};
use signalbox_decision::names::FunctionName;
use signalbox_decision::validation::Bounds;
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

/// What the environment says.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) hook: Hook,
    /// The only function that may be validated: the role can invoke no other.
    pub(crate) function: FunctionName,
    pub(crate) alias: String,
    pub(crate) bounds: Bounds,
    /// Requests at a time in the load check.
    pub(crate) concurrency: u32,
    /// Requests of the load check altogether.
    pub(crate) requests: u32,
    /// The request that must be served.
    pub(crate) sound: serde_json::Value,
}

/// The function's state between invocations.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) ledger: Ledger,
    pub(crate) deployments: aws_sdk_codedeploy::Client,
    pub(crate) functions: aws_sdk_lambda::Client,
    pub(crate) logs: aws_sdk_cloudwatchlogs::Client,
    pub(crate) metrics: aws_sdk_cloudwatch::Client,
    pub(crate) pipelines: aws_sdk_codepipeline::Client,
}

/// The seed's own request.
const SOUND_REQUEST: &str = r#"{"action":"create","data":{"name":"test"}}"#;

impl App {
    /// Reads the configuration and builds the clients.
    pub(crate) async fn start(mut env: Reader, aws: Aws) -> Result<Self, ConfigErrors> {
        let hook = env.required("HOOK", "one of BeforeAllowTraffic, AfterAllowTraffic, Job");
        let function = env.required("FUNCTION_NAME", "the function whose versions are validated");
        let alias: Option<String> = env.required("ALIAS_NAME", "the alias that users call");
        let max_p95 = env.or(
            "MAX_P95_MS",
            3000_u32,
            "the bound of the 95th percentile in milliseconds",
        );
        let concurrency = env.or(
            "LOAD_CONCURRENCY",
            5_u32,
            "how many requests the load check makes at a time",
        );
        let requests = env.or(
            "LOAD_REQUESTS",
            50_u32,
            "how many requests the load check makes altogether",
        );
        let sound = env.or(
            "SOUND_REQUEST",
            Json::default(),
            "a request, as JSON, that the function must serve",
        );
        let table: Option<String> = env.required("LEDGER_TABLE", "the ledger's DynamoDB table");
        let (config, table) = env.finish(|| {
            let config = Config {
                hook: hook?,
                function: function?,
                alias: alias?,
                bounds: Bounds {
                    max_p95_ms: f64::from(max_p95?),
                    ..Bounds::default()
                },
                concurrency: concurrency?.clamp(1, 1000),
                requests: requests?.clamp(1, 10_000),
                sound: sound?.0,
            };
            Some((config, table?))
        })?;
        aws.warm(&["codedeploy", "lambda", "monitoring", "logs"]).await;
        let pipelines = aws_sdk_codepipeline::config::Builder::from(aws.sdk())
            .retry_classifier(MoreRetries)
            .build();
        // A throttled or failed probe is a measurement, not something to hide by trying again.
        let once = aws_smithy_types::retry::RetryConfig::disabled();
        // A request that is slower than the bound must still be measured, and be seen to be too slow.
        let patience = Duration::from_secs_f64(config.bounds.max_p95_ms / 1000.0) + Duration::from_secs(10);
        let timeouts = aws_smithy_types::timeout::TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_attempt_timeout(patience)
            .operation_timeout(patience)
            .build();
        let functions = aws_sdk_lambda::config::Builder::from(aws.sdk())
            .retry_config(once)
            .timeout_config(timeouts)
            .build();
        Ok(Self {
            config,
            ledger: Ledger::dynamodb(aws_sdk_dynamodb::Client::new(aws.sdk()), table),
            deployments: aws_sdk_codedeploy::Client::new(aws.sdk()),
            functions: aws_sdk_lambda::Client::from_conf(functions),
            logs: aws_sdk_cloudwatchlogs::Client::new(aws.sdk()),
            metrics: aws_sdk_cloudwatch::Client::new(aws.sdk()),
            pipelines: aws_sdk_codepipeline::Client::from_conf(pipelines),
        })
    }
}

struct Json(serde_json::Value);

impl Default for Json {
    fn default() -> Self {
        Self(serde_json::from_str(SOUND_REQUEST).unwrap_or_default())
    }
}

impl FromStr for Json {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text).map(Self)
    }
}
