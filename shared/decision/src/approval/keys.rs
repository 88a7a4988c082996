//! The signing keys: one current, and the previous one while its links are still out.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;
use thiserror::Error;

/// The length of a signature: HMAC-SHA256.
pub(crate) const MAC_BYTES: usize = 32;

/// Why a key is refused. It never holds the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The id is not fit to stand in a link.
    #[error("the signing key's id must be 1 to 32 of A-Z a-z 0-9 . - _")]
    Id,
    /// The secret is too short to resist guessing.
    #[error("the signing key must be 32 to 1024 bytes long; let Secrets Manager generate 64 characters")]
    Length,
}

/// One signing key. Its `Debug` form shows the id only.
///
/// As JSON it is `{"id": "…", "key": "…"}`: what Secrets Manager's `GenerateSecretString` makes of the
/// template `{"id": "k1"}` and the generated string key `key`. The text itself is the key, byte for byte.
#[derive(Clone, Deserialize)]
#[serde(try_from = "SecretJson")]
pub struct Key {
    id: String,
    secret: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretJson {
    id: String,
    key: String,
}

impl TryFrom<SecretJson> for Key {
    type Error = KeyError;
    fn try_from(json: SecretJson) -> Result<Self, KeyError> {
        Self::new(json.id, json.key.into_bytes())
    }
}

impl Key {
    /// The longest id.
    pub(crate) const MAX_ID: usize = 32;

    /// Takes a key.
    ///
    /// # Errors
    /// An id that cannot stand in a link, or a secret of fewer than 32 or more than 1,024 bytes.
    pub fn new(id: impl Into<String>, secret: impl Into<Vec<u8>>) -> Result<Self, KeyError> {
        let (id, secret) = (id.into(), secret.into());
        let id_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if id.is_empty() || id.len() > Self::MAX_ID || !id.chars().all(id_char) {
            return Err(KeyError::Id);
        }
        if !(32..=1024).contains(&secret.len()) {
            return Err(KeyError::Length);
        }
        Ok(Self { id, secret })
    }

    /// The key's id, which links carry in the clear.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Signs `parts` for one `purpose`. The purpose and the length of each part are signed too, so that
    /// a signature made for one thing never fits another.
    pub(crate) fn sign(&self, purpose: &str, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
        self.mac(purpose, parts)
            .map_or([0; MAC_BYTES], |mac| mac.finalize().into_bytes().into())
    }

    /// Compares a signature in constant time.
    pub(crate) fn verify(&self, purpose: &str, parts: &[&[u8]], signature: &[u8]) -> bool {
        self.mac(purpose, parts)
            .is_some_and(|mac| mac.verify_slice(signature).is_ok())
    }

    /// `None` never comes out: HMAC takes keys of every length. It stands for the error that the
    /// general interface declares, and then nothing verifies.
    fn mac(&self, purpose: &str, parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).ok()?;
        for part in [&[purpose.as_bytes()], parts].concat() {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        Some(mac)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The live keys. New links are signed with the current one; links of the previous one still verify,
/// so that a rotation invalidates nothing that is in somebody's mailbox.
#[derive(Debug, Clone)]
pub struct Keys {
    current: Key,
    previous: Option<Key>,
}

impl Keys {
    /// The current key and, after a rotation, the previous one (Secrets Manager's stages `AWSCURRENT`
    /// and `AWSPREVIOUS`).
    ///
    /// A previous key of the same id is dropped: a link could not say which of the two it means. Whoever
    /// replaces a leaked key without a new id so retires the leaked one at once.
    #[must_use]
    pub fn new(current: Key, previous: Option<Key>) -> Self {
        let previous = previous.filter(|previous| previous.id != current.id);
        Self { current, previous }
    }

    /// The key that signs.
    #[must_use]
    pub fn current(&self) -> &Key {
        &self.current
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<&Key> {
        [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|key| key.id == id)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn key(id: &str, fill: u8) -> Key {
        Key::new(id, vec![fill; 32]).unwrap()
    }

    #[test]
    fn a_weak_or_unnamed_key_is_refused() {
        assert_eq!(Key::new("k1", vec![7; 31]).unwrap_err(), KeyError::Length);
        assert_eq!(Key::new("", vec![7; 32]).unwrap_err(), KeyError::Id);
        assert_eq!(Key::new("k=1", vec![7; 32]).unwrap_err(), KeyError::Id);
        assert_eq!(Key::new("k".repeat(33), vec![7; 32]).unwrap_err(), KeyError::Id);
    }

    #[test]
    fn a_key_is_read_from_the_secret_and_never_shown() {
        let key: Key =
            serde_json::from_str(r#"{"id":"k1","key":"MARKERMARKERMARKERMARKERMARKERMARKER"}"#).unwrap();
        assert!(!format!("{key:?} {:?}", Keys::new(key.clone(), None)).contains("MARKER"));
        let short = serde_json::from_str::<Key>(r#"{"id":"k1","key":"MARKER"}"#).unwrap_err();
        assert!(!short.to_string().contains("MARKER"));
    }

    #[test]
    fn a_replaced_key_of_the_same_id_is_retired() {
        let keys = Keys::new(key("k1", 1), Some(key("k1", 2)));
        assert!(keys.previous.is_none());
        assert!(Keys::new(key("k2", 1), Some(key("k1", 2))).by_id("k1").is_some());
    }

    #[test]
    fn a_signature_fits_one_purpose_and_one_split_of_the_parts() {
        let key = key("k1", 1);
        let signature = key.sign("link", &[b"ab", b"c"]);
        assert!(key.verify("link", &[b"ab", b"c"], &signature));
        assert!(!key.verify("nonce", &[b"ab", b"c"], &signature));
        assert!(!key.verify("link", &[b"a", b"bc"], &signature));
        assert!(!key.verify("link", &[b"ab", b"c"], signature.get(..16).unwrap()));
    }
}
