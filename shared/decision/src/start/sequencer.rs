//! The order of one key's events.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::text::shown;

/// Orders the events of one key. S3: "compare as hexadecimal, after right-padding the shorter value
/// with zeros" (Amazon S3 User Guide, event message structure).
///
/// Held in lower case without trailing zeros; the order of such texts is exactly that order, also
/// within DynamoDB, so that a conditional write can compare them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sequencer(String);

/// Text that is no sequencer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no sequencer: 1 to 128 hexadecimal digits")]
pub struct InvalidSequencer(String);

impl Sequencer {
    /// Checks and normalises a sequencer.
    ///
    /// # Errors
    /// If `text` is not 1 to 128 hexadecimal digits.
    pub fn new(text: &str) -> Result<Self, InvalidSequencer> {
        if text.is_empty() || text.len() > 128 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(InvalidSequencer(shown(text, 100)));
        }
        let lower = text.to_ascii_lowercase();
        let trimmed = lower.trim_end_matches('0');
        Ok(Self(if trimmed.is_empty() {
            "0".to_owned()
        } else {
            trimmed.to_owned()
        }))
    }

    /// The normal form: comparing it as text is comparing sequencers.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sequencer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Sequencer {
    type Error = InvalidSequencer;
    fn try_from(text: String) -> Result<Self, InvalidSequencer> {
        Self::new(&text)
    }
}

impl From<Sequencer> for String {
    fn from(sequencer: Sequencer) -> Self {
        sequencer.0
    }
}
