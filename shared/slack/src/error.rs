//! What can go wrong between Slack and us.

use signalbox_bootstrap::AwsFailure;

/// Why Slack was not reached, or did not do what it was asked. It never holds the secret or an address
/// that is a credential.
#[derive(Debug, thiserror::Error)]
pub enum SlackError {
    /// Secrets Manager does not give the secret.
    #[error("GetSecretValue: {0}")]
    Aws(AwsFailure),
    /// The secret is not what it should be.
    #[error("Slack's secret is not {{\"signing_secret\": …, \"bot_token\": …}}")]
    Secret,
    /// Slack answered that it did not do it.
    #[error("Slack refused {call}: {code}")]
    Refused {
        /// The method.
        call: &'static str,
        /// Slack's error code, such as `channel_not_found`.
        code: String,
    },
    /// Too many messages; nothing was done.
    #[error("Slack answers {call} later: too many messages")]
    Later {
        /// The method.
        call: &'static str,
    },
    /// No answer, or one that does not say what became of it.
    #[error("Slack did not answer {call}: {problem}")]
    Unknown {
        /// The method.
        call: &'static str,
        /// What came instead.
        problem: String,
    },
}

impl SlackError {
    /// Whether it is certain that nothing was done.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }

    /// Whether another attempt may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Aws(failure) => failure.retryable,
            Self::Later { .. } | Self::Unknown { .. } => true,
            Self::Secret | Self::Refused { .. } => false,
        }
    }
}
