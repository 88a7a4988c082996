//! The signing keys, as Secrets Manager has them now.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use signalbox_approvals::{Stage, signing_key};
use signalbox_decision::approval::keys::{Key, Keys};
use signalbox_decision::approval::link::{Link, LinkError, VerifiedLink};
use tokio::time::Instant;
use tracing::warn;

use crate::error::Error;

/// Anybody can send us links that do not verify. Each process asks Secrets Manager because of them at
/// most this often, and lets them wait.
const FETCH_PAUSE: Duration = Duration::from_secs(1);

/// Verifies links with the live keys.
///
/// A link that fits is always verified with freshly read keys, so that a retired key opens nothing from
/// the moment on at which it is retired; one that does not fit costs nothing but time.
pub(crate) struct SigningKeys {
    client: aws_sdk_secretsmanager::Client,
    secret: String,
    cached: Mutex<Option<(Keys, Instant)>>,
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKeys")
            .field("secret", &self.secret)
            .finish_non_exhaustive()
    }
}

/// A link that fits, and the keys that it fits.
pub(crate) type Verified = (VerifiedLink, Keys);

impl SigningKeys {
    pub(crate) fn new(client: aws_sdk_secretsmanager::Client, secret: String) -> Self {
        Self {
            client,
            secret,
            cached: Mutex::new(None),
        }
    }

    /// Verifies a link's segment.
    pub(crate) async fn verify(&self, segment: &str) -> Result<Result<Verified, LinkError>, Error> {
        let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((keys, fetched)) = cached {
            match Link::verify(segment, &keys) {
                Ok(_) => {}
                Err(error @ (LinkError::TooLong | LinkError::Malformed)) => return Ok(Err(error)),
                // The keys may have been rotated since.
                Err(LinkError::UnknownKey | LinkError::Forged) => {
                    tokio::time::sleep_until(fetched + FETCH_PAUSE).await;
                }
            }
        }
        let keys = self.fetch().await?;
        *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = Some((keys.clone(), Instant::now()));
        Ok(Link::verify(segment, &keys).map(|link| (link, keys)))
    }

    async fn fetch(&self) -> Result<Keys, Error> {
        let (current, previous) = tokio::join!(self.stage(Stage::Current), self.stage(Stage::Previous));
        let current = current?.ok_or_else(|| Error::Secret("it has no current version".to_owned()))?;
        let previous = match previous {
            Ok(previous) => previous,
            // What came before the current key need not have been a key at all.
            Err(signalbox_approvals::Error::Secret(problem)) => {
                warn!(problem, "the signing secret's previous version is not used");
                None
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Keys::new(current, previous))
    }

    async fn stage(&self, stage: Stage) -> Result<Option<Key>, signalbox_approvals::Error> {
        signing_key(&self.client, &self.secret, stage).await
    }
}
