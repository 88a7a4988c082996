//! Why an alarm or a command was not handled.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use signalbox_bootstrap::{AwsFailure, Failure, aws_failure};
use signalbox_decision::rollback::command::Mistakes;
use signalbox_events::envelope::EventError;
use signalbox_ledger::LedgerError;
use thiserror::Error;

/// What stopped the handler.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// The event cannot be read.
    #[error(transparent)]
    Event(#[from] EventError),
    /// A person's command cannot be understood.
    #[error(transparent)]
    Command(#[from] Mistakes),
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

impl Error {
    /// AWS's error of a call.
    pub(crate) fn aws<E>(call: &'static str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata,
    {
        Self::Aws {
            call,
            failure: aws_failure(error),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Event(_) | Error::Command(_) | Error::Deployment { .. } => Self::permanent(message),
            Error::Aws { failure, .. } if !failure.retryable => Self::permanent(message),
            Error::Ledger(error) if !error.is_retryable() => Self::permanent(message),
            Error::Ledger(_) | Error::Aws { .. } | Error::Unsettled(_) | Error::Busy(_) => {
                Self::retryable(message)
            }
        }
    }
}
