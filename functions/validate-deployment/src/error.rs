//! Why a validation could not be made or reported.

use signalbox_bootstrap::{AwsFailure, Failure};
use signalbox_events::envelope::EventError;
use signalbox_ledger::LedgerError;
use thiserror::Error;

/// What stopped the handler.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// The event cannot be read: nobody can be told a verdict.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The ledger did not answer.
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// AWS refused or did not answer.
    #[error("{call}: {failure}")]
    Aws {
        /// The call.
        call: &'static str,
        /// What AWS said.
        failure: AwsFailure,
    },
    /// The deployment or the job is not one that this function may judge.
    #[error("{0}")]
    Foreign(String),
    /// Another invocation is at the same job, or was until it died.
    #[error("another invocation is at job {0}")]
    Busy(String),
    /// A check panicked.
    #[error("a check panicked: {0}")]
    Panicked(String),
    /// The checks did not end before the function's own deadline.
    #[error("the checks did not end within {0} s; raise the function's time-out or make fewer requests")]
    TooSlow(u64),
    /// A job's checks did not end in time, over all its invocations.
    #[error("the job is past its deadline: its checks and its watch took too long")]
    TooLate,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Ledger(error) if error.is_retryable() => Self::retryable(message),
            Error::Aws { failure, .. } if failure.retryable => Self::retryable(message),
            Error::Busy(_) => Self::retryable(message),
            Error::Event(_)
            | Error::Ledger(_)
            | Error::Aws { .. }
            | Error::Foreign(_)
            | Error::Panicked(_)
            | Error::TooSlow(_)
            | Error::TooLate => Self::permanent(message),
        }
    }
}
