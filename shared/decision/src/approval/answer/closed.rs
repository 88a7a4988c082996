//! Why nothing can be decided by a link.

use std::fmt;

use jiff::Timestamp;

use crate::approval::Decision;
use crate::approval::standing::Gone;

/// Why nothing can be decided by this link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// Not by this person or not in this way.
    Refused(Refusal),
    /// It was decided.
    Decided(Decision),
    /// It ended unanswered.
    Expired {
        /// When the link ended.
        at: Timestamp,
    },
    /// There is nothing left to decide.
    Gone(Gone),
    /// AWS does not show the approval as open yet, or did not take the answer: to be tried again.
    NotReady,
}

/// Why a person or a way is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The form came from another site.
    #[error("the form was sent from another site")]
    ForeignOrigin,
    /// The form does not belong to this browser's page.
    #[error("the form does not belong to the page that this browser was shown")]
    Nonce,
    /// Another installation's link.
    #[error("the link is for another pipeline")]
    OtherPipeline,
    /// There is no policy, or none that is valid.
    #[error("there is no valid approval policy")]
    NoPolicy,
    /// Not on the list (any more).
    #[error("this address is not on the list of approvers")]
    NotListed,
    /// We never asked this person about this, so far as the ledger knows.
    #[error("this address was not asked about this run")]
    NotAsked,
    /// The author of the change.
    #[error("the author of a change cannot approve it")]
    OwnChange,
}

impl Closed {
    /// The HTTP status for a form that met this.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Refused(Refusal::OtherPipeline) => 404,
            Self::Refused(_) => 403,
            Self::Decided(_) => 409,
            Self::Expired { .. } | Self::Gone(_) => 410,
            Self::NotReady => 503,
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Decided(decision) => write!(f, "already {} by {}", decision.verdict, decision.by),
            Self::Expired { at } => write!(f, "expired at {at}"),
            Self::Gone(why) => write!(f, "gone: {why}"),
            Self::NotReady => f.write_str("not ready"),
        }
    }
}
