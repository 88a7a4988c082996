//! One SDK configuration and one HTTP client for every SDK client of the process.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::http::Request;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use tokio::task::JoinSet;

use crate::Reader;

/// Amazon Trust Services' roots, the only ones that AWS's endpoints chain to
/// (<https://www.amazontrust.com/repository/>): reading the system's store costs up to 2 ms at every
/// cold start, and trusts far more than we call.
const AMAZON_ROOTS: &[u8] = include_bytes!("../roots/amazon.pem");

/// A call that AWS has not answered by then is given up and tried again.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(8);
/// All attempts together: below every function's own time-out, so that the function still reports.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Access to AWS, made once at init.
#[derive(Debug, Clone)]
pub struct Aws {
    sdk: SdkConfig,
    connector: SharedHttpConnector,
    region: String,
    endpoint: Option<String>,
}

impl Aws {
    /// Reads Lambda's own variables. Credentials come from the environment alone, as Lambda gives them:
    /// no chain, no metadata call.
    pub(crate) fn read(env: &mut Reader) -> Option<Self> {
        let region = env.required::<String>("AWS_REGION", "the region, set by Lambda");
        let key = env.required::<String>(
            "AWS_ACCESS_KEY_ID",
            "part of the role's credentials, set by Lambda",
        );
        let secret = env.required::<String>(
            "AWS_SECRET_ACCESS_KEY",
            "part of the role's credentials, set by Lambda",
        );
        let token = env.optional::<String>(
            "AWS_SESSION_TOKEN",
            "part of the role's credentials, set by Lambda",
        );
        let endpoint = env.optional::<String>(
            "AWS_ENDPOINT_URL",
            "another endpoint for every service, such as a local cloud's",
        );
        let credentials = Credentials::new(key?, secret?, token?, None, "lambda-environment");
        Some(Self::new(region?, credentials, endpoint?))
    }

    /// Stands in where Lambda's own variables are wrong, so that the function's own are still read and
    /// all mistakes are reported together; no call is ever made with it.
    pub(crate) fn unusable() -> Self {
        Self::new(
            "unset".to_owned(),
            Credentials::new("unset", "unset", None, None, "unset"),
            None,
        )
    }

    /// Access with credentials and, for a local cloud, an endpoint at hand.
    #[must_use]
    pub fn new(region: String, credentials: Credentials, endpoint: Option<String>) -> Self {
        let connector = connector();
        let shared = connector.clone();
        let mut sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(http_client_fn(move |_, _| shared.clone()))
            .sleep_impl(TokioSleep::new())
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                    .operation_timeout(OPERATION_TIMEOUT)
                    .build(),
            );
        sdk.set_endpoint_url(endpoint.clone());
        Self {
            sdk: sdk.build(),
            connector,
            region,
            endpoint,
        }
    }

    /// The configuration for every SDK client of the process.
    #[must_use]
    pub fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    /// Whether calls go to another endpoint than AWS's; S3 then needs path-style addresses.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.endpoint.is_some()
    }

    /// Opens a connection to each service (by its endpoint's prefix, such as `codepipeline`), so that
    /// the first invocation finds it in the pool. The answer does not matter, an error's neither: any
    /// answer leaves the TLS connection open, and nothing is asked that could have an effect.
    pub async fn warm(&self, services: &[&str]) {
        if self.is_local() {
            return;
        }
        // All at once: one after the other they could outlast the 10 seconds that Lambda gives to init.
        let mut opening = JoinSet::new();
        for service in services {
            let uri = format!("https://{service}.{}.amazonaws.com/ping", self.region);
            let mut request = Request::empty();
            if request.set_uri(uri).is_ok() {
                opening.spawn(tokio::time::timeout(
                    CONNECT_TIMEOUT,
                    self.connector.call(request),
                ));
            }
        }
        while opening.join_next().await.is_some() {}
    }
}

/// One connector, and so one pool, for all clients: what [`Aws::warm`] opens is what the first call uses.
fn connector() -> SharedHttpConnector {
    let roots = TrustStore::empty().with_pem_certificate(AMAZON_ROOTS);
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .build();
    let mut builder = aws_smithy_http_client::Connector::builder()
        .connector_settings(settings)
        .sleep_impl(TokioSleep::new())
        .tls_provider(Provider::Rustls(CryptoMode::Ring));
    if let Ok(context) = TlsContext::builder().with_trust_store(roots).build() {
        builder = builder.tls_context(context);
    }
    SharedHttpConnector::new(builder.build())
}
