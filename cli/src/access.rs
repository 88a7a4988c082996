//! Access to AWS as the AWS CLI finds it, or to a local cloud.

mod credentials;

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use clap::Args;
use signalbox_bootstrap::Aws;
use signalbox_ledger::Ledger;

use self::credentials::AwsCli;
use crate::error::Error;

/// Where `cargo local` listens.
const LOCAL_URL: &str = "http://127.0.0.1:4750";
/// Names another local cloud, and by itself means `--local`.
const LOCAL_VARIABLE: &str = "SIGNALBOX_LOCAL_URL";

/// Where, and as whom.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Access {
    /// A local cloud in the place of AWS [default: http://127.0.0.1:4750].
    #[arg(
        long,
        env = LOCAL_VARIABLE,
        value_name = "URL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        help_heading = "Access"
    )]
    local: Option<String>,
    /// The profile of the AWS configuration [default: AWS_PROFILE].
    #[arg(long, value_name = "NAME", help_heading = "Access")]
    profile: Option<String>,
    /// The region [default: AWS_REGION, AWS_DEFAULT_REGION, or the profile's].
    #[arg(long, value_name = "REGION", help_heading = "Access")]
    region: Option<String>,
}

/// AWS, or what stands in for it.
#[derive(Debug, Clone)]
pub(crate) struct Cloud {
    sdk: SdkConfig,
    is_local: bool,
}

impl Cloud {
    /// `provider` renews the credentials where they expire.
    fn new(
        region: String,
        credentials: Credentials,
        provider: Option<AwsCli>,
        endpoint: Option<String>,
        is_local: bool,
    ) -> Self {
        let aws = Aws::new(region, credentials, endpoint);
        let mut sdk = aws.sdk().to_builder().timeout_config(timeouts());
        if let Some(provider) = provider {
            sdk = sdk.credentials_provider(SharedCredentialsProvider::new(provider));
        }
        Self {
            sdk: sdk.build(),
            is_local,
        }
    }

    /// For an SDK's client.
    pub(crate) fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    /// The region.
    pub(crate) fn region(&self) -> &str {
        self.sdk.region().map_or("", Region::as_ref)
    }

    /// How often to look again: a local cloud's runs take seconds, and asking it costs nothing.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_millis(if self.is_local { 200 } else { 2500 })
    }

    /// Where a person looks at a pipeline, if there is a console.
    pub(crate) fn console(&self, pipeline: &str, run: Option<&str>) -> Option<String> {
        let region = self.region();
        let page = run.map_or_else(|| "view".to_owned(), |run| format!("executions/{run}/timeline"));
        (!self.is_local).then(|| {
            format!(
                "https://{region}.console.aws.amazon.com/codesuite/codepipeline/pipelines/{pipeline}/{page}?region={region}"
            )
        })
    }

    /// S3. Another endpoint than AWS's is asked by path: bucket names are no hosts there.
    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.sdk)
            .force_path_style(self.sdk.endpoint_url().is_some())
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// The ledger in this table.
    pub(crate) fn ledger(&self, table: String) -> Ledger {
        Ledger::dynamodb(aws_sdk_dynamodb::Client::new(&self.sdk), table)
    }
}

impl Access {
    /// Finds region and credentials; all that is missing is said at once.
    pub(crate) async fn connect(&self) -> Result<Cloud, Error> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(url) = self.local_url(variable) {
            // A local cloud takes any credentials.
            let credentials = Credentials::new("local", "local", None, None, "local");
            return Ok(Cloud::new(
                "us-east-1".to_owned(),
                credentials,
                None,
                Some(url),
                true,
            ));
        }
        // As with the AWS CLI: a profile that is asked for comes before keys in the environment.
        let keys = variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY"));
        let cli = AwsCli::new(self.profile.clone());
        let named = self.region.clone();
        let region = match named.or_else(|| variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")))
        {
            Some(region) => Some(region),
            None => cli.region().await,
        };
        let (found, provider) = match keys.filter(|_| self.profile.is_none()) {
            Some((key, secret)) => {
                let token = variable("AWS_SESSION_TOKEN");
                (
                    Ok(Credentials::new(key, secret, token, None, "environment")),
                    None,
                )
            }
            None => (cli.credentials().await, Some(cli)),
        };
        match (region, found) {
            (Some(region), Ok(credentials)) => {
                let endpoint = variable("AWS_ENDPOINT_URL");
                Ok(Cloud::new(region, credentials, provider, endpoint, false))
            }
            (region, found) => {
                let no_region = region.is_none().then(|| {
                    "no region: give --region, set AWS_REGION, or set `region` in the profile; it is the region of \
                     the Signalbox stack"
                        .to_owned()
                });
                let no_credentials = found.err().map(|why| {
                    format!(
                        "no credentials: set AWS_PROFILE (after `aws sso login`, where it signs in), or \
                         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; --local needs none ({why})"
                    )
                });
                Err(Error::Environment(
                    no_region.into_iter().chain(no_credentials).collect(),
                ))
            }
        }
    }

    /// The local cloud's URL, where one is meant.
    fn local_url(&self, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
        let given = self.local.as_deref()?;
        if !given.is_empty() {
            return Some(given.to_owned());
        }
        let named = variable(LOCAL_VARIABLE).filter(|url| !url.is_empty());
        Some(named.unwrap_or_else(|| LOCAL_URL.to_owned()))
    }
}

/// A person waits; what takes long is uploaded in parts, each with this time.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(Duration::from_secs(120))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(local: Option<&str>) -> Access {
        Access {
            local: local.map(str::to_owned),
            ..Access::default()
        }
    }

    #[test]
    fn a_local_cloud_is_the_given_one_the_named_one_or_the_usual_one() {
        let none = |_: &str| None;
        let named = |_: &str| Some("http://127.0.0.1:1".to_owned());
        assert_eq!(access(None).local_url(none), None);
        assert_eq!(access(Some("")).local_url(none).as_deref(), Some(LOCAL_URL));
        assert_eq!(
            access(Some("")).local_url(named).as_deref(),
            Some("http://127.0.0.1:1")
        );
        assert_eq!(
            access(Some("http://h:2")).local_url(named).as_deref(),
            Some("http://h:2")
        );
    }

    #[tokio::test]
    async fn a_local_cloud_needs_no_credentials() {
        let cloud = access(Some("http://127.0.0.1:4750")).connect().await.unwrap();
        assert!(cloud.console("p", None).is_none());
        assert_eq!(cloud.region(), "us-east-1");
    }
}
