//! What can keep an approval from being asked for.

use signalbox_bootstrap::{AwsFailure, Failure};
use signalbox_events::envelope::EventError;
use signalbox_ledger::LedgerError;
use signalbox_slack::SlackError;

/// Why the event could not be handled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The event cannot be acted on.
    #[error(transparent)]
    Event(#[from] EventError),
    /// AWS does not show yet what its event speaks of.
    #[error("CodePipeline does not show the approval's token yet; the event is tried again")]
    NotReady,
    /// The signing secret is not what it should be; the message holds no secret.
    #[error("the signing secret cannot be used: {0}")]
    Secret(String),
    /// An AWS call failed.
    #[error("{call}: {failure}")]
    Aws { call: &'static str, failure: AwsFailure },
    /// The ledger could not be read or written: then nobody is asked, since no answer could be taken.
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// A record that this version cannot read.
    #[error("the ledger's decision cannot be read: {0}")]
    Record(String),
    /// Another invocation is sending to this approver; if it crashes, a later attempt takes over.
    #[error("another invocation is asking {0}; the event is tried again")]
    Busy(String),
    /// The same asking with other content: neither is sent, since one of them is wrong.
    #[error("{0} was asked about the same approval with another content; the event is refused")]
    Conflict(String),
    /// Slack could not be told.
    #[error("{0}")]
    Slack(#[from] SlackError),
    /// A message that SNS could not take.
    #[error("the message cannot be built: {0}")]
    Message(String),
    /// Not all of the approvers could be asked; those who were are not asked again.
    #[error("{} of {of} messages could not be sent: {}", failed.len(), list(failed))]
    Some { failed: Vec<Error>, of: usize },
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
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

impl Error {
    /// A call's failure.
    pub(crate) fn of(call: &'static str) -> impl FnOnce(AwsFailure) -> Self {
        move |failure| Self::Aws { call, failure }
    }

    /// Whether AWS answered that it did not do it. No answer, and a fault of the service, leave it open.
    pub(crate) fn is_refusal(&self) -> bool {
        if let Self::Slack(error) = self {
            return error.is_refusal();
        }
        match self {
            Self::Aws { failure, .. } => failure.refused,
            _ => matches!(self, Self::Message(_)),
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::NotReady | Self::Busy(_) => true,
            Self::Aws { failure, .. } => failure.retryable,
            Self::Ledger(error) => error.is_retryable(),
            Self::Slack(error) => error.is_retryable(),
            Self::Some { failed, .. } => failed.iter().any(Self::is_retryable),
            Self::Event(_) | Self::Message(_) | Self::Secret(_) | Self::Record(_) | Self::Conflict(_) => {
                false
            }
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
