//! The previous *good* version: not merely the one before.

use crate::names::VersionNumber;
use crate::text::shown;

/// What is known of a version that traffic could go back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is there, and nothing is held against it.
    Good,
    /// Its code was rolled back before, and nobody has allowed it since.
    Bad {
        /// What it was rolled back for.
        alarm: String,
    },
    /// It no longer exists.
    Missing,
}

/// A version that served before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The version.
    pub version: VersionNumber,
    /// What is known of it.
    pub standing: Standing,
}

/// The first good version of `candidates` (newest first) that is not the `bad` one itself.
///
/// # Errors
/// Why none of them will do, for people.
pub fn good_version<'a>(
    bad: &VersionNumber,
    candidates: &'a [Candidate],
) -> Result<&'a VersionNumber, String> {
    let mut refused = Vec::new();
    for candidate in candidates.iter().filter(|candidate| candidate.version != *bad) {
        let version = &candidate.version;
        match &candidate.standing {
            Standing::Good => return Ok(version),
            Standing::Bad { alarm } => refused.push(format!(
                "version {version} is remembered as bad ({})",
                shown(alarm, 100)
            )),
            Standing::Missing => refused.push(format!("version {version} no longer exists")),
        }
    }
    Err(if refused.is_empty() {
        "there is no earlier version to go back to".to_owned()
    } else {
        format!("there is no good version to go back to: {}", refused.join("; "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(version: &str, standing: Standing) -> Candidate {
        Candidate {
            version: VersionNumber::new(version).unwrap(),
            standing,
        }
    }

    #[test]
    fn the_first_good_version_is_taken_and_the_others_are_accounted_for() {
        let bad = VersionNumber::new("5").unwrap();
        let remembered = Standing::Bad {
            alarm: "errors".to_owned(),
        };
        let all = [
            candidate("5", Standing::Good),
            candidate("4", remembered.clone()),
            candidate("3", Standing::Missing),
            candidate("2", Standing::Good),
        ];
        assert_eq!(good_version(&bad, &all).unwrap().as_str(), "2");
        let reason = good_version(&bad, &all[..3]).unwrap_err();
        assert!(
            reason.contains("version 4 is remembered as bad (errors)")
                && reason.contains("3 no longer exists"),
            "{reason}"
        );
        assert!(
            good_version(&bad, &all[..1])
                .unwrap_err()
                .contains("no earlier version")
        );
    }
}
