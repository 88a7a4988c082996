//! What lives as long as the process: configuration and clients.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_types::SdkConfig;
use jiff::{SignedDuration, Timestamp};
use signalbox_approvals::Policies;
use signalbox_bootstrap::{Aws, ConfigErrors, MoreRetries, Reader};
use signalbox_decision::approval::limit::{Limit, Rate, TooMany};
use signalbox_decision::approval::policy::Policy;
use signalbox_decision::names::PipelineName;
use signalbox_ledger::Ledger;
use signalbox_slack::{Slack, SlackConfig};
use tracing::error;

use crate::error::Error;
use crate::secret::SigningKeys;

/// For how long a policy that was read counts as today's.
const POLICY_FRESH_FOR: Duration = Duration::from_secs(60);

/// Of a cold start's time, for what the first request then finds there.
const READ_AHEAD: Duration = Duration::from_secs(1);

/// One address may be a whole office, and mail scanners fetch links in bursts.
const BY_ADDRESS: Rate = Rate {
    burst: 60,
    pause: SignedDuration::from_secs(1),
};

/// One person's link.
const BY_LINK: Rate = Rate {
    burst: 30,
    pause: SignedDuration::from_secs(2),
};

/// What the environment says.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) pipeline: PipelineName,
    pub(crate) ledger_table: String,
    pub(crate) signing_secret: String,
    pub(crate) policy_parameter: String,
    /// `None` while Slack is off.
    pub(crate) slack: Option<SlackConfig>,
}

/// Everything that a request needs.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) ledger: Ledger,
    pub(crate) pipelines: aws_sdk_codepipeline::Client,
    pub(crate) keys: SigningKeys,
    policies: Policies,
    pub(crate) slack: Option<Slack>,
    by_address: Mutex<Limit>,
    by_link: Mutex<Limit>,
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
        // A cold start's first request finds them there; a failure is told when somebody asks, and what is
        // slow is not waited for: Slack counts its three seconds from here.
        let ahead = async {
            let signing = async {
                match &app.slack {
                    Some(slack) => slack.signing_secret().await.is_ok(),
                    None => false,
                }
            };
            tokio::join!(app.policies.current(), signing)
        };
        let _ = tokio::time::timeout(READ_AHEAD, ahead).await;
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
        let policies = Policies::new(
            aws_sdk_ssm::Client::new(sdk),
            Some(config.policy_parameter.clone()),
            POLICY_FRESH_FOR,
        );
        let slack = config
            .slack
            .clone()
            .map(|slack| Slack::new(slack, aws_sdk_secretsmanager::Client::new(sdk)));
        Self {
            slack,
            config,
            ledger,
            pipelines: aws_sdk_codepipeline::Client::from_conf(pipelines),
            keys,
            policies,
            by_address: Mutex::new(Limit::new(BY_ADDRESS)),
            by_link: Mutex::new(Limit::new(BY_LINK)),
        }
    }

    /// Today's policy; `None` where there is none that is valid, which is told in the log.
    pub(crate) async fn policy(&self) -> Result<Option<Arc<Policy>>, Error> {
        match self.policies.current().await? {
            Ok(policy) => Ok(Some(policy)),
            Err(why) => {
                error!(%why, "nobody can decide by link");
                Ok(None)
            }
        }
    }

    /// Whether this address may ask once more.
    pub(crate) fn admit_address(&self, address: &str, now: Timestamp) -> Result<(), TooMany> {
        take(&self.by_address, address, now)
    }

    /// Whether this link may be used once more. Its text is a credential and is not kept: `name` says what
    /// it speaks of.
    pub(crate) fn admit_link(&self, name: &str, now: Timestamp) -> Result<(), TooMany> {
        take(&self.by_link, name, now)
    }
}

fn take(limit: &Mutex<Limit>, key: &str, now: Timestamp) -> Result<(), TooMany> {
    limit
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take(key, now)
}

fn configuration(mut env: Reader) -> Result<Config, ConfigErrors> {
    let pipeline = env.required("PIPELINE_NAME", "the pipeline whose approvals are answered here");
    let policy_parameter = env.required(
        "APPROVAL_POLICY_PARAMETER",
        "the name of the SSM parameter with the approval policy; while there is none, nobody may decide by link",
    );
    let ledger_table = env.required("LEDGER_TABLE", "the ledger's DynamoDB table");
    let signing_secret = env.required(
        "SIGNING_SECRET_ARN",
        "the Secrets Manager secret that signs links",
    );
    let slack = SlackConfig::read(&mut env);
    env.finish(|| {
        Some(Config {
            pipeline: pipeline?,
            ledger_table: ledger_table?,
            signing_secret: signing_secret?,
            policy_parameter: policy_parameter?,
            slack: slack?,
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_missing_variable_is_named_at_once() {
        let error = configuration(Reader::new(HashMap::<&str, &str>::new())).unwrap_err();
        let text = error.to_string();
        for name in [
            "PIPELINE_NAME",
            "LEDGER_TABLE",
            "SIGNING_SECRET_ARN",
            "APPROVAL_POLICY_PARAMETER",
        ] {
            assert!(text.contains(name), "{name} is missing in {text}");
        }
    }
}
