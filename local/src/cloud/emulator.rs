//! The emulator's client.

use std::sync::OnceLock;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::Value;
use signalbox_local_core::AwsError;
use signalbox_local_wire::{Model, decode_response, encode_request};

/// An SQS long poll lasts 20 s; nothing else takes as long.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Headers that belong to one connection, and `Expect`, which the gateway has answered itself.
pub(crate) const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
];

/// A client that ignores the environment's proxies: everything here is on this machine.
pub(crate) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

/// moto, or the emulator that was named in its stead.
#[derive(Debug)]
pub(crate) struct Emulator {
    url: String,
    region: String,
    http: reqwest::Client,
    /// The gateway's authority, once it listens: URLs in the emulator's answers then lead to the gateway.
    host: OnceLock<HeaderValue>,
}

impl Emulator {
    pub(crate) fn new(url: &str, region: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            region: region.to_owned(),
            // The builder fails only where TLS cannot be set up, which is not compiled in.
            http: client().unwrap_or_default(),
            host: OnceLock::new(),
        }
    }

    /// What the emulator is to take for its own address: queue URLs are made from it.
    pub(crate) fn set_host(&self, authority: &str) {
        if let Ok(value) = HeaderValue::try_from(authority) {
            // The first gateway's stays.
            let _ = self.host.set(value);
        }
    }

    /// The header from which the emulator learns which service is meant. It verifies no signature.
    pub(crate) fn authorization(&self, signing_name: &str) -> Option<HeaderValue> {
        HeaderValue::try_from(format!(
            "AWS4-HMAC-SHA256 Credential=local/20260101/{}/{signing_name}/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature=local",
            self.region
        ))
        .ok()
    }

    /// Calls an operation through the service's model.
    pub(crate) async fn call(
        &self,
        model: &Model,
        operation: &str,
        input: &Value,
    ) -> Result<Value, AwsError> {
        let outgoing = encode_request(model, operation, input)?;
        let mut headers: HeaderMap = outgoing.headers.into_iter().collect();
        headers.extend(
            self.authorization(model.signing_name())
                .map(|value| (header::AUTHORIZATION, value)),
        );
        headers.extend(self.host.get().map(|value| (header::HOST, value.clone())));
        let response = self
            .send(outgoing.method, &outgoing.path, headers, outgoing.body.into())
            .await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.map_err(|error| self.silent(&error))?;
        decode_response(model, operation, status, &headers, &body)
    }

    /// Sends a request as it is.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: reqwest::Body,
    ) -> Result<reqwest::Response, AwsError> {
        let request = self
            .http
            .request(method, format!("{}{path}", self.url))
            .headers(headers)
            .body(body);
        request.send().await.map_err(|error| self.silent(&error))
    }

    fn silent(&self, error: &reqwest::Error) -> AwsError {
        let why = std::error::Error::source(error)
            .map(ToString::to_string)
            .unwrap_or_default();
        AwsError::internal(format!(
            "the emulator at {} does not answer: {error} {why}",
            self.url
        ))
    }
}
