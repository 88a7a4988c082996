//! From text to a policy: every value is looked at, and every mistake is noted with its place.

use std::collections::HashSet;

use jiff::SignedDuration;

use super::{Escalation, MAX_BYTES, Policy, PolicyApprover, PolicyMistakes, SlackPlace, Superseded};
use crate::text::shown;

mod hours;
mod node;
mod values;

use node::Node;

/// CodePipeline's longest time-out of an approval action is 60 days (86,400 minutes).
const LONGEST: SignedDuration = SignedDuration::from_hours(60 * 24);
const MAX_REMINDERS: usize = 20;

pub(super) fn policy(text: &str) -> Result<Policy, PolicyMistakes> {
    if text.trim().is_empty() {
        return Err(PolicyMistakes::one("the document is empty"));
    }
    if text.len() > MAX_BYTES {
        let bytes = text.len();
        return Err(PolicyMistakes::one(format!(
            "the document has {bytes} bytes; at most {MAX_BYTES} are taken"
        )));
    }
    let node: Node = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        PolicyMistakes::one(format!(
            "line {line}, column {column}: this is no JSON document ({:?})",
            error.classify()
        ))
    })?;
    let mut reader = Reader::default();
    let read = reader.policy(node);
    match (read, PolicyMistakes::of(reader.mistakes)) {
        (Some(policy), None) => Ok(policy),
        (_, Some(mistakes)) => Err(mistakes),
        (None, None) => Err(PolicyMistakes::one("the document says nothing")),
    }
}

#[derive(Default)]
struct Reader {
    mistakes: Vec<String>,
}

impl Reader {
    fn policy(&mut self, node: Node) -> Option<Policy> {
        let [
            version,
            approvers,
            quorum,
            author,
            reminders,
            escalation,
            notice,
            superseded,
            hours,
            slack,
        ] = self.fields(
            "the document",
            node,
            [
                "version",
                "approvers",
                "quorum",
                "author_may_approve",
                "reminders",
                "escalation",
                "expiry_notice",
                "superseded",
                "office_hours",
                "slack",
            ],
        )?;
        let version = self.required("version", version);
        if let Some(version) = version {
            match version {
                Node::Number(number) if number.as_u64() == Some(1) => {}
                Node::Number(_) => self.mistake("version", "only version 1 is known"),
                other => self.wrong("version", "the number 1", &other).unwrap_or_default(),
            }
        }
        let approvers = self
            .required("approvers", approvers)
            .and_then(|node| self.approvers(node));
        let quorum = quorum.map_or(Some(1), |node| self.quorum(&node, approvers.as_deref()));
        let author_may_approve = author.map_or(Some(false), |node| match node {
            Node::Bool(value) => Some(value),
            other => self.wrong("author_may_approve", "true or false", &other),
        });
        let reminders = reminders.map_or_else(|| Some(Vec::new()), |node| self.reminders(node));
        let escalation = self.optional(escalation, Self::escalation);
        let expiry_notice = self.optional(notice, |reader, node| reader.duration("expiry_notice", &node));
        let superseded = superseded.map_or(Some(Superseded::Warn), |node| {
            let text = self.text("superseded", &node)?;
            match text {
                "warn" => Some(Superseded::Warn),
                "reject" => Some(Superseded::Reject),
                _ => {
                    self.mistake("superseded", "it is neither \"warn\" nor \"reject\"");
                    None
                }
            }
        });
        let office_hours = self.optional(hours, Self::office_hours);
        let slack = self.optional(slack, Self::slack);
        Some(Policy {
            approvers: approvers?,
            quorum: quorum?,
            author_may_approve: author_may_approve?,
            reminders: reminders?,
            escalation: escalation?,
            expiry_notice: expiry_notice?,
            superseded: superseded?,
            office_hours: office_hours?,
            slack: slack?,
        })
    }

    fn approvers(&mut self, node: Node) -> Option<Vec<PolicyApprover>> {
        let list = self.list("approvers", node)?;
        if list.is_empty() {
            self.mistake("approvers", "nobody is on the list");
            return None;
        }
        let (mut addresses, mut slacks) = (HashSet::new(), HashSet::new());
        let wanted = list.len();
        let mut approvers = Vec::new();
        for (at, node) in list.into_iter().enumerate() {
            let place = format!("approvers[{at}]");
            let Some([email, slack]) = self.fields(&place, node, ["email", "slack"]) else {
                continue;
            };
            let email = self.address(&format!("{place}.email"), email);
            let slack = self.optional(slack, |reader, node| {
                reader.id(&format!("{place}.slack"), &node, &['U', 'W'])
            });
            if let Some(email) = &email
                && !addresses.insert(email.as_str().to_ascii_lowercase())
            {
                self.mistake(
                    &place,
                    format_args!("{} is on the list twice", shown(email.as_str(), 254)),
                );
            }
            if let Some(Some(slack)) = &slack
                && !slacks.insert(slack.clone())
            {
                self.mistake(
                    &place,
                    format_args!("the Slack user {slack} is on the list twice"),
                );
            }
            if let (Some(email), Some(slack)) = (email, slack) {
                approvers.push(PolicyApprover { email, slack });
            }
        }
        (approvers.len() == wanted).then_some(approvers)
    }

    fn quorum(&mut self, node: &Node, approvers: Option<&[PolicyApprover]>) -> Option<usize> {
        let Node::Number(number) = node else {
            return self.wrong("quorum", "a whole number", node);
        };
        let quorum = number.as_u64().and_then(|quorum| usize::try_from(quorum).ok());
        let Some(quorum) = quorum.filter(|quorum| *quorum >= 1) else {
            self.mistake("quorum", "it is a whole number from 1 on");
            return None;
        };
        if let Some(approvers) = approvers
            && quorum > approvers.len()
        {
            let count = approvers.len();
            self.mistake(
                "quorum",
                format_args!("{quorum} people have to approve, and only {count} may"),
            );
            return None;
        }
        Some(quorum)
    }

    fn reminders(&mut self, node: Node) -> Option<Vec<SignedDuration>> {
        let list = self.list("reminders", node)?;
        if list.len() > MAX_REMINDERS {
            self.mistake("reminders", format_args!("there are more than {MAX_REMINDERS}"));
            return None;
        }
        let wanted = list.len();
        let mut reminders: Vec<SignedDuration> = Vec::new();
        for (at, node) in list.iter().enumerate() {
            let place = format!("reminders[{at}]");
            let Some(duration) = self.duration(&place, node) else {
                continue;
            };
            if reminders.last().is_some_and(|last| *last >= duration) {
                self.mistake(&place, "it is not later than the one before");
            }
            reminders.push(duration);
        }
        (reminders.len() == wanted).then_some(reminders)
    }

    fn escalation(&mut self, node: Node) -> Option<Escalation> {
        let [after, contact] = self.fields("escalation", node, ["after", "contact"])?;
        let after = self
            .required("escalation.after", after)
            .and_then(|node| self.duration("escalation.after", &node));
        let contact = self.address("escalation.contact", contact);
        Some(Escalation {
            after: after?,
            contact: contact?,
        })
    }

    fn slack(&mut self, node: Node) -> Option<SlackPlace> {
        let [team, channel] = self.fields("slack", node, ["team", "channel"])?;
        let team = self
            .required("slack.team", team)
            .and_then(|node| self.id("slack.team", &node, &['T']));
        let channel = self
            .required("slack.channel", channel)
            .and_then(|node| self.id("slack.channel", &node, &['C', 'G']));
        Some(SlackPlace {
            team: team?,
            channel: channel?,
        })
    }
}
