//! Access to AWS, by what the environment says.

use aws_credential_types::Credentials;
use clap::Args;
use signalbox_bootstrap::Aws;
use signalbox_ledger::Ledger;

use crate::Error;

/// Which environment, and where.
#[derive(Debug, Args)]
pub(crate) struct Access {
    /// The environment that Signalbox was installed for.
    #[arg(
        long,
        env = "SIGNALBOX_ENVIRONMENT",
        default_value = "staging",
        value_name = "NAME"
    )]
    environment: String,
    /// A local cloud's URL, in the place of AWS (such as http://127.0.0.1:4750).
    #[arg(long, env = "SIGNALBOX_LOCAL", value_name = "URL")]
    local: Option<String>,
}

impl Access {
    /// The environment's ledger.
    pub(crate) fn ledger(&self) -> Result<Ledger, Error> {
        let aws = self.aws(&|name| std::env::var(name).ok())?;
        let table = format!("signalbox-{}-ledger", self.environment);
        Ok(Ledger::dynamodb(aws_sdk_dynamodb::Client::new(aws.sdk()), table))
    }

    fn aws(&self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Aws, Error> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        if let Some(url) = &self.local {
            // A local cloud takes any credentials.
            let credentials = Credentials::new("local", "local", None, None, "local");
            return Ok(Aws::new("us-east-1".to_owned(), credentials, Some(url.clone())));
        }
        let region = set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION"));
        let (key, secret) = (set("AWS_ACCESS_KEY_ID"), set("AWS_SECRET_ACCESS_KEY"));
        let missing = [
            (
                region.is_none(),
                "AWS_REGION is not set; it is the region of the Signalbox stack",
            ),
            (
                key.is_none(),
                "AWS_ACCESS_KEY_ID is not set; `aws configure export-credentials --format env` prints it",
            ),
            (
                secret.is_none(),
                "AWS_SECRET_ACCESS_KEY is not set; `aws configure export-credentials --format env` prints it",
            ),
        ];
        let missing: Vec<String> = missing
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, what)| (*what).to_owned())
            .collect();
        let (Some(region), Some(key), Some(secret)) = (region, key, secret) else {
            return Err(Error::Environment(missing));
        };
        let credentials = Credentials::new(key, secret, set("AWS_SESSION_TOKEN"), None, "environment");
        Ok(Aws::new(region, credentials, set("AWS_ENDPOINT_URL")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(local: Option<&str>) -> Access {
        Access {
            environment: "staging".to_owned(),
            local: local.map(str::to_owned),
        }
    }

    #[test]
    fn everything_that_is_missing_is_said_at_once() {
        let Err(Error::Environment(missing)) = access(None).aws(&|_| None) else {
            panic!("nothing is set")
        };
        assert_eq!(missing.len(), 3, "{missing:?}");
        assert!(access(None).aws(&|_| Some("x".to_owned())).is_ok());
    }

    #[test]
    fn a_local_cloud_needs_no_credentials() {
        assert!(
            access(Some("http://127.0.0.1:4750"))
                .aws(&|_| None)
                .unwrap()
                .is_local()
        );
    }
}
