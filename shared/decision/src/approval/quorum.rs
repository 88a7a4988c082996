//! How many have approved, and who is missing.
//!
//! An approval counts only while whoever gave it may give it: people who were taken off the list, the
//! author of the revision and whoever started the run do not count, whatever the ledger holds.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::policy::Policy;
use super::{Record, Via, same_person};
use crate::names::Approver;

/// One person's approval of one asking. A rejection is no vote: it ends the asking at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vote {
    /// Who approved.
    pub person: Approver,
    /// By which way.
    pub via: Via,
    /// When.
    pub at: Timestamp,
    /// The comment given with it.
    #[serde(default)]
    pub comment: String,
}

/// How an asking stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Tally {
    /// How many different people have to approve.
    pub needed: usize,
    /// The approvals that count, oldest first, one for each person.
    pub approved: Vec<Vote>,
    /// Who was asked, may approve, and has not.
    pub missing: Vec<Approver>,
}

impl Tally {
    /// Counts.
    pub fn of(votes: &[Vote], policy: &Policy, record: &Record) -> Self {
        let mut approved: Vec<Vote> = Vec::new();
        for vote in votes {
            let counted = approved
                .iter()
                .any(|known| same_person(&known.person, &vote.person));
            if !counted && counts(&vote.person, policy, record) {
                approved.push(vote.clone());
            }
        }
        let missing = record
            .asked
            .iter()
            .filter(|person| counts(person, policy, record))
            .filter(|person| !approved.iter().any(|vote| same_person(&vote.person, person)))
            .cloned()
            .collect();
        Self {
            needed: policy.quorum,
            approved,
            missing,
        }
    }

    /// Whether enough have approved.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.approved.len() >= self.needed
    }

    /// How many more have to.
    #[must_use]
    pub fn open(&self) -> usize {
        self.needed.saturating_sub(self.approved.len())
    }

    /// Whether too few are left who could: then only the console, another policy or a rejection helps.
    #[must_use]
    pub fn is_out_of_reach(&self) -> bool {
        self.missing.len() < self.open()
    }

    /// Whether `person` is among those who approved.
    #[must_use]
    pub fn has(&self, person: &Approver) -> bool {
        self.approved.iter().any(|vote| same_person(&vote.person, person))
    }

    /// Everybody who approved, as [`super::Decision::by`] names them.
    #[must_use]
    pub fn people(&self) -> String {
        let people: Vec<&str> = self.approved.iter().map(|vote| vote.person.as_str()).collect();
        people.join(", ")
    }
}

/// Whether the approval of `person` would count: asked, still on the list, and not for their own change.
#[must_use]
pub fn counts(person: &Approver, policy: &Policy, record: &Record) -> bool {
    record.asked.iter().any(|asked| same_person(asked, person))
        && policy.lists(person)
        && (policy.author_may_approve || !record.evidence.is_by(person))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::request::tests::record;
    use super::super::tests::{approver, at};
    use super::*;

    const PEOPLE: [&str; 5] = [
        "ann@example.com",
        "bob@example.com",
        "carol@example.com",
        "dan@example.com",
        "mallory@example.com",
    ];

    fn policy(quorum: usize, author: bool) -> Policy {
        let listed: Vec<String> = PEOPLE[..4]
            .iter()
            .map(|email| format!("{{\"email\":\"{email}\"}}"))
            .collect();
        let listed = listed.join(",");
        Policy::parse(&format!(
            r#"{{"version":1,"approvers":[{listed}],"quorum":{quorum},"author_may_approve":{author}}}"#
        ))
        .unwrap()
    }

    /// Carol made the change; everybody but Dan was asked.
    fn asked() -> Record {
        Record {
            asked: PEOPLE[..3].iter().map(|email| approver(email)).collect(),
            ..record()
        }
    }

    fn vote(email: &str) -> Vote {
        Vote {
            person: approver(email),
            via: Via::Link,
            at: at("2026-05-29T15:00:00Z"),
            comment: String::new(),
        }
    }

    #[test]
    fn different_people_are_counted_once_each() {
        let votes = ["ann@example.com", "ANN@example.com"].map(vote);
        let tally = Tally::of(&votes, &policy(2, false), &asked());
        assert_eq!(
            (tally.approved.len(), tally.open(), tally.is_reached()),
            (1, 1, false)
        );
        assert_eq!(tally.missing, [approver("bob@example.com")]);
        let votes = ["ann@example.com", "bob@example.com"].map(vote);
        let tally = Tally::of(&votes, &policy(2, false), &asked());
        assert!(tally.is_reached());
        assert_eq!(tally.people(), "ann@example.com, bob@example.com");
    }

    #[test]
    fn the_author_counts_only_where_the_policy_says_so() {
        let votes = ["ann@example.com", "carol@example.com"].map(vote);
        assert!(!Tally::of(&votes, &policy(2, false), &asked()).is_reached());
        assert!(Tally::of(&votes, &policy(2, true), &asked()).is_reached());
    }

    #[test]
    fn a_quorum_that_nobody_is_left_for_is_seen() {
        assert!(Tally::of(&[], &policy(3, false), &asked()).is_out_of_reach());
        assert!(!Tally::of(&[], &policy(2, false), &asked()).is_out_of_reach());
    }

    proptest! {
        /// Whatever the ledger holds: the quorum is reached by that many different people who may, and by
        /// nothing else.
        #[test]
        fn only_different_people_who_may_reach_it(
            order in prop::collection::vec(0_usize..PEOPLE.len(), 0..12),
            quorum in 1_usize..=4,
            author in any::<bool>(),
        ) {
            let votes: Vec<Vote> = order.iter().map(|at| vote(PEOPLE[*at])).collect();
            let tally = Tally::of(&votes, &policy(quorum, author), &asked());
            let may: &[usize] = if author { &[0, 1, 2] } else { &[0, 1] };
            let distinct = may.iter().filter(|at| order.contains(at)).count();
            prop_assert_eq!(tally.is_reached(), distinct >= quorum);
            prop_assert_eq!(tally.missing.len() + tally.approved.len(), may.len());
        }
    }
}
