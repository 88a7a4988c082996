//! What can keep a sweep from doing everything.

use signalbox_approvals::NoPolicy;
use signalbox_bootstrap::{AwsFailure, Failure};
use signalbox_ledger::LedgerError;

/// Why something was not done. The next sweep tries it again, whatever it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// An AWS call failed.
    #[error("{call}: {failure}")]
    Aws { call: &'static str, failure: AwsFailure },
    /// The ledger cannot tell or write; what it guards was withheld.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The signing secret is not what it should be; the message holds no secret.
    #[error("the signing secret cannot be used: {0}")]
    Secret(String),
    /// The policy cannot be used; nobody is reminded until it can.
    #[error(transparent)]
    Policy(#[from] NoPolicy),
    /// A record that this version cannot read.
    #[error("the ledger's record of {0} cannot be read: {1}")]
    Record(String, String),
    /// The function that was asked to repair something failed; its log says why.
    #[error("{0} could not repair {1}: {2}")]
    Repair(String, String, String),
    /// A message that SNS could not take.
    #[error("the message cannot be built: {0}")]
    Message(String),
    /// The invocation's time is nearly over.
    #[error("there was no time left for all {0}; the next sweep begins with the newest again")]
    OutOfTime(&'static str),
    /// A listing that goes on beyond what is read of it.
    #[error("{0} lists more than {1} {2}: those beyond were not looked at")]
    TooMany(&'static str, usize, &'static str),
    /// Some of it failed; the rest was done.
    #[error("{} of a sweep's steps failed: {}", .0.len(), list(.0))]
    Some(Vec<Error>),
}

/// What was read of a listing, and why that is not all of it.
pub(crate) struct Listed<T> {
    pub(crate) read: Vec<T>,
    pub(crate) cut: Option<Error>,
}

impl<T> Listed<T> {
    pub(crate) fn all(read: Vec<T>) -> Self {
        Self { read, cut: None }
    }
}

impl Error {
    /// A call's failure.
    pub(crate) fn of(call: &'static str) -> impl FnOnce(AwsFailure) -> Self {
        move |failure| Self::Aws { call, failure }
    }
}

impl From<signalbox_approvals::Error> for Error {
    fn from(error: signalbox_approvals::Error) -> Self {
        match error {
            signalbox_approvals::Error::Aws { call, failure } => Self::Aws { call, failure },
            signalbox_approvals::Error::Secret(problem) => Self::Secret(problem),
        }
    }
}

fn list(errors: &[Error]) -> String {
    let mut all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    // One cause most often fails many steps.
    all.sort();
    all.dedup();
    all.join("; ")
}

/// A sweep that failed is not retried by Lambda's own retries to any use: the next one comes by itself.
/// It fails all the same, so that its alarm and its queue say so.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::permanent(error.to_string())
    }
}
