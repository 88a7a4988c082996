//! What a person asks of roll-back by invoking it.
//!
//! Read strictly, and every mistake is named at once: a command that is half understood is worse than one
//! that is refused. Who may command is AWS's to say (`lambda:InvokeFunction` on the function); `by` is what
//! the caller says of themselves, for the audit, beside what CloudTrail knows.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::names::{DeploymentGroupName, StageName, VersionNumber};
use crate::text::shown;

/// A person, and their reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Who: an address or a name, at most 256 characters.
    pub by: String,
    /// Why, at most 500 characters.
    pub reason: String,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Bring a version back.
    RollBack {
        /// The version.
        version: VersionNumber,
        /// The deployment group, if not the pipeline's own.
        group: Option<DeploymentGroupName>,
        /// Who, and why.
        person: Person,
    },
    /// Keep new revisions out of a stage.
    Freeze {
        /// The stage, if not the release stage.
        stage: Option<StageName>,
        /// Who, and why.
        person: Person,
    },
    /// Let them in again.
    Unfreeze {
        /// The stage, if not the release stage.
        stage: Option<StageName>,
        /// Who, and why.
        person: Person,
    },
    /// Let a version be released although its code is remembered as bad.
    AllowVersion {
        /// The version.
        version: VersionNumber,
        /// The deployment group, if not the pipeline's own.
        group: Option<DeploymentGroupName>,
        /// Who, and why.
        person: Person,
    },
    /// Say how things stand.
    Status,
}

/// A request, and whether it is only to be said what would be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What is asked for.
    pub request: Request,
    /// Say it, and do nothing.
    pub dry_run: bool,
}

/// Everything that is wrong with a command.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct Mistakes(Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the command is not valid: {}", self.0.join("; "))
    }
}

const COMMANDS: &str = "roll-back, freeze, unfreeze, allow-version, status";
const LONGEST_BY: usize = 256;
const LONGEST_REASON: usize = 500;

impl Command {
    /// Whether an event is a command at all: no event of AWS has this field.
    #[must_use]
    pub fn is_one(event: &Value) -> bool {
        event.get("command").is_some()
    }

    /// Reads a command.
    ///
    /// # Errors
    /// Every mistake in it: an unknown command or field, a field that is missing, empty, too long, or not
    /// what it should be.
    pub fn parse(event: Value) -> Result<Self, Mistakes> {
        let Value::Object(fields) = event else {
            return Err(Mistakes(vec!["it is no JSON object".to_owned()]));
        };
        let mut fields = Fields {
            fields,
            mistakes: Vec::new(),
        };
        let command = fields.required_text("command", 100);
        let dry_run = fields.flag("dry_run");
        let request = match command.as_deref() {
            Some("roll-back") => fields.version_command(|version, group, person| Request::RollBack {
                version,
                group,
                person,
            }),
            Some("allow-version") => fields.version_command(|version, group, person| Request::AllowVersion {
                version,
                group,
                person,
            }),
            Some("freeze") => fields.stage_command(|stage, person| Request::Freeze { stage, person }),
            Some("unfreeze") => fields.stage_command(|stage, person| Request::Unfreeze { stage, person }),
            Some("status") => Some(Request::Status),
            Some(other) => {
                // What else is there cannot be judged.
                let mistake = format!(
                    "`command` is {:?}; it must be one of {COMMANDS}",
                    shown(other, 100)
                );
                return Err(Mistakes(vec![mistake]));
            }
            None => return Err(Mistakes(fields.mistakes)),
        };
        let unknown = fields.fields.keys().map(|field| shown(field, 100));
        let unknown: Vec<String> = unknown
            .map(|field| format!("`{field}` is no field of this command"))
            .collect();
        fields.mistakes.extend(unknown);
        match request.filter(|_| fields.mistakes.is_empty()) {
            Some(request) => Ok(Self {
                request,
                dry_run: dry_run.unwrap_or(false),
            }),
            None => Err(Mistakes(fields.mistakes)),
        }
    }
}

/// The fields that have not been read yet.
struct Fields {
    fields: Map<String, Value>,
    mistakes: Vec<String>,
}

impl Fields {
    fn mistake(&mut self, field: &str, problem: impl fmt::Display) {
        self.mistakes.push(format!("`{field}` {problem}"));
    }

    fn text(&mut self, field: &str, longest: usize) -> Option<String> {
        match self.fields.remove(field)? {
            Value::Null => None,
            Value::String(text) if text.trim().is_empty() => {
                self.mistake(field, "is empty");
                None
            }
            Value::String(text) if text.chars().count() > longest => {
                self.mistake(field, format_args!("is longer than {longest} characters"));
                None
            }
            Value::String(text) => Some(text.trim().to_owned()),
            _ => {
                self.mistake(field, "is no text");
                None
            }
        }
    }

    fn required_text(&mut self, field: &str, longest: usize) -> Option<String> {
        if self.fields.get(field).is_none_or(Value::is_null) {
            self.fields.remove(field);
            self.mistake(field, "is missing");
            return None;
        }
        self.text(field, longest)
    }

    fn name<T>(&mut self, field: &str, text: Option<String>) -> Option<T>
    where
        T: TryFrom<String, Error: fmt::Display>,
    {
        match T::try_from(text?) {
            Ok(name) => Some(name),
            Err(error) => {
                self.mistake(field, error);
                None
            }
        }
    }

    fn flag(&mut self, field: &str) -> Option<bool> {
        match self.fields.remove(field)? {
            Value::Null => None,
            Value::Bool(flag) => Some(flag),
            _ => {
                self.mistake(field, "is neither true nor false");
                None
            }
        }
    }

    fn person(&mut self) -> Option<Person> {
        let by = self.required_text("by", LONGEST_BY);
        let reason = self.required_text("reason", LONGEST_REASON);
        Some(Person {
            by: by?,
            reason: reason?,
        })
    }

    fn version_command(
        &mut self,
        make: impl FnOnce(VersionNumber, Option<DeploymentGroupName>, Person) -> Request,
    ) -> Option<Request> {
        let version = self.required_text("version", 20);
        let version = self.name("version", version);
        let group = self.text("group", 100);
        let group = self.name("group", group);
        let person = self.person();
        Some(make(version?, group, person?))
    }

    fn stage_command(&mut self, make: impl FnOnce(Option<StageName>, Person) -> Request) -> Option<Request> {
        let stage = self.text("stage", 100);
        let stage = self.name("stage", stage);
        let person = self.person();
        Some(make(stage, person?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn refused(event: Value) -> String {
        Command::parse(event).unwrap_err().to_string()
    }

    #[test]
    fn each_command_is_read() {
        let person = Person {
            by: "ann@example.com".to_owned(),
            reason: "it is slow".to_owned(),
        };
        let with = |mut more: Value| {
            more["by"] = json!(person.by);
            more["reason"] = json!(person.reason);
            Command::parse(more).unwrap()
        };
        let version = VersionNumber::new("4").unwrap();
        let rolled = with(json!({ "command": "roll-back", "version": "4", "dry_run": true }));
        assert!(rolled.dry_run);
        assert_eq!(
            rolled.request,
            Request::RollBack {
                version: version.clone(),
                group: None,
                person: person.clone()
            }
        );
        let frozen = with(json!({ "command": "freeze", "stage": "Release" }));
        assert_eq!(
            frozen.request,
            Request::Freeze {
                stage: Some(StageName::new("Release").unwrap()),
                person: person.clone()
            }
        );
        assert!(!frozen.dry_run);
        let unfrozen = with(json!({ "command": "unfreeze", "stage": null }));
        assert_eq!(
            unfrozen.request,
            Request::Unfreeze {
                stage: None,
                person: person.clone()
            }
        );
        let allowed = with(json!({ "command": "allow-version", "version": "4", "group": "g" }));
        assert_eq!(
            allowed.request,
            Request::AllowVersion {
                version,
                group: Some(DeploymentGroupName::new("g").unwrap()),
                person
            }
        );
        let status = Command::parse(json!({ "command": "status" })).unwrap();
        assert_eq!(status.request, Request::Status);
    }

    #[test]
    fn the_examples_are_commands() {
        for example in [
            include_str!("../../../../events/roll-back/command-roll-back.json"),
            include_str!("../../../../events/roll-back/command-freeze.json"),
            include_str!("../../../../events/roll-back/command-allow-version.json"),
            include_str!("../../../../events/roll-back/command-status.json"),
        ] {
            let event: Value = serde_json::from_str(example).unwrap();
            assert!(Command::is_one(&event));
            Command::parse(event).unwrap();
        }
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let said = refused(json!({
            "command": "roll-back", "version": "$LATEST", "by": " ", "dry_run": "yes", "versoin": "4",
        }));
        for words in [
            "`version` function version \"$LATEST\" is not valid",
            "`by` is empty",
            "`reason` is missing",
            "`dry_run` is neither true nor false",
            "`versoin` is no field of this command",
        ] {
            assert!(said.contains(words), "{words} is missing in: {said}");
        }
        assert!(refused(json!({ "command": "roll back" })).contains("it must be one of roll-back, freeze"));
        assert!(refused(json!({ "command": 4 })).contains("`command` is no text"));
        assert!(refused(json!({ "command": "status", "stage": "x" })).contains("`stage` is no field"));
        let long = json!({ "command": "freeze", "by": "a".repeat(257), "reason": "r".repeat(501) });
        let said = refused(long);
        assert!(
            said.contains("256 characters") && said.contains("500 characters"),
            "{said}"
        );
        assert!(refused(json!([])).contains("no JSON object"));
        assert!(
            refused(json!({ "command": "roll-back", "version": 4, "by": "a", "reason": "b" }))
                .contains("no text")
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(command in "(roll-back|freeze|status|\\PC{0,8})", version in "\\PC{0,24}", by in "\\PC*") {
            let _ = Command::parse(json!({ "command": command, "version": version, "by": by, "reason": by }));
        }
    }
}
