//! Who may decide about an environment, and by which rules: one document, validated whole.
//!
//! ```json
//! {
//!   "version": 1,
//!   "approvers": [{ "email": "ann@example.com", "slack": "U012ABCDEF" }, { "email": "ben@example.com" }],
//!   "quorum": 1,
//!   "author_may_approve": false,
//!   "reminders": ["PT24H", "PT72H"],
//!   "escalation": { "after": "PT96H", "contact": "oncall@example.com" },
//!   "expiry_notice": "PT12H",
//!   "superseded": "warn",
//!   "office_hours": { "time_zone": "Europe/Berlin", "days": ["mon", "tue"], "from": "08:00", "to": "18:00" },
//!   "slack": { "team": "T012ABCDEF", "channel": "C012ABCDEF" }
//! }
//! ```
//!
//! `version` and `approvers` are required. What is left out, or `null`, is the safe choice: a quorum of
//! one, nobody approves their own change, no reminders, a warning where a newer revision waits. A field
//! that is not known is a mistake, and so is every value that could be meant in two ways: there is no
//! policy then, and nobody can decide by link.

use jiff::SignedDuration;

use super::same_person;
use crate::names::Approver;

mod mistakes;
mod office_hours;
mod read;
#[cfg(test)]
mod tests;

pub use mistakes::PolicyMistakes;
pub use office_hours::OfficeHours;

/// The longest document: what a standard parameter of Parameter Store takes (bytes).
pub const MAX_BYTES: usize = 4096;

/// A valid approval policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Who may decide, at least one, each once.
    pub approvers: Vec<PolicyApprover>,
    /// How many different people have to approve: from 1 to as many as there are approvers.
    pub quorum: usize,
    /// Whether the author of the revision, and whoever started the run, count.
    pub author_may_approve: bool,
    /// When those who have not answered are reminded, counted from the asking; ascending.
    pub reminders: Vec<SignedDuration>,
    /// Who is told when nobody answers.
    pub escalation: Option<Escalation>,
    /// How long before its end everybody is told that an approval expires.
    pub expiry_notice: Option<SignedDuration>,
    /// What happens to a request behind which a newer revision waits.
    pub superseded: Superseded,
    /// When people are at work; reminders wait for it.
    pub office_hours: Option<OfficeHours>,
    /// Where requests are posted in Slack.
    pub slack: Option<SlackPlace>,
}

/// Somebody who may decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyApprover {
    /// Their address; it names them in the audit, whichever way they answer.
    pub email: Approver,
    /// Their user id in Slack, by which a click there is theirs.
    pub slack: Option<String>,
}

/// Who is told when nobody has answered for so long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    /// Counted from the asking.
    pub after: SignedDuration,
    /// Whom to tell. Being told gives no right to decide.
    pub contact: Approver,
}

/// What happens to a request behind which a newer revision waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Superseded {
    /// The page says so first, and to approve the older one takes a second step.
    Warn,
    /// It is rejected, so that the newer one comes through.
    Reject,
}

/// A channel of a Slack workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlackPlace {
    /// The workspace (`T…`).
    pub team: String,
    /// The channel (`C…`, or `G…` for a private one).
    pub channel: String,
}

impl Policy {
    /// Reads a document.
    ///
    /// # Errors
    /// All of its mistakes at once, each with its place.
    pub fn parse(text: &str) -> Result<Self, PolicyMistakes> {
        read::policy(text)
    }

    /// Whether this address is on the list, without regard to ASCII case.
    #[must_use]
    pub fn lists(&self, approver: &Approver) -> bool {
        self.approvers
            .iter()
            .any(|listed| same_person(&listed.email, approver))
    }

    /// Who the Slack user with this id is.
    #[must_use]
    pub fn by_slack(&self, user: &str) -> Option<&Approver> {
        self.approvers
            .iter()
            .find(|listed| listed.slack.as_deref() == Some(user))
            .map(|listed| &listed.email)
    }

    /// Everybody's address, in the document's order.
    pub fn addresses(&self) -> impl Iterator<Item = &Approver> {
        self.approvers.iter().map(|listed| &listed.email)
    }
}
