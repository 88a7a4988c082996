//! Why an alarm was not handled.

use signalbox_bootstrap::{AwsFailure, Failure};
use signalbox_events::envelope::EventError;
use signalbox_ledger::LedgerError;
use thiserror::Error;

/// What stopped the handler.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// The event cannot be read.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The ledger did not answer, so no effect was allowed.
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
    /// What CodeDeploy answered lacks something that the decision needs.
    #[error("deployment {deployment}: {problem}")]
    Deployment {
        /// The deployment.
        deployment: String,
        /// What is wrong with it.
        problem: String,
    },
    /// What was read changed, or is not all there yet.
    #[error("{0}; the event will be tried again")]
    Unsettled(String),
    /// Another invocation is at the same rollback.
    #[error("another invocation is rolling deployment {0} back")]
    Busy(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Event(_) | Error::Deployment { .. } => Self::permanent(message),
            Error::Aws { failure, .. } if !failure.retryable => Self::permanent(message),
            Error::Ledger(error) if !error.is_retryable() => Self::permanent(message),
            Error::Ledger(_) | Error::Aws { .. } | Error::Unsettled(_) | Error::Busy(_) => {
                Self::retryable(message)
            }
        }
    }
}
