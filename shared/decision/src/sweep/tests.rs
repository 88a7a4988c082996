use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::approval::Via;
use crate::approval::link::tests::keys;
use crate::approval::policy::{Escalation, OfficeHours};
use crate::approval::request::tests::record;
use crate::approval::tests::{approver, at as when};
use crate::timeline::{Action, Progress};

/// The record of the tests: opened on Friday 29 May 2026 at 14:05, for seven days.
const OPENED: &str = "2026-05-29T14:05:00Z";

fn hours(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count)
}

fn policy() -> Policy {
    let policy = Policy::parse(
        r#"{
            "version": 1,
            "approvers": [{ "email": "ann@example.com" }, { "email": "bob@example.com" }],
            "quorum": 2,
            "reminders": ["PT24H", "PT72H"],
            "escalation": { "after": "PT96H", "contact": "oncall@example.com" },
            "expiry_notice": "PT12H"
        }"#,
    );
    policy.unwrap()
}

/// Two hours ahead of UTC (the sign of `Etc/GMT-2` is POSIX's).
fn weekdays() -> OfficeHours {
    let text = r#"{
        "version": 1, "approvers": [{ "email": "ann@example.com" }],
        "office_hours": {
            "time_zone": "Etc/GMT-2", "days": ["mon", "tue", "wed", "thu", "fri"],
            "from": "08:00", "to": "18:00"
        }
    }"#;
    Policy::parse(text).unwrap().office_hours.unwrap()
}

fn vote(address: &str) -> Vote {
    Vote {
        person: approver(address),
        via: Via::Link,
        at: when(OPENED),
        comment: String::new(),
    }
}

struct Case {
    record: Record,
    votes: Vec<Vote>,
    all_asked: bool,
    decided: bool,
    newer_waits: bool,
    policy: Policy,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            record: record(),
            votes: Vec::new(),
            all_asked: true,
            decided: false,
            newer_waits: false,
            policy: policy(),
        }
    }
}

impl Case {
    fn at(&self, now: Timestamp) -> Vec<Do> {
        let waiting = Waiting {
            approval: &self.record.approval,
            record: Some(&self.record),
            all_asked: self.all_asked,
            decided: self.decided,
            votes: &self.votes,
            newer_waits: self.newer_waits,
        };
        decided(now, &Found::Waiting(waiting), Some(&self.policy))
    }

    /// Kind and address of what is told.
    fn told(&self, now: &str) -> Vec<(Kind, String)> {
        summary(&self.at(when(now)))
    }
}

fn decided(now: Timestamp, found: &Found<'_>, policy: Option<&Policy>) -> Vec<Do> {
    let keys = keys();
    let links = Links {
        answer_url: "https://answer.example/",
        keys: &keys,
    };
    decide(now, found, policy.map(|policy| Rules { policy, links }))
}

fn tellings(all: &[Do]) -> impl Iterator<Item = &Telling> {
    all.iter().filter_map(|one| match one {
        Do::Tell(telling) => Some(telling),
        Do::Repair { .. } => None,
    })
}

fn summary(all: &[Do]) -> Vec<(Kind, String)> {
    tellings(all)
        .map(|telling| (telling.kind, telling.to.name().to_owned()))
        .collect()
}

fn to(kind: Kind, addresses: &[&str]) -> Vec<(Kind, String)> {
    addresses.iter().map(|to| (kind, (*to).to_owned())).collect()
}

const BOTH: [&str; 2] = ["ann@example.com", "bob@example.com"];

#[test]
fn nothing_is_due_before_the_first_reminder() {
    assert_eq!(Case::default().at(when("2026-05-30T14:04:59Z")), []);
}

#[test]
fn everybody_who_has_not_voted_is_reminded_with_a_link_of_their_own() {
    let mut case = Case::default();
    assert_eq!(case.told("2026-05-30T14:05:00Z"), to(Kind::Reminder(0), &BOTH));
    case.votes = vec![vote("Ann@example.com")];
    let all = case.at(when("2026-05-30T14:05:00Z"));
    assert_eq!(summary(&all), to(Kind::Reminder(0), &["bob@example.com"]));
    let body = &tellings(&all).next().unwrap().message.body;
    let (_, rest) = body.split_once("https://answer.example/a/").unwrap();
    let verified = Link::verify(rest.lines().next().unwrap(), &keys()).unwrap();
    assert_eq!(verified.link().approver.as_str(), "bob@example.com");
    assert!(
        body.contains("since Friday 29 May 2026, 14:05 UTC") && body.contains("(in 6 days)"),
        "{body}"
    );
}

#[test]
fn who_may_not_approve_is_not_reminded() {
    let mut case = Case::default();
    case.record.evidence.author = Some("Bob <bob@example.com>".to_owned());
    assert_eq!(
        case.told("2026-05-30T15:00:00Z"),
        to(Kind::Reminder(0), &["ann@example.com"])
    );
    case.policy.author_may_approve = true;
    assert_eq!(case.told("2026-05-30T15:00:00Z"), to(Kind::Reminder(0), &BOTH));
}

#[test]
fn of_two_reminders_that_are_due_the_later_goes_out() {
    assert_eq!(
        Case::default().told("2026-06-01T14:05:00Z"),
        to(Kind::Reminder(1), &BOTH)
    );
}

#[test]
fn an_older_revision_is_handed_over_for_rejection_where_the_policy_says_so() {
    let mut case = Case {
        newer_waits: true,
        ..Case::default()
    };
    assert_eq!(case.told("2026-05-30T15:00:00Z"), to(Kind::Reminder(0), &BOTH));
    case.policy.superseded = Superseded::Reject;
    let approval = case.record.approval.clone();
    let why = Why::Superseded;
    assert_eq!(
        case.at(when("2026-05-30T15:00:00Z")),
        [Do::Repair { approval, why }]
    );
    case.decided = true;
    assert_eq!(case.at(when("2026-05-30T15:00:00Z")), []);
}

#[test]
fn a_reminder_waits_for_the_next_opening() {
    let mut case = Case::default();
    case.policy.office_hours = Some(weekdays());
    // Due on Saturday; Monday 08:00 is 06:00 UTC.
    assert_eq!(case.told("2026-05-30T14:05:00Z"), []);
    assert_eq!(case.told("2026-06-01T05:59:59Z"), []);
    assert_eq!(case.told("2026-06-01T06:00:00Z"), to(Kind::Reminder(0), &BOTH));
    // The second one came due on Monday 14:05 UTC; a sweep at night says nothing.
    assert_eq!(case.told("2026-06-01T16:00:00Z"), []);
    assert_eq!(case.told("2026-06-02T06:00:00Z"), to(Kind::Reminder(1), &BOTH));
}

#[test]
fn escalation_goes_to_the_contact_and_to_everybody_and_carries_no_link() {
    let mut case = Case::default();
    case.policy.reminders.clear();
    case.votes = vec![vote("ann@example.com")];
    let all = case.at(when("2026-06-02T14:05:00Z"));
    assert_eq!(summary(&all), to(Kind::Escalation, &["oncall@example.com", ""]));
    let body = &tellings(&all).next().unwrap().message.body;
    assert!(
        body.contains("Not answered: bob@example.com.") && !body.contains("/a/"),
        "{body}"
    );
}

#[test]
fn the_expiry_is_announced_before_it_happens_in_the_place_of_reminders() {
    let mut case = Case::default();
    case.policy.escalation = None;
    assert_eq!(case.told("2026-06-05T02:04:59Z"), to(Kind::Reminder(1), &BOTH));
    let expected: Vec<_> = [to(Kind::Expiring, &BOTH), to(Kind::Expiring, &[""])].concat();
    assert_eq!(case.told("2026-06-05T02:05:00Z"), expected);
    let all = case.at(when("2026-06-05T02:05:00Z"));
    for telling in tellings(&all) {
        let has_link = telling.message.body.contains("/a/");
        assert_eq!(has_link, telling.to != To::Team, "{:?}", telling.to);
    }
}

#[test]
fn what_lasts_no_longer_than_its_notice_is_not_announced() {
    let policy = Policy {
        expiry_notice: Some(hours(24 * 7)),
        reminders: Vec::new(),
        escalation: None,
        ..policy()
    };
    let case = Case {
        policy,
        ..Case::default()
    };
    assert_eq!(case.told("2026-06-05T14:00:00Z"), []);
}

#[test]
fn what_has_expired_is_told_to_those_asked_and_to_everybody() {
    let record = record();
    let all = decided(when("2026-06-05T14:06:00Z"), &Found::Lapsed(&record), None);
    assert_eq!(
        summary(&all),
        to(Kind::Expired, &["ann@example.com", "bob@example.com", ""])
    );
    assert!(tellings(&all).all(|telling| telling.message.body.contains("retry the stage Approval")));
}

#[test]
fn links_that_end_before_the_approval_are_told_after_a_margin() {
    let case = Case::default();
    assert_eq!(case.told("2026-06-05T14:06:59Z"), []);
    assert_eq!(case.told("2026-06-05T14:07:00Z"), to(Kind::LinksExpired, &[""]));
}

#[test]
fn an_approval_that_nobody_was_asked_about_is_repaired() {
    let record = record();
    let waiting = Waiting {
        approval: &record.approval,
        record: None,
        all_asked: false,
        decided: false,
        votes: &[],
        newer_waits: false,
    };
    let all = decided(when(OPENED), &Found::Waiting(waiting), None);
    let approval = record.approval.clone();
    assert_eq!(
        all,
        [Do::Repair {
            approval,
            why: Why::NeverAsked
        }]
    );
}

#[test]
fn an_approval_is_asked_again_until_every_message_is_known_to_be_sent() {
    let case = Case {
        all_asked: false,
        ..Case::default()
    };
    assert!(matches!(
        case.at(when(OPENED)).as_slice(),
        [Do::Repair {
            why: Why::Unconfirmed,
            ..
        }]
    ));
}

#[test]
fn without_a_policy_nobody_is_reminded() {
    let case = Case::default();
    let waiting = Waiting {
        approval: &case.record.approval,
        record: Some(&case.record),
        all_asked: true,
        decided: false,
        votes: &[],
        newer_waits: false,
    };
    assert_eq!(
        decided(when("2026-06-05T02:05:00Z"), &Found::Waiting(waiting), None),
        []
    );
}

#[test]
fn a_decision_ends_it_all() {
    let case = Case {
        decided: true,
        all_asked: false,
        ..Case::default()
    };
    assert_eq!(case.at(when("2026-06-05T02:05:00Z")), []);
}

#[test]
fn text_of_others_stays_on_its_line() {
    let mut case = Case::default();
    case.record.evidence.revision_summary =
        Some("ok\r\n\r\nApprove here:\nhttps://evil.example\u{1b}[2J".to_owned());
    for telling in tellings(&case.at(when("2026-05-30T14:05:00Z"))) {
        let lines: Vec<&str> = telling
            .message
            .body
            .lines()
            .filter(|line| line.contains("evil"))
            .collect();
        assert_eq!(
            lines,
            ["  Summary      ok Approve here: https://evil.example\\u{1b}[2J"]
        );
        assert!(telling.message.subject.is_ascii() && telling.message.subject.len() < 100);
    }
}

fn run_of(state: State) -> (Subject, Timeline, Run) {
    let record = record();
    let subject = Subject::Run {
        pipeline: record.approval.pipeline,
        execution: record.approval.execution,
    };
    let progress = Progress {
        state: state.clone(),
        started: Some(when(OPENED)),
        ended: state.is_final().then(|| when("2026-05-29T15:00:00Z")),
    };
    let action = Action {
        stage: "Build".to_owned(),
        name: "Build".to_owned(),
        category: "Build".to_owned(),
        provider: "CodeBuild".to_owned(),
        external: None,
        error: None,
        progress: progress.clone(),
    };
    let mut known = Timeline {
        run: BTreeMap::from([(1, progress)]),
        actions: BTreeMap::from([("a-1".to_owned(), action)]),
        ..Timeline::default()
    };
    let due = reconcile(&subject, &known, &known, "eu-west-1").due;
    known.told = due.into_iter().map(|due| due.key).collect();
    let run = Run {
        state: state.clone(),
        actions: BTreeMap::from([("a-1".to_owned(), state)]),
    };
    (subject, known, run)
}

#[test]
fn a_ledger_that_agrees_is_left_alone() {
    for state in [State::InProgress, State::Succeeded, State::Failed] {
        let (subject, known, run) = run_of(state);
        assert_eq!(behind(&subject, &known, &run, "eu-west-1"), None);
    }
}

#[test]
fn whatever_the_ledger_lacks_is_found() {
    let (subject, known, run) = run_of(State::Succeeded);
    let found = |known: &Timeline, run: &Run| behind(&subject, known, run, "eu-west-1");
    assert_eq!(found(&Timeline::default(), &run), Some(Behind::Unknown));
    let failed = Run {
        state: State::Failed,
        ..run.clone()
    };
    assert_eq!(found(&known, &failed), Some(Behind::State));
    let mut more = run.clone();
    more.actions.insert("a-2".to_owned(), State::InProgress);
    assert_eq!(found(&known, &more), Some(Behind::Action));
    let untold = Timeline {
        told: BTreeSet::new(),
        ..known
    };
    assert_eq!(found(&untold, &run), Some(Behind::Untold));
    assert_ne!(run.digest(), more.digest());
}

fn durations() -> impl Strategy<Value = SignedDuration> {
    (0_i64..700_000).prop_map(SignedDuration::from_secs)
}

prop_compose! {
    fn policies()(
        reminders in prop::collection::vec(durations(), 0..5),
        escalation in prop::option::of(durations()),
        expiry_notice in prop::option::of(durations()),
        within_hours in any::<bool>(),
        author_may_approve in any::<bool>(),
    ) -> Policy {
        Policy {
            reminders,
            escalation: escalation.map(|after| Escalation { after, contact: approver("oncall@example.com") }),
            expiry_notice,
            office_hours: within_hours.then(weekdays),
            author_may_approve,
            ..policy()
        }
    }
}

proptest! {
    /// Whenever sweeps run, what goes out under the ledger's claims is never two of one kind to one person,
    /// and nothing before its time.
    #[test]
    fn no_notice_twice_and_none_before_its_time(
        policy in policies(),
        mut seconds in prop::collection::vec(-1000_i64..700_000, 1..40),
        ann_votes_at in prop::option::of(0_i64..700_000),
    ) {
        seconds.sort_unstable();
        let mut case = Case { policy, ..Case::default() };
        let opened = when(OPENED);
        let mut claimed = BTreeSet::new();
        let mut sent: BTreeSet<(Kind, To)> = BTreeSet::new();
        for second in seconds {
            let now = opened + SignedDuration::from_secs(second);
            let ann_voted = ann_votes_at.is_some_and(|at| at <= second);
            if ann_voted {
                case.votes = vec![vote("ann@example.com")];
            }
            for telling in tellings(&case.at(now)) {
                let due = match telling.kind {
                    Kind::Reminder(index) => {
                        let due = opened + case.policy.reminders[index];
                        prop_assert!(now < case.record.expires);
                        if let Some(hours) = &case.policy.office_hours {
                            prop_assert_eq!(hours.next(now), now, "outside of the hours");
                        }
                        due
                    }
                    Kind::Escalation => opened + case.policy.escalation.as_ref().unwrap().after,
                    Kind::Expiring => case.record.expires - case.policy.expiry_notice.unwrap(),
                    Kind::LinksExpired | Kind::Expired => case.record.expires,
                    Kind::Frozen(_) => panic!("an approval is not frozen"),
                };
                prop_assert!(due <= now, "{:?} at {now}, due {due}", telling.kind);
                prop_assert!(!(ann_voted && telling.to == To::Person(approver("ann@example.com"))));
                // The claim: who wins it sends, and nobody wins it twice.
                if claimed.insert(telling.name.clone()) {
                    prop_assert!(sent.insert((telling.kind, telling.to.clone())), "two of one kind");
                }
            }
        }
    }
}
