//! What is made once: configuration and clients.

use signalbox_bootstrap::{Aws, ConfigErrors, MoreRetries, Reader};
use signalbox_decision::names::{ApplicationName, PipelineName};
use signalbox_ledger::Ledger;

/// The function's state between invocations.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) ledger: Ledger,
    pub(crate) pipelines: aws_sdk_codepipeline::Client,
    pub(crate) metrics: aws_sdk_cloudwatch::Client,
    pub(crate) topics: aws_sdk_sns::Client,
}

/// What the environment says.
pub(crate) struct Config {
    pub(crate) pipeline: PipelineName,
    pub(crate) build_project: String,
    pub(crate) application: ApplicationName,
    pub(crate) notice_topic: String,
    pub(crate) namespace: String,
    pub(crate) region: String,
    ledger_table: String,
}

impl App {
    /// Reads the configuration, makes the clients, opens the connections.
    pub(crate) async fn start(env: Reader, aws: Aws) -> Result<Self, ConfigErrors> {
        let region = aws.sdk().region().map_or_else(String::new, ToString::to_string);
        let config = configuration(env, region)?;
        aws.warm(&["dynamodb", "codepipeline", "sns", "monitoring"]).await;
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
            metrics: aws_sdk_cloudwatch::Client::new(aws.sdk()),
            topics: aws_sdk_sns::Client::from_conf(topics),
            config,
        })
    }
}

pub(crate) fn configuration(mut env: Reader, region: String) -> Result<Config, ConfigErrors> {
    let pipeline = env.required("PIPELINE_NAME", "the pipeline whose runs are followed");
    let build_project =
        env.required::<String>("BUILD_PROJECT", "the CodeBuild project whose builds are followed");
    let application = env.required(
        "CODEDEPLOY_APPLICATION",
        "the CodeDeploy application whose deployments are followed",
    );
    let notice_topic = env.required::<String>("NOTICE_TOPIC_ARN", "the ARN of the topic for notices");
    let namespace = env.or(
        "METRICS_NAMESPACE",
        "Signalbox".to_owned(),
        "the namespace of the delivery metrics",
    );
    let ledger_table = env.required::<String>("LEDGER_TABLE", "the name of the ledger's table");
    if namespace
        .as_deref()
        .is_some_and(|namespace| namespace.starts_with("AWS/"))
    {
        env.mistake("METRICS_NAMESPACE begins with AWS/, which CloudWatch keeps for itself; use another, such as Signalbox");
    }
    env.finish(|| {
        Some(Config {
            pipeline: pipeline?,
            build_project: build_project?,
            application: application?,
            notice_topic: notice_topic?,
            namespace: namespace?,
            region,
            ledger_table: ledger_table?,
        })
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashMap;

    use super::*;

    fn environment() -> HashMap<&'static str, &'static str> {
        HashMap::from([
            ("PIPELINE_NAME", "lambda-function-staging-pipeline"),
            ("BUILD_PROJECT", "lambda-function-staging-build"),
            ("CODEDEPLOY_APPLICATION", "lambda-function-staging"),
            (
                "NOTICE_TOPIC_ARN",
                "arn:aws:sns:eu-central-1:111122223333:signalbox-staging-notices",
            ),
            ("LEDGER_TABLE", "signalbox-staging-ledger"),
        ])
    }

    pub(crate) fn config() -> Config {
        configuration(Reader::new(environment()), "eu-central-1".to_owned())
            .ok()
            .unwrap()
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let mut environment = environment();
        environment.remove("LEDGER_TABLE");
        environment.insert("PIPELINE_NAME", "a pipeline");
        environment.insert("METRICS_NAMESPACE", "AWS/Lambda");
        let errors = configuration(Reader::new(environment), String::new())
            .err()
            .unwrap();
        assert_eq!(errors.mistakes().len(), 3, "{errors}");
    }
}
