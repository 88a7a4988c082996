//! A branch's name.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::text::shown;

/// A branch's name, as far as it is used: compared, shown, handed to a build.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Branch(String);

/// Text that is no branch's name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no branch name: 1 to 244 characters, without spaces, control characters or any of ~^:?*[\\"
)]
pub struct InvalidBranch(String);

impl Branch {
    /// Checks and takes a branch's name; the rules are git's, as far as they concern single characters.
    ///
    /// # Errors
    /// If a character is not allowed, or there are none or more than 244 of them.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidBranch> {
        let name = name.into();
        let fits = |c: char| !c.is_control() && !c.is_whitespace() && !"~^:?*[\\".contains(c);
        if name.is_empty() || name.chars().count() > 244 || !name.chars().all(fits) {
            return Err(InvalidBranch(shown(&name, 100)));
        }
        Ok(Self(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0, 244))
    }
}

impl std::str::FromStr for Branch {
    type Err = InvalidBranch;
    fn from_str(name: &str) -> Result<Self, InvalidBranch> {
        Self::new(name)
    }
}

impl TryFrom<String> for Branch {
    type Error = InvalidBranch;
    fn try_from(name: String) -> Result<Self, InvalidBranch> {
        Self::new(name)
    }
}

impl From<Branch> for String {
    fn from(branch: Branch) -> Self {
        branch.0
    }
}
