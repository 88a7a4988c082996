//! What a look at everything that is open leads to: reminders, escalation, expiry told before and after,
//! and repair of what a lost event left undone.
//!
//! [`decide`] looks at one approval, [`behind`] at one run, [`releases`] at deployments and their alarms,
//! [`freezes`] at stages that are closed. All are answers to "what is due *now*", not to "what has changed": a
//! sweep that was missed, or ran twice, changes nothing but the hour. That each notice goes out once is the
//! ledger's: every [`Telling`] has a [`Telling::name`] of its own, which does not change from sweep to sweep.

pub mod freezes;
pub mod releases;
mod words;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::approval::keys::Keys;
use crate::approval::link::Link;
use crate::approval::message::Message;
use crate::approval::policy::{Policy, Superseded};
use crate::approval::quorum::{Tally, Vote};
use crate::approval::{ApprovalAction, Record};
use crate::claim::digest;
use crate::names::Approver;
use crate::timeline::{State, Subject, Timeline, reconcile};

/// For how long CodePipeline may take to end an approval whose time is over, before its links' end is
/// told on its own.
const LAPSE_MARGIN: SignedDuration = SignedDuration::from_mins(2);

/// An approval that the sweep came upon.
#[derive(Debug, Clone, Copy)]
pub enum Found<'a> {
    /// It waits for a decision.
    Waiting(Waiting<'a>),
    /// Nobody answered in time, as CodePipeline says.
    Lapsed(&'a Record),
}

/// An approval that waits for a decision.
#[derive(Debug, Clone, Copy)]
pub struct Waiting<'a> {
    /// What waits.
    pub approval: &'a ApprovalAction,
    /// The ledger's record of the asking; none where nobody has been asked.
    pub record: Option<&'a Record>,
    /// Whether every message of the asking is known to have been sent.
    pub all_asked: bool,
    /// Whether the ledger has a decision already, which CodePipeline does not show yet.
    pub decided: bool,
    /// Who has approved so far.
    pub votes: &'a [Vote],
    /// Whether a newer revision waits behind it.
    pub newer_waits: bool,
}

/// What links are made of.
#[derive(Debug, Clone, Copy)]
pub struct Links<'a> {
    /// Where the page is; ends in `/`.
    pub answer_url: &'a str,
    /// What links are signed with.
    pub keys: &'a Keys,
}

/// What people are told by.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// When, and whose approval counts.
    pub policy: &'a Policy,
    /// How they can answer.
    pub links: Links<'a>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "what is due and not done is lost until the next sweep"]
pub enum Do {
    /// Ask again: the request function is idempotent, and sends what was not sent.
    Repair {
        /// What waits.
        approval: ApprovalAction,
        /// Why.
        why: Why,
    },
    /// Tell somebody, once.
    Tell(Telling),
}

/// Why an approval is asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Nobody was asked: the event was lost, or its handling failed for good.
    NeverAsked,
    /// It is not known that every message was sent.
    Unconfirmed,
    /// A newer revision has come, and the policy rejects the older one: the function that asks does it.
    Superseded,
}

/// A message that goes out once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    /// What it is.
    pub kind: Kind,
    /// For whom.
    pub to: To,
    /// What it says.
    pub message: Message,
    /// The same from sweep to sweep, and for no other telling.
    pub name: String,
}

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The policy's reminder of that index.
    Reminder(usize),
    /// Nobody has decided for long.
    Escalation,
    /// It will expire.
    Expiring,
    /// Its links have expired, and CodePipeline waits on.
    LinksExpired,
    /// It has expired.
    Expired,
    /// A stage is frozen, for so many times the configured age.
    Frozen(u64),
}

impl Kind {
    /// What it is about, for filters; see [`crate::notice::Notice::topic`].
    #[must_use]
    pub fn topic(self) -> &'static str {
        match self {
            Self::Frozen(_) => "freeze",
            Self::Reminder(_) | Self::Escalation | Self::Expiring | Self::LinksExpired | Self::Expired => {
                "approval"
            }
        }
    }

    fn name(self) -> String {
        match self {
            Self::Reminder(index) => format!("reminder-{index}"),
            Self::Escalation => "escalation".to_owned(),
            Self::Expiring => "expiring".to_owned(),
            Self::LinksExpired => "links-expired".to_owned(),
            Self::Expired => "expired".to_owned(),
            Self::Frozen(step) => format!("frozen-{step}"),
        }
    }
}

/// For whom a message is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum To {
    /// One person, on the topic of the approvals.
    Person(Approver),
    /// Everybody who listens to notices.
    Team,
}

impl To {
    fn name(&self) -> &str {
        match self {
            Self::Person(person) => person.as_str(),
            Self::Team => "",
        }
    }
}

/// Decides what is due about one approval.
///
/// Total. A reminder outside of office hours waits for the next opening; of several that are due by then,
/// only the latest goes out, and none once the expiry is announced. Escalation and expiry keep their time:
/// who is on call has no office hours, and an expiry does not wait. Without rules (there is no policy, or it
/// is not valid) nobody can decide by link, and nobody is reminded of it; repairs go on, and an expiry is told.
pub fn decide(now: Timestamp, found: &Found<'_>, rules: Option<Rules<'_>>) -> Vec<Do> {
    match found {
        Found::Waiting(waiting) => about_waiting(now, waiting, rules),
        Found::Lapsed(record) => {
            let people = record.asked.iter().cloned().map(To::Person);
            let all = people.chain([To::Team]);
            all.map(|to| tell(record, Kind::Expired, to, words::expired(record)))
                .collect()
        }
    }
}

fn about_waiting(now: Timestamp, waiting: &Waiting<'_>, rules: Option<Rules<'_>>) -> Vec<Do> {
    if waiting.decided {
        return Vec::new();
    }
    let repair = |why| Do::Repair {
        approval: waiting.approval.clone(),
        why,
    };
    let Some(record) = waiting.record else {
        return vec![repair(Why::NeverAsked)];
    };
    if record.expires <= now {
        let over = record.expires.saturating_add(LAPSE_MARGIN);
        if over.is_ok_and(|over| over <= now) {
            let message = words::links_expired(record);
            return vec![tell(record, Kind::LinksExpired, To::Team, message)];
        }
        return Vec::new();
    }
    let rejects = rules.is_some_and(|rules| rules.policy.superseded == Superseded::Reject);
    if waiting.newer_waits && rejects {
        return vec![repair(Why::Superseded)];
    }
    let mut all = Vec::new();
    if !waiting.all_asked {
        all.push(repair(Why::Unconfirmed));
    }
    if let Some(rules) = rules {
        all.extend(due(now, record, waiting.votes, rules));
    }
    all
}

/// What the policy has to be told by now.
fn due(now: Timestamp, record: &Record, votes: &[Vote], Rules { policy, links }: Rules<'_>) -> Vec<Do> {
    let mut all = Vec::new();
    let tally = Tally::of(votes, policy, record);
    if is_expiring(now, record, policy) {
        all.extend(tally.missing.iter().map(|person| {
            let message = words::expiring(record, Some(&link(record, person, links)), now);
            tell(record, Kind::Expiring, To::Person(person.clone()), message)
        }));
        let message = words::expiring(record, None, now);
        all.push(tell(record, Kind::Expiring, To::Team, message));
    } else if let Some(index) = reminder(now, record, policy) {
        all.extend(tally.missing.iter().map(|person| {
            let message = words::reminder(record, &link(record, person, links), now);
            tell(record, Kind::Reminder(index), To::Person(person.clone()), message)
        }));
    }
    if let Some(escalation) = &policy.escalation
        && at(record.opened, escalation.after) <= now
    {
        let message = words::escalation(record, &escalation.contact, &tally, now);
        let to = To::Person(escalation.contact.clone());
        all.push(tell(record, Kind::Escalation, to, message.clone()));
        // Also to everybody: the contact may not have subscribed to the topic of the approvals.
        all.push(tell(record, Kind::Escalation, To::Team, message));
    }
    all
}

/// An approval that lasts no longer than the notice would be ahead of it is not announced: it has just
/// been asked for.
fn is_expiring(now: Timestamp, record: &Record, policy: &Policy) -> bool {
    let Some(notice) = policy.expiry_notice else {
        return false;
    };
    let from = record.expires.saturating_sub(notice);
    from.is_ok_and(|from| from > record.opened && from <= now)
}

/// The latest reminder that is due. Out of office hours there is none, also where one came due within them
/// and no sweep ran.
fn reminder(now: Timestamp, record: &Record, policy: &Policy) -> Option<usize> {
    let hours = policy.office_hours.as_ref();
    let opening = |at| hours.map_or(at, |hours| hours.next(at));
    let due = policy
        .reminders
        .iter()
        .enumerate()
        .filter(|(_, after)| opening(at(record.opened, **after)) <= now)
        .max_by_key(|(index, after)| (**after, *index));
    due.map(|(index, _)| index).filter(|_| opening(now) <= now)
}

fn at(opened: Timestamp, after: SignedDuration) -> Timestamp {
    opened.saturating_add(after).unwrap_or(Timestamp::MAX)
}

fn link(record: &Record, person: &Approver, links: Links<'_>) -> String {
    let link = Link {
        approval: record.approval.clone(),
        token: record.token_hash,
        approver: person.clone(),
        expires: record.expires,
    };
    format!("{}a/{}", links.answer_url, link.sign(links.keys))
}

fn tell(record: &Record, kind: Kind, to: To, message: Message) -> Do {
    let ApprovalAction {
        pipeline,
        execution,
        stage,
        action,
    } = &record.approval;
    let name = digest(&[
        pipeline.as_str(),
        execution.as_str(),
        stage.as_str(),
        action.as_str(),
        &record.token_hash.to_string(),
        &kind.name(),
        to.name(),
    ]);
    Do::Tell(Telling {
        kind,
        to,
        message,
        name,
    })
}

/// A run, as CodePipeline shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its state.
    pub state: State,
    /// The state of each action's execution, by its id; may be left out where the run has ended.
    pub actions: BTreeMap<String, State>,
}

impl Run {
    /// Names what was seen: another name wherever anything is different.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut parts = vec![self.state.to_string()];
        for (id, state) in &self.actions {
            parts.push(id.clone());
            parts.push(state.to_string());
        }
        digest(&parts.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// What the ledger does not know of a run, or has not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Behind {
    /// It has no such run.
    #[error("the ledger does not know the run")]
    Unknown,
    /// It has another state.
    #[error("the ledger has the run in another state")]
    State,
    /// It lacks an action, or has it in another state.
    #[error("the ledger has an action in another state")]
    Action,
    /// Something that it knows has not been told.
    #[error("something has not been told")]
    Untold,
}

/// Whether the ledger is behind AWS about a run, because its events were lost or not handled.
#[must_use]
pub fn behind(subject: &Subject, known: &Timeline, run: &Run, region: &str) -> Option<Behind> {
    if known.run.is_empty() && known.actions.is_empty() {
        return Some(Behind::Unknown);
    }
    if known.status() != Some(&run.state) {
        return Some(Behind::State);
    }
    let differs = |(id, state): (&String, &State)| match known.actions.get(id) {
        Some(action) => action.progress.state != *state,
        // Of a timeline that was shortened, what has ended may be what was dropped.
        None => known.dropped == 0 || !state.is_final(),
    };
    if run.actions.iter().any(differs) {
        return Some(Behind::Action);
    }
    let untold = !reconcile(subject, known, known, region).due.is_empty();
    untold.then_some(Behind::Untold)
}

#[cfg(test)]
mod tests;
