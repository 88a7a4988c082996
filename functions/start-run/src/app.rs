//! What is made once: configuration and clients.

use aws_sdk_s3::config::Builder as S3Builder;
use signalbox_bootstrap::{Aws, ConfigErrors, MoreRetries, Reader};
use signalbox_decision::package::Limits;
use signalbox_decision::start::Settings;
use signalbox_ledger::Ledger;

/// The function's state between invocations.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) ledger: Ledger,
    pub(crate) objects: aws_sdk_s3::Client,
    pub(crate) pipelines: aws_sdk_codepipeline::Client,
    pub(crate) builds: aws_sdk_codebuild::Client,
    pub(crate) topics: aws_sdk_sns::Client,
}

/// What the environment says.
pub(crate) struct Config {
    pub(crate) settings: Settings,
    pub(crate) notice_topic: String,
    ledger_table: String,
}

impl App {
    /// Reads the configuration, makes the clients, opens the connections.
    pub(crate) async fn start(env: Reader, aws: Aws) -> Result<Self, ConfigErrors> {
        let region = aws.sdk().region().map_or_else(String::new, ToString::to_string);
        let config = configuration(env, region)?;
        aws.warm(&["dynamodb", "s3", "codepipeline"]).await;
        let objects = S3Builder::from(aws.sdk())
            .force_path_style(aws.is_local())
            .build();
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
            objects: aws_sdk_s3::Client::from_conf(objects),
            pipelines: aws_sdk_codepipeline::Client::from_conf(pipelines),
            builds: aws_sdk_codebuild::Client::new(aws.sdk()),
            topics: aws_sdk_sns::Client::from_conf(topics),
            config,
        })
    }
}

fn configuration(mut env: Reader, region: String) -> Result<Config, ConfigErrors> {
    let pipeline = env.required("PIPELINE_NAME", "the pipeline to start");
    let source_action = env.required(
        "SOURCE_ACTION_NAME",
        "the name of the pipeline's S3 source action",
    );
    let build_project = env.required::<String>(
        "BUILD_PROJECT",
        "the CodeBuild project that builds other branches",
    );
    let bucket = env.required("SOURCE_BUCKET", "the bucket that packages are uploaded to");
    let prefix = env.required::<String>("SOURCE_PREFIX", "what packages' keys begin with, such as source/");
    let account = env.required::<String>("ACCOUNT_ID", "the bucket's account, 12 digits");
    let branch = env.required("BRANCH", "the branch that this environment deploys");
    let defaults = Limits::default();
    let package_bytes = env.or(
        "MAX_PACKAGE_BYTES",
        defaults.package_bytes,
        "the largest package in bytes, such as 52428800",
    );
    let notice_topic = env.required::<String>("NOTICE_TOPIC_ARN", "the ARN of the topic for notices");
    let ledger_table = env.required::<String>("LEDGER_TABLE", "the name of the ledger's table");
    if let Some(prefix) = prefix.as_deref().filter(|prefix| !prefix.ends_with('/')) {
        env.mistake(format!(
            "SOURCE_PREFIX is \"{prefix}\"; it must end with /, or it matches neighbours too"
        ));
    }
    if package_bytes == Some(0) {
        env.mistake("MAX_PACKAGE_BYTES is 0: no package would be accepted");
    }
    env.finish(|| {
        Some(Config {
            settings: Settings {
                pipeline: pipeline?,
                source_action: source_action?,
                build_project: build_project?,
                bucket: bucket?,
                prefix: prefix?,
                account: account?,
                region,
                branch: branch?,
                limits: Limits {
                    package_bytes: package_bytes?,
                    ..defaults
                },
            },
            notice_topic: notice_topic?,
            ledger_table: ledger_table?,
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn environment() -> HashMap<&'static str, &'static str> {
        HashMap::from([
            ("PIPELINE_NAME", "lambda-function-staging-pipeline"),
            ("SOURCE_ACTION_NAME", "Source"),
            ("BUILD_PROJECT", "lambda-function-staging-build"),
            ("SOURCE_BUCKET", "lambda-artifacts-staging"),
            ("SOURCE_PREFIX", "source/"),
            ("ACCOUNT_ID", "111122223333"),
            ("BRANCH", "develop"),
            (
                "NOTICE_TOPIC_ARN",
                "arn:aws:sns:eu-central-1:111122223333:signalbox-staging-notices",
            ),
            ("LEDGER_TABLE", "signalbox-staging-ledger"),
        ])
    }

    #[test]
    fn a_complete_environment_is_taken() {
        let config = configuration(Reader::new(environment()), "eu-central-1".to_owned())
            .ok()
            .unwrap();
        assert_eq!(config.settings.limits.package_bytes, 52_428_800);
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let mut environment = environment();
        environment.remove("PIPELINE_NAME");
        environment.insert("SOURCE_PREFIX", "source");
        environment.insert("MAX_PACKAGE_BYTES", "50 MB");
        let errors = configuration(Reader::new(environment), String::new())
            .err()
            .unwrap();
        assert_eq!(errors.mistakes().len(), 3, "{errors}");
    }
}
