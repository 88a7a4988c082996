//! What can go wrong, and whether trying again helps.

use signalbox_bootstrap::{AwsFailure, Failure};
use signalbox_events::envelope::EventError;
use signalbox_ledger::LedgerError;
use thiserror::Error;

/// Why an event was not followed up.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// The event is not one that can be acted on.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The ledger cannot tell or write; nothing was told.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// An AWS call failed.
    #[error("{call}: {failure}")]
    Aws { call: &'static str, failure: AwsFailure },
    /// Other invocations kept saving the same timeline.
    #[error("the run's timeline is written by too many events at once")]
    Contended,
    /// Another invocation is telling the same, or was when it crashed.
    #[error("another invocation tells {0} just now")]
    BeingTold(String),
}

impl Error {
    /// A call's failure.
    pub(crate) fn of(call: &'static str) -> impl FnOnce(AwsFailure) -> Self {
        move |failure| Self::Aws { call, failure }
    }

    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Event(_) => false,
            Self::Ledger(error) => error.is_retryable(),
            Self::Aws { failure, .. } => failure.retryable,
            Self::Contended | Self::BeingTold(_) => true,
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
