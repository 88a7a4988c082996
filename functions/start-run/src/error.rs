//! What can go wrong, and whether trying again helps.

use signalbox_bootstrap::{AwsFailure, Failure};
use signalbox_events::envelope::EventError;
use signalbox_ledger::LedgerError;
use thiserror::Error;

/// Why an upload was not handled. Nothing here repeats a payload.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// The event is not one that can be acted on.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The ledger cannot tell or write; the effect was withheld.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// An AWS call failed.
    #[error("{call}: {failure}")]
    Aws { call: &'static str, failure: AwsFailure },
    /// The package's bytes stopped coming.
    #[error("the package could not be read to its end: {0}")]
    Transfer(String),
    /// The temporary file could not be written or read.
    #[error("the function's temporary storage failed: {0}; check EphemeralStorage")]
    Storage(String),
    /// The package takes longer to inspect than the function has.
    #[error(
        "the function ran out of time while inspecting the package; raise MemorySize (and CPU with it) or Timeout"
    )]
    OutOfTime,
    /// Another invocation has this upload in hand, or had it when it crashed.
    #[error("another invocation handles this upload until {0}; it is taken over after that")]
    InHand(jiff::Timestamp),
    /// The same object version was seen with another content, which S3 does not do.
    #[error("this object version was claimed with another content; the event is refused")]
    Conflict,
    /// Several uploads of one event failed.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<Error>),
}

impl Error {
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Event(_) | Self::Conflict => false,
            Self::Ledger(error) => error.is_retryable(),
            Self::Aws { failure, .. } => failure.retryable,
            Self::Transfer(_) | Self::Storage(_) | Self::OutOfTime | Self::InHand(_) => true,
            Self::Several(errors) => errors.iter().any(Self::is_retryable),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        if error.is_retryable() {
            Self::retryable(message)
        } else {
            Self::permanent(message)
        }
    }
}
