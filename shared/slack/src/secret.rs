//! The secret `signalbox-{environment}-slack`, read when needed and kept for a minute.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use signalbox_bootstrap::aws_failure;
use signalbox_decision::approval::slack::SigningSecret;
use tokio::time::Instant;

use crate::SlackError;

/// A secret that was changed in Slack's settings is taken over within this time.
const KEPT: Duration = Duration::from_secs(60);

/// What Slack's settings show of our app. No `Debug`.
#[derive(Deserialize)]
pub(crate) struct Secret {
    pub(crate) signing_secret: String,
    pub(crate) bot_token: String,
}

pub(crate) struct Secrets {
    client: aws_sdk_secretsmanager::Client,
    arn: String,
    kept: Mutex<Option<(Arc<Secret>, Instant)>>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("arn", &self.arn)
            .finish_non_exhaustive()
    }
}

impl Secrets {
    pub(crate) fn new(client: aws_sdk_secretsmanager::Client, arn: String) -> Self {
        Self {
            client,
            arn,
            kept: Mutex::new(None),
        }
    }

    pub(crate) async fn signing(&self) -> Result<SigningSecret, SlackError> {
        Ok(SigningSecret::new(self.get().await?.signing_secret.as_bytes()))
    }

    pub(crate) async fn get(&self) -> Result<Arc<Secret>, SlackError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((secret, read)) = kept
            && read.elapsed() < KEPT
        {
            return Ok(secret);
        }
        let value = self.client.get_secret_value().secret_id(&self.arn).send().await;
        let value = value.map_err(|error| SlackError::Aws(aws_failure(&error)))?;
        // The parser's own message may repeat what it read. An empty secret would verify anything.
        let secret: Secret = serde_json::from_str(value.secret_string().unwrap_or_default())
            .map_err(|_| SlackError::Secret)?;
        if secret.signing_secret.len() < 16 || secret.bot_token.is_empty() {
            return Err(SlackError::Secret);
        }
        let secret = Arc::new(secret);
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((secret.clone(), Instant::now()));
        Ok(secret)
    }
}
