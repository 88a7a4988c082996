//! What can go wrong with the ledger.

use thiserror::Error;

/// The ledger did not do what was asked; no effect may follow.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LedgerError {
    /// It could not be reached, was throttled, or failed. Try again later.
    #[error("the ledger is unavailable ({doing}): {problem}")]
    Unavailable {
        /// What was tried.
        doing: &'static str,
        /// What AWS or the network said.
        problem: String,
    },
    /// Others kept writing the same row. Try again later.
    #[error("the ledger's row {row} is written by too many at once")]
    Contended {
        /// The row.
        row: String,
    },
    /// DynamoDB refused for good: the table's name, or the role's permissions, are wrong.
    #[error(
        "the ledger refused ({doing}): {problem}; check LEDGER_TABLE and the function's permissions on the table"
    )]
    Refused {
        /// What was tried.
        doing: &'static str,
        /// What AWS said.
        problem: String,
    },
    /// A row that this version of the program cannot read.
    #[error("the ledger's row {row} cannot be read: {problem}")]
    Unreadable {
        /// The row.
        row: String,
        /// What is wrong.
        problem: String,
    },
    /// More than a row holds (DynamoDB: 400 KB).
    #[error("the ledger's row {row} would have {bytes} bytes; {max} are allowed")]
    TooLarge {
        /// The row.
        row: String,
        /// Bytes asked for.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
}

impl LedgerError {
    /// Whether trying again later may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Contended { .. })
    }
}
