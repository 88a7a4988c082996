//! What lives as long as the process: configuration and clients.

use aws_types::SdkConfig;
use signalbox_bootstrap::{Aws, ConfigErrors, MoreRetries, Reader};
use signalbox_decision::names::{Approver, PipelineName};
use signalbox_ledger::Ledger;

use crate::secret::SigningKeys;

/// What the environment says.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) pipeline: PipelineName,
    pub(crate) approvers: Vec<Approver>,
    pub(crate) ledger_table: String,
    pub(crate) signing_secret: String,
}

/// Everything that a request needs.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) ledger: Ledger,
    pub(crate) pipelines: aws_sdk_codepipeline::Client,
    pub(crate) keys: SigningKeys,
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
        aws.warm(&["secretsmanager", "dynamodb", "codepipeline"]).await;
        Ok(app)
    }

    pub(crate) fn new(config: Config, ledger: Ledger, sdk: &SdkConfig) -> Self {
        let pipelines = aws_sdk_codepipeline::config::Builder::from(sdk)
            .retry_classifier(MoreRetries)
            .build();
        let keys = SigningKeys::new(
            aws_sdk_secretsmanager::Client::new(sdk),
            config.signing_secret.clone(),
        );
        Self {
            config,
            ledger,
            pipelines: aws_sdk_codepipeline::Client::from_conf(pipelines),
            keys,
        }
    }
}

fn configuration(mut env: Reader) -> Result<Config, ConfigErrors> {
    let pipeline = env.required("PIPELINE_NAME", "the pipeline whose approvals are answered here");
    let approvers = env.list(
        "APPROVERS",
        "the e-mail addresses that may decide, separated by commas; while it is empty nobody may",
    );
    let ledger_table = env.required("LEDGER_TABLE", "the ledger's DynamoDB table");
    let signing_secret = env.required(
        "SIGNING_SECRET_ARN",
        "the Secrets Manager secret that signs links",
    );
    env.finish(|| {
        Some(Config {
            pipeline: pipeline?,
            approvers: approvers?,
            ledger_table: ledger_table?,
            signing_secret: signing_secret?,
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_missing_variable_is_named_at_once() {
        let error = configuration(Reader::new(HashMap::from([(
            "APPROVERS",
            "ann@example.com, b c",
        )])))
        .unwrap_err();
        let text = error.to_string();
        for name in ["PIPELINE_NAME", "LEDGER_TABLE", "SIGNING_SECRET_ARN", "APPROVERS"] {
            assert!(text.contains(name), "{name} is missing in {text}");
        }
    }

    #[test]
    fn no_approvers_is_a_configuration_in_which_nobody_may_decide() {
        let env = HashMap::from([
            ("PIPELINE_NAME", "p"),
            ("LEDGER_TABLE", "t"),
            ("SIGNING_SECRET_ARN", "arn"),
        ]);
        assert!(configuration(Reader::new(env)).unwrap().approvers.is_empty());
    }
}
