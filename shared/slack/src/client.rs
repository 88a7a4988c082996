//! The calls.

use std::sync::OnceLock;
use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::http::Request;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use signalbox_bootstrap::Reader;
use signalbox_decision::approval::slack::{Message, ResponseUrl, SigningSecret};

use crate::SlackError;
use crate::secret::Secrets;

/// Slack's Web API, where no other is configured.
const API: &str = "https://slack.com/api";

/// Slack mostly answers within 300 ms; what takes longer is tried again with the event.
const CALL_TIMEOUT: Duration = Duration::from_secs(4);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Slack, through the app that the workspace has installed.
#[derive(Debug)]
pub struct Slack {
    secrets: Secrets,
    api: String,
    connector: OnceLock<SharedHttpConnector>,
}

/// A message that was posted: its channel and its time, by which Slack names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// The channel's id.
    pub channel: String,
    /// The message's `ts`.
    pub ts: String,
}

/// What the environment says of Slack: the secret's ARN (none: Slack is off) and the API's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlackConfig {
    secret: String,
    api: String,
}

impl SlackConfig {
    /// Reads `SLACK_SECRET_ARN` and `SLACK_API_URL`. The outer `None` is a mistake, which the reader
    /// keeps; the inner one says that Slack is off.
    pub fn read(env: &mut Reader) -> Option<Option<Self>> {
        let secret = env.optional::<String>(
            "SLACK_SECRET_ARN",
            "the Secrets Manager secret {\"signing_secret\", \"bot_token\"}; empty while Slack is off",
        );
        let api = env.or("SLACK_API_URL", API.to_owned(), "the address of Slack's Web API");
        if let Some(url) = &api
            && !(url.starts_with("https://") || url.starts_with("http://127.0.0.1:"))
        {
            env.mistake("SLACK_API_URL is not an https:// URL; a credential is sent there (only a test's own Slack is plain HTTP)");
        }
        let (secret, api) = (secret?, api?);
        Some(secret.map(|secret| Self {
            secret,
            api: api.trim_end_matches('/').to_owned(),
        }))
    }
}

#[derive(Deserialize)]
struct Answer {
    ok: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    channel: String,
    #[serde(default)]
    ts: String,
}

impl Slack {
    /// Slack as configured.
    #[must_use]
    pub fn new(config: SlackConfig, secrets: aws_sdk_secretsmanager::Client) -> Self {
        Self {
            secrets: Secrets::new(secrets, config.secret),
            api: config.api,
            connector: OnceLock::new(),
        }
    }

    /// What Slack signs its requests with.
    ///
    /// # Errors
    /// If Secrets Manager does not give a usable one; then no request of Slack's is believed.
    pub async fn signing_secret(&self) -> Result<SigningSecret, SlackError> {
        self.secrets.signing().await
    }

    /// Posts a message, in a thread if one is given; it shows in the channel as well.
    ///
    /// # Errors
    /// If it was not posted, or nobody knows.
    pub async fn post(
        &self,
        channel: &str,
        thread: Option<&str>,
        message: &Message,
    ) -> Result<Posted, SlackError> {
        let mut body = fields(channel, message);
        if let Some(thread) = thread {
            body["thread_ts"] = json!(thread);
            body["reply_broadcast"] = json!(true);
        }
        let answer = self.call("chat.postMessage", &body).await?;
        Ok(Posted {
            channel: answer.channel,
            ts: answer.ts,
        })
    }

    /// Puts another message in the place of one that was posted.
    ///
    /// # Errors
    /// If it was not edited, or nobody knows.
    pub async fn update(&self, posted: &Posted, message: &Message) -> Result<(), SlackError> {
        let mut body = fields(&posted.channel, message);
        body["ts"] = json!(posted.ts);
        self.call("chat.update", &body).await.map(drop)
    }

    /// Tells the person who clicked, and nobody else.
    ///
    /// # Errors
    /// If Slack does not take it.
    pub async fn respond(&self, to: &ResponseUrl, message: &Message) -> Result<(), SlackError> {
        const CALL: &str = "response_url";
        let body = json!({
            "response_type": "ephemeral", "replace_original": false,
            "text": message.text, "blocks": message.blocks,
        });
        let (status, _) = self.send(CALL, to.as_str(), None, &body).await?;
        match status {
            200..=299 => Ok(()),
            status => Err(SlackError::Refused {
                call: CALL,
                code: status.to_string(),
            }),
        }
    }

    async fn call(&self, call: &'static str, body: &Value) -> Result<Answer, SlackError> {
        let secret = self.secrets.get().await?;
        let url = format!("{}/{call}", self.api);
        let (status, bytes) = self.send(call, &url, Some(&secret.bot_token), body).await?;
        if status == 429 {
            return Err(SlackError::Later { call });
        }
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| SlackError::Unknown {
            call,
            problem: format!("status {status} without Slack's JSON"),
        })?;
        match answer.error.as_str() {
            _ if answer.ok => Ok(answer),
            "ratelimited" | "rate_limited" => Err(SlackError::Later { call }),
            "fatal_error" | "internal_error" | "service_unavailable" | "request_timeout" => {
                Err(SlackError::Unknown {
                    call,
                    problem: answer.error,
                })
            }
            _ => Err(SlackError::Refused {
                call,
                code: answer.error.chars().take(80).collect(),
            }),
        }
    }

    async fn send(
        &self,
        call: &'static str,
        url: &str,
        token: Option<&str>,
        body: &Value,
    ) -> Result<(u16, Vec<u8>), SlackError> {
        let unknown = |problem: String| SlackError::Unknown { call, problem };
        let mut request = Request::new(SdkBody::from(body.to_string()));
        // The errors of these may repeat the address, which can be a credential.
        request
            .set_method("POST")
            .map_err(|_| unknown("the method is not valid".to_owned()))?;
        request
            .set_uri(url)
            .map_err(|_| unknown("the address is not valid".to_owned()))?;
        let headers = request.headers_mut();
        headers.insert("content-type", "application/json; charset=utf-8");
        if let Some(token) = token {
            headers
                .try_insert("authorization", format!("Bearer {token}"))
                .map_err(|_| SlackError::Secret)?;
        }
        let connector = self.connector.get_or_init(connector);
        let exchange = async {
            let response = connector
                .call(request)
                .await
                .map_err(|_| unknown("no connection".to_owned()))?;
            let status = response.status().as_u16();
            let bytes = ByteStream::new(response.into_body()).collect().await;
            Ok((
                status,
                bytes
                    .map_err(|_| unknown("the answer broke off".to_owned()))?
                    .to_vec(),
            ))
        };
        let answer = tokio::time::timeout(CALL_TIMEOUT, exchange).await;
        answer.unwrap_or_else(|_| Err(unknown("no answer in time".to_owned())))
    }
}

fn fields(channel: &str, message: &Message) -> Value {
    json!({
        "channel": channel, "text": message.text, "blocks": message.blocks,
        "mrkdwn": false, "unfurl_links": false, "unfurl_media": false,
    })
}

fn connector() -> SharedHttpConnector {
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .build();
    let builder = aws_smithy_http_client::Connector::builder()
        .connector_settings(settings)
        .sleep_impl(TokioSleep::new())
        .tls_provider(Provider::Rustls(CryptoMode::Ring));
    SharedHttpConnector::new(builder.build())
}
