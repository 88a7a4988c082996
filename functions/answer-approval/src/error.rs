//! What can keep a request from its answer.

use signalbox_bootstrap::{AwsFailure, Failure};
use signalbox_ledger::LedgerError;
use signalbox_slack::SlackError;

/// Why a request could not be handled. People get a page that says so; this is for the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Not an HTTP request of a function URL.
    #[error("the event is not a function URL's request (payload format 2.0): {0}")]
    Event(String),
    /// The system gives no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
    /// The signing secret is not what it should be; the message says how to mend it and holds no secret.
    #[error("the signing secret cannot be used: {0}")]
    Secret(String),
    /// An AWS call failed.
    #[error("{call}: {failure}")]
    Aws { call: &'static str, failure: AwsFailure },
    /// The ledger could not be read or written: then nothing is decided.
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// Slack could not be told.
    #[error(transparent)]
    Slack(#[from] SlackError),
    /// A record that this version cannot read.
    #[error("the ledger's {what} cannot be read: {problem}")]
    Record { what: &'static str, problem: String },
}

impl From<signalbox_approvals::Error> for Error {
    fn from(error: signalbox_approvals::Error) -> Self {
        match error {
            signalbox_approvals::Error::Aws { call, failure } => Self::Aws { call, failure },
            signalbox_approvals::Error::Secret(problem) => Self::Secret(problem),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        // A function URL's invocation is synchronous: nobody retries it but the person.
        Self::permanent(error.to_string())
    }
}
