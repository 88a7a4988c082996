//! Names, each of a type of its own, so that a stage is never passed for an action.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A name that is empty, too long, or holds a character that its kind cannot have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind} {value:?} is not valid: {rule}")]
pub struct InvalidName {
    /// What it should have named.
    pub kind: &'static str,
    /// The refused value, cut to 100 characters.
    pub value: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, max $max:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// The rule that `value` breaks.
            pub fn new(value: impl Into<String>) -> Result<Self, InvalidName> {
                let value = value.into();
                let valid: fn(char) -> bool = $valid;
                if value.is_empty() || value.chars().count() > $max || !value.chars().all(valid) {
                    return Err(InvalidName {
                        kind: $kind,
                        value: value.chars().take(100).collect(),
                        rule: $rule,
                    });
                }
                Ok(Self(value))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(value: String) -> Result<Self, InvalidName> {
                Self::new(value)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(value: &str) -> Result<Self, InvalidName> {
                Self::new(value)
            }
        }
    };
}

fn pipeline_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '@' | '-' | '_')
}

fn printable(c: char) -> bool {
    !c.is_control()
}

name!(
    /// A pipeline (CodePipeline: `[A-Za-z0-9.@\-_]+`, at most 100).
    PipelineName, "pipeline name", max 100, "1 to 100 of A-Z a-z 0-9 . @ - _", pipeline_char
);
name!(
    /// A stage of a pipeline; the same rule as a pipeline's name.
    StageName, "stage name", max 100, "1 to 100 of A-Z a-z 0-9 . @ - _", pipeline_char
);
name!(
    /// An action of a stage; the same rule as a pipeline's name.
    ActionName, "action name", max 100, "1 to 100 of A-Z a-z 0-9 . @ - _", pipeline_char
);
name!(
    /// A run's id, a UUID in CodePipeline; only its characters are checked.
    ExecutionId, "pipeline execution id", max 100, "1 to 100 of 0-9 a-f A-F and -", |c| c.is_ascii_hexdigit() || c == '-'
);
name!(
    /// The source version of a run: an S3 version id or a commit id.
    Revision, "revision", max 1500, "1 to 1500 printable characters", printable
);
name!(
    /// An S3 bucket.
    BucketName, "bucket name", max 63, "1 to 63 of a-z A-Z 0-9 . - _",
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
);
name!(
    /// An S3 object's key, byte for byte as stored: never normalised, never decoded twice.
    /// (S3's limit is 1,024 bytes; a key may hold any character.)
    ObjectKey, "object key", max 1024, "1 to 1024 characters", |_| true
);
name!(
    /// An S3 object version. `null` is what an unversioned bucket reports, and is refused by who starts runs.
    VersionId, "object version id", max 1024, "1 to 1024 printable characters", printable
);
name!(
    /// A Lambda function's name.
    FunctionName, "function name", max 140, "1 to 140 of A-Z a-z 0-9 - _ :",
    |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':')
);
name!(
    /// A published version of a function, such as `7`; never `$LATEST`, which changes under one's feet.
    VersionNumber, "function version", max 20, "1 to 20 digits", |c| c.is_ascii_digit()
);
name!(
    /// A CodeDeploy application.
    ApplicationName, "application name", max 100, "1 to 100 printable characters", printable
);
name!(
    /// A CodeDeploy deployment group.
    DeploymentGroupName, "deployment group name", max 100, "1 to 100 printable characters", printable
);
name!(
    /// A CodeDeploy deployment, `d-…`.
    DeploymentId, "deployment id", max 100, "1 to 100 of A-Z a-z 0-9 -",
    |c| c.is_ascii_alphanumeric() || c == '-'
);
name!(
    /// A CloudWatch alarm.
    AlarmName, "alarm name", max 255, "1 to 255 printable characters", printable
);
name!(
    /// Somebody who may be asked for approval: an e-mail address.
    Approver, "approver", max 254, "an e-mail address: printable, without spaces, commas or quotes",
    |c| !c.is_control() && !c.is_whitespace() && !matches!(c, ',' | '"' | '\'' | '<' | '>')
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_which_rule_it_breaks() {
        let error = StageName::new("Deploy stage").unwrap_err();
        assert_eq!(
            error.to_string(),
            "stage name \"Deploy stage\" is not valid: 1 to 100 of A-Z a-z 0-9 . @ - _"
        );
    }

    #[test]
    fn a_key_keeps_its_bytes() {
        for key in [
            "source/a+b c.zip",
            "source/e\u{301}.zip",
            "source/%2F\u{1f680}.zip",
            "source/\n.zip",
        ] {
            assert_eq!(ObjectKey::new(key).unwrap().as_str(), key);
        }
    }

    #[test]
    fn limits_hold_at_their_edges() {
        assert!(PipelineName::new("a".repeat(100)).is_ok());
        assert!(PipelineName::new("a".repeat(101)).is_err());
        assert!(PipelineName::new("").is_err());
    }
}
