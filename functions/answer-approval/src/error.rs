//! What can keep a request from its answer.

use signalbox_bootstrap::{AwsFailure, Failure};
use signalbox_ledger::LedgerError;

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
    /// A record that this version cannot read.
    #[error("the ledger's {what} cannot be read: {problem}")]
    Record { what: &'static str, problem: String },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        // A function URL's invocation is synchronous: nobody retries it but the person.
        Self::permanent(error.to_string())
    }
}
