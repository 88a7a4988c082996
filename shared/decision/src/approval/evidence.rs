//! What going out would mean: the change set resource by resource, what the build's tests and scans
//! found, and which version was released last.
//!
//! All of it was read from AWS just before the asking. Whatever could not be read says so in words
//! ([`Known::Missing`]): a gap that looks like "nothing changes" would be an answer that nobody gave.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::in_words;
use crate::names::{ExecutionId, Revision};
use crate::text::shown;

/// So many resources of a change set are listed one by one; the rest is counted. A request is read by a
/// person, and the ledger's record of it must stay below DynamoDB's 400 KB.
pub const MAX_CHANGES: usize = 150;

/// Something that was read, or why it was not, in words for the approver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Known<T> {
    /// It was read.
    Is(T),
    /// It is not known, for this reason.
    Missing(String),
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self::Missing("not known".to_owned())
    }
}

impl<T> Known<T> {
    /// Not known, and why.
    pub fn missing(why: impl Into<String>) -> Self {
        Self::Missing(why.into())
    }
}

/// What going out would mean.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Preview {
    /// What the build exported about its unit tests (`UNIT_TESTS`).
    pub tests: Known<String>,
    /// What the build exported about its scans (`SCANS`).
    pub scans: Known<String>,
    /// What was released last.
    pub released: Known<Released>,
    /// What would change in the stack.
    pub change_set: Known<ChangeSet>,
}

/// The last version that passed the stage behind the approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Released {
    /// The run that released it.
    pub run: ExecutionId,
    /// Its source version, where CodePipeline tells.
    pub revision: Option<Revision>,
    /// What the source says of it.
    pub summary: Option<String>,
    /// When that run last changed.
    pub at: Option<Timestamp>,
}

/// A change set, as CloudFormation described it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeSet {
    /// The stack that it would change.
    pub stack: String,
    /// Its name.
    pub name: String,
    /// CloudFormation's status of it, such as `CREATE_COMPLETE` or `FAILED`.
    pub status: String,
    /// CloudFormation's reason for that status, if it gives one.
    pub reason: Option<String>,
    /// The first [`MAX_CHANGES`] resources.
    pub changes: Vec<ResourceChange>,
    /// How many more there are.
    pub more: usize,
    /// How many of those are replaced for certain or perhaps.
    pub more_replaced: usize,
}

/// What would become of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceChange {
    /// CloudFormation's word: `Add`, `Modify`, `Remove`, `Import`, `Dynamic`.
    pub action: String,
    /// The resource's type, such as `AWS::Lambda::Function`.
    pub kind: String,
    /// Its name in the template.
    pub logical_id: String,
    /// Its name in the account, once it has one.
    pub physical_id: Option<String>,
    /// Whether it is made anew in its place.
    #[serde(default)]
    pub replacement: Replacement,
    /// The properties or attributes that change.
    #[serde(default)]
    pub changed: Vec<String>,
    /// What happens to the old one: `Delete`, `Retain`, `Snapshot`.
    #[serde(default)]
    pub policy: Option<String>,
}

/// Whether a resource is made anew, and what it held is lost with the old one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Replacement {
    /// It stays.
    #[default]
    No,
    /// CloudFormation cannot tell before it executes.
    Perhaps,
    /// It is made anew.
    Yes,
}

impl ChangeSet {
    /// How many resources change.
    #[must_use]
    pub fn count(&self) -> usize {
        self.changes.len() + self.more
    }

    /// How many resources are made anew, or perhaps.
    #[must_use]
    pub fn replaced(&self) -> usize {
        let listed = self.changes.iter().filter(|change| change.is_replaced()).count();
        listed + self.more_replaced
    }
}

impl ResourceChange {
    /// Whether the resource is made anew, or perhaps.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        self.replacement != Replacement::No
    }

    fn label(&self) -> &'static str {
        match (self.replacement, self.action.as_str()) {
            (Replacement::Yes, _) => "REPLACES",
            (Replacement::Perhaps, _) => "MAY REPLACE",
            (Replacement::No, "Add") => "Adds",
            (Replacement::No, "Modify") => "Modifies",
            (Replacement::No, "Remove") => "REMOVES",
            (Replacement::No, "Import") => "Imports",
            (Replacement::No, _) => "Changes",
        }
    }
}

impl fmt::Display for ResourceChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", line(&self.kind, 200), line(&self.logical_id, 255))?;
        if let Some(name) = &self.physical_id {
            write!(f, " ({})", line(name, 300))?;
        }
        if !self.changed.is_empty() {
            write!(f, ": {}", line(&self.changed.join(", "), 400))?;
        }
        match self.policy.as_deref() {
            None | Some("Delete") if !self.is_replaced() => Ok(()),
            None => f.write_str("; a new one takes its place"),
            Some("Delete") => f.write_str("; a new one takes its place, the old one is deleted"),
            Some("Retain") => f.write_str("; the old one is kept"),
            Some("Snapshot") => f.write_str("; the old one is deleted after a snapshot"),
            Some(other) => write!(f, "; the old one: {}", line(other, 40)),
        }
    }
}

/// What is known of it, as label and text fit to be shown. Gaps have their row, with their reason.
#[must_use]
pub fn rows(preview: &Preview, revision: Option<&Revision>) -> Vec<(&'static str, String)> {
    let text = |known: &Known<String>| match known {
        Known::Is(text) => line(text, 1000),
        Known::Missing(why) => line(why, 300),
    };
    let mut rows = vec![
        ("Tests", text(&preview.tests)),
        ("Scans", text(&preview.scans)),
        ("Released now", released(&preview.released, revision)),
    ];
    match &preview.change_set {
        Known::Missing(why) => rows.push(("Change set", line(why, 600))),
        Known::Is(set) => {
            rows.push(("Change set", summary(set)));
            rows.extend(
                set.changes
                    .iter()
                    .map(|change| (change.label(), change.to_string())),
            );
            if set.more > 0 {
                rows.push((
                    "And",
                    format!(
                        "{} more, {} of them replaced for certain or perhaps: see the change set in the console",
                        set.more, set.more_replaced
                    ),
                ));
            }
        }
    }
    rows
}

fn released(known: &Known<Released>, revision: Option<&Revision>) -> String {
    let released = match known {
        Known::Missing(why) => return line(why, 300),
        Known::Is(released) => released,
    };
    let when = released
        .at
        .map(|at| format!(", {}", in_words(at)))
        .unwrap_or_default();
    let run = format!("by run {}{when}", line(released.run.as_str(), 100));
    let Some(known) = &released.revision else {
        return format!("a version that CodePipeline does not name, {run}");
    };
    if revision == Some(known) {
        return format!("the same version as this one, {run}");
    }
    let summary = released
        .summary
        .as_deref()
        .map(|text| format!(" ({})", line(text, 300)))
        .unwrap_or_default();
    let comparison = if revision.is_some() {
        "another version"
    } else {
        "version"
    };
    format!("{comparison}: {}{summary}, {run}", line(known.as_str(), 300))
}

fn summary(set: &ChangeSet) -> String {
    let name = format!("{} of the stack {}", line(&set.name, 130), line(&set.stack, 130));
    let reason = set
        .reason
        .as_deref()
        .map(|reason| format!(": {}", line(reason, 500)))
        .unwrap_or_default();
    if set.status != "CREATE_COMPLETE" {
        return format!("{name} is {}{reason}", line(&set.status, 60));
    }
    let count = match set.count() {
        0 => "no resource changes".to_owned(),
        1 => "1 resource changes".to_owned(),
        count => format!("{count} resources change"),
    };
    match set.replaced() {
        0 => format!("{name}: {count}, none is replaced"),
        replaced => format!("{name}: {count}, {replaced} REPLACED for certain or perhaps"),
    }
}

/// `text` on one line, without anything that a reader's program would act on.
pub(super) fn line(text: &str, max: usize) -> String {
    shown(&text.split_whitespace().collect::<Vec<_>>().join(" "), max)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn change(action: &str, replacement: Replacement) -> ResourceChange {
        ResourceChange {
            action: action.to_owned(),
            kind: "AWS::DynamoDB::Table".to_owned(),
            logical_id: "Orders".to_owned(),
            physical_id: Some("orders-production".to_owned()),
            replacement,
            changed: vec!["KeySchema".to_owned()],
            policy: None,
        }
    }

    pub(crate) fn change_set(changes: Vec<ResourceChange>) -> ChangeSet {
        ChangeSet {
            stack: "lambda-function-production".to_owned(),
            name: "signalbox".to_owned(),
            status: "CREATE_COMPLETE".to_owned(),
            reason: None,
            changes,
            more: 0,
            more_replaced: 0,
        }
    }

    fn text(preview: &Preview, revision: &str) -> String {
        let revision = Revision::new(revision).unwrap();
        rows(preview, Some(&revision))
            .into_iter()
            .map(|(label, text)| format!("{label}: {text}\n"))
            .collect()
    }

    #[test]
    fn a_replacement_is_marked_and_counted() {
        let preview = Preview {
            change_set: Known::Is(change_set(vec![
                change("Modify", Replacement::Yes),
                change("Modify", Replacement::Perhaps),
                change("Add", Replacement::No),
                ResourceChange {
                    policy: Some("Retain".to_owned()),
                    ..change("Remove", Replacement::No)
                },
            ])),
            ..Preview::default()
        };
        let text = text(&preview, "v2");
        for part in [
            "Change set: signalbox of the stack lambda-function-production: 4 resources change, 2 REPLACED for certain or perhaps\n",
            "REPLACES: AWS::DynamoDB::Table Orders (orders-production): KeySchema; a new one takes its place\n",
            "MAY REPLACE: AWS::DynamoDB::Table Orders",
            "Adds: AWS::DynamoDB::Table Orders (orders-production): KeySchema\n",
            "REMOVES: AWS::DynamoDB::Table Orders (orders-production): KeySchema; the old one is kept\n",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
    }

    #[test]
    fn gaps_are_said_and_never_look_like_nothing() {
        let preview = Preview {
            change_set: Known::missing("cannot be read (AccessDenied)"),
            tests: Known::missing("the build exported no UNIT_TESTS"),
            ..Preview::default()
        };
        let text = text(&preview, "v2");
        assert!(
            text.contains("Change set: cannot be read (AccessDenied)\n"),
            "{text}"
        );
        assert!(
            text.contains("Tests: the build exported no UNIT_TESTS\n"),
            "{text}"
        );
        assert!(
            text.contains("Scans: not known\n") && text.contains("Released now: not known\n"),
            "{text}"
        );
        assert!(!text.contains("no resource changes"));
    }

    #[test]
    fn the_version_is_compared_with_the_one_released_last() {
        let released = |revision: Option<&str>| Preview {
            released: Known::Is(Released {
                run: ExecutionId::new("abcd").unwrap(),
                revision: revision.map(|text| Revision::new(text).unwrap()),
                summary: Some("Old\nthing".to_owned()),
                at: Some("2026-05-01T10:00:00Z".parse().unwrap()),
            }),
            ..Preview::default()
        };
        assert!(text(&released(Some("v1")), "v2").contains(
            "Released now: another version: v1 (Old thing), by run abcd, Friday 1 May 2026, 10:00 UTC\n"
        ));
        assert!(
            text(&released(Some("v2")), "v2")
                .contains("Released now: the same version as this one, by run abcd")
        );
        assert!(text(&released(None), "v2").contains("does not name"));
    }

    #[test]
    fn a_failed_change_set_says_why() {
        let set = ChangeSet {
            status: "FAILED".to_owned(),
            reason: Some("didn't contain\r\nchanges".to_owned()),
            ..change_set(Vec::new())
        };
        assert_eq!(
            summary(&set),
            "signalbox of the stack lambda-function-production is FAILED: didn't contain changes"
        );
        assert!(summary(&change_set(Vec::new())).ends_with("no resource changes, none is replaced"));
    }

    #[test]
    fn a_record_from_before_reads_as_not_known() {
        let preview: Preview = serde_json::from_str("{}").unwrap();
        assert_eq!(preview, Preview::default());
    }
}
