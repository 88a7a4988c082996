//! Access to AWS as the AWS CLI finds it, or to a local cloud.

mod credentials;
mod http;

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::IdentityCache;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::TrustStore;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use clap::Args;
use signalbox_ledger::Ledger;

use self::credentials::AwsCli;
use crate::error::Error;

/// Where `cargo local` listens.
const LOCAL_URL: &str = "http://127.0.0.1:4750";
/// Names another local cloud, and by itself means `--local`.
const LOCAL_VARIABLE: &str = "SIGNALBOX_LOCAL_URL";

/// What does not take a connection by then is tried again.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

const NO_REGION: &str = "no region: give --region, set AWS_REGION, or set `region` in the profile; it is the region \
     of the Signalbox stack";
const NO_CREDENTIALS: &str = "no credentials: set AWS_PROFILE (after `aws sso login`, where it signs in), or \
     AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; --local needs none";

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
    fn new(
        region: String,
        credentials: SharedCredentialsProvider,
        endpoint: Option<String>,
        http: SharedHttpClient,
        is_local: bool,
    ) -> Self {
        let mut sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region))
            .credentials_provider(credentials)
            // One for all clients: each with its own would start the AWS CLI by itself.
            .identity_cache(IdentityCache::lazy().build())
            .http_client(http)
            .sleep_impl(TokioSleep::new())
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(timeouts());
        sdk.set_endpoint_url(endpoint);
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
    /// Finds region, credentials and roots; all that is missing is said at once.
    pub(crate) async fn connect(&self) -> Result<Cloud, Error> {
        if let Some(url) = self.local_url(variable) {
            return local(url);
        }
        let cli = AwsCli::new(self.profile.clone());
        let region = self.region(&cli).await;
        let credentials = self.credentials(cli).await;
        let trust = http::trust(variable(http::BUNDLE).as_deref());
        match (region, credentials, trust) {
            (Some(region), Ok(credentials), Ok(trust)) => {
                let endpoint = variable("AWS_ENDPOINT_URL");
                let http = http::client(trust, ProxyConfig::from_env());
                Ok(Cloud::new(region, credentials, endpoint, http, false))
            }
            (region, credentials, trust) => {
                let lacks = [
                    region.is_none().then(|| NO_REGION.to_owned()),
                    credentials.err().map(|why| format!("{NO_CREDENTIALS} ({why})")),
                    trust.err(),
                ];
                Err(Error::Environment(lacks.into_iter().flatten().collect()))
            }
        }
    }

    async fn region(&self, cli: &AwsCli) -> Option<String> {
        let named = self.region.clone();
        match named.or_else(|| variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"))) {
            Some(region) => Some(region),
            None => cli.region().await,
        }
    }

    /// The environment's keys, else what the AWS CLI has; else why it has none.
    async fn credentials(&self, cli: AwsCli) -> Result<SharedCredentialsProvider, String> {
        // As with the AWS CLI: a profile that is asked for comes before keys in the environment.
        let keys = variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY"));
        if let Some((key, secret)) = keys.filter(|_| self.profile.is_none()) {
            let token = variable("AWS_SESSION_TOKEN");
            let found = Credentials::new(key, secret, token, None, "environment");
            return Ok(SharedCredentialsProvider::new(found));
        }
        cli.credentials().await?;
        // Asked again whenever the credentials expire.
        Ok(SharedCredentialsProvider::new(cli))
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

/// A local cloud takes any credentials, and no proxy knows the way to it.
fn local(url: String) -> Result<Cloud, Error> {
    let credentials = Credentials::new("local", "local", None, None, "local");
    // Plain HTTP trusts nobody, so that no roots need to be there.
    let trust = if url.starts_with("http:") {
        Ok(TrustStore::empty())
    } else {
        http::trust(variable(http::BUNDLE).as_deref())
    };
    let trust = trust.map_err(|why| Error::Environment(vec![why]))?;
    Ok(Cloud::new(
        "us-east-1".to_owned(),
        SharedCredentialsProvider::new(credentials),
        Some(url),
        http::client(trust, ProxyConfig::disabled()),
        true,
    ))
}

/// A variable of the environment; set to nothing, it is as if it were not there.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A person waits; only a package's content may take longer, and says so by itself.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
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
