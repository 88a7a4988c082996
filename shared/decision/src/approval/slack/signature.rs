//! Slack's signature over the very bytes of a request.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;
use thiserror::Error;

/// How far a request's time may be from ours, in seconds: five minutes, as Slack's documentation says
/// ("Verifying requests from Slack"). An older one is a replay.
pub const MAX_AGE_SECONDS: u64 = 300;

/// Slack's signing secret. Its `Debug` form does not show it.
#[derive(Clone)]
pub struct SigningSecret(Vec<u8>);

impl SigningSecret {
    /// Takes the secret as Slack's settings show it.
    #[must_use]
    pub fn new(secret: impl Into<Vec<u8>>) -> Self {
        Self(secret.into())
    }

    /// Checks that Slack signed this body, now.
    ///
    /// `timestamp` and `signature` are the headers `X-Slack-Request-Timestamp` and `X-Slack-Signature`;
    /// a header that came twice reaches us as one with a comma in it, and is refused as malformed.
    ///
    /// # Errors
    /// Everything but a fresh, exact signature.
    pub fn verify(
        &self,
        timestamp: Option<&str>,
        signature: Option<&str>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), Unsigned> {
        let (Some(timestamp), Some(signature)) = (timestamp, signature) else {
            return Err(Unsigned::Missing);
        };
        let digits = !timestamp.is_empty() && timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let sent = timestamp
            .parse::<i64>()
            .ok()
            .filter(|_| digits)
            .ok_or(Unsigned::Malformed)?;
        let mac = signature
            .strip_prefix("v0=")
            .filter(|mac| mac.len() == 64)
            .ok_or(Unsigned::Malformed)?;
        let mac = hex::decode(mac).map_err(|_| Unsigned::Malformed)?;
        if now.as_second().abs_diff(sent) > MAX_AGE_SECONDS {
            return Err(Unsigned::Stale);
        }
        let mut expected = Hmac::<Sha256>::new_from_slice(&self.0).map_err(|_| Unsigned::Forged)?;
        expected.update(format!("v0:{timestamp}:").as_bytes());
        expected.update(body);
        // In constant time.
        expected.verify_slice(&mac).map_err(|_| Unsigned::Forged)
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(hidden)")
    }
}

/// Why a request is not Slack's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unsigned {
    /// A header is missing.
    #[error("a signature header is missing")]
    Missing,
    /// A header is not what Slack sends.
    #[error("a signature header is malformed or there twice")]
    Malformed,
    /// More than five minutes from now.
    #[error("the request's time is more than five minutes off")]
    Stale,
    /// Another body, or another secret.
    #[error("the signature does not fit the body")]
    Forged,
}
