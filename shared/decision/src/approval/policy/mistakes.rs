//! What is wrong with a document.

use std::fmt;

use crate::text::shown;

/// Every mistake of a document, each with its place in it. There is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyMistakes(Vec<String>);

impl PolicyMistakes {
    /// `None` where there is no mistake.
    pub(super) fn of(mistakes: Vec<String>) -> Option<Self> {
        (!mistakes.is_empty()).then_some(Self(mistakes))
    }

    pub(super) fn one(mistake: impl Into<String>) -> Self {
        Self(vec![mistake.into()])
    }

    /// The mistakes, in the document's order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for PolicyMistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let s = if count == 1 { "" } else { "s" };
        write!(
            f,
            "the approval policy has {count} mistake{s}: {}",
            shown(&self.0.join("; "), 2000)
        )
    }
}

impl std::error::Error for PolicyMistakes {}
