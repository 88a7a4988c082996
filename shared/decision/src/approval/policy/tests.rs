//! The document's rules.

use proptest::prelude::*;

use super::super::tests::{approver, at};
use super::*;

const WHOLE: &str = r#"{
    "version": 1,
    "approvers": [{ "email": "ann@example.com", "slack": "U012ABCDEF" }, { "email": "ben@example.com" }],
    "quorum": 2, "author_may_approve": true,
    "reminders": ["PT24H", "PT72H"],
    "escalation": { "after": "PT96H", "contact": "oncall@example.com" },
    "expiry_notice": "PT12H", "superseded": "reject",
    "office_hours": { "time_zone": "Europe/Berlin", "days": ["mon", "fri"], "from": "08:00", "to": "18:00" },
    "slack": { "team": "T012ABCDEF", "channel": "C012ABCDEF" }
}"#;

fn mistakes(text: &str) -> Vec<String> {
    Policy::parse(text).map_or_else(
        |mistakes| mistakes.iter().map(str::to_owned).collect(),
        |_| Vec::new(),
    )
}

#[test]
fn a_whole_document_is_read() {
    let policy = Policy::parse(WHOLE).unwrap();
    assert_eq!(
        (policy.quorum, policy.author_may_approve, policy.superseded),
        (2, true, Superseded::Reject)
    );
    assert_eq!(policy.reminders, [24, 72].map(SignedDuration::from_hours));
    assert_eq!(
        policy.escalation.as_ref().unwrap().contact,
        approver("oncall@example.com")
    );
    assert_eq!(policy.expiry_notice, Some(SignedDuration::from_hours(12)));
    assert_eq!(policy.by_slack("U012ABCDEF"), Some(&approver("ann@example.com")));
    assert_eq!(policy.by_slack("U000000000"), None);
    assert!(policy.lists(&approver("BEN@example.com")) && !policy.lists(&approver("oncall@example.com")));
    assert_eq!(policy.slack.unwrap().channel, "C012ABCDEF");
}

#[test]
fn what_is_left_out_is_the_safe_choice() {
    let policy =
        Policy::parse(r#"{"version":1,"approvers":[{"email":"ann@example.com"}],"slack":null}"#).unwrap();
    assert_eq!(
        (policy.quorum, policy.author_may_approve, policy.superseded),
        (1, false, Superseded::Warn)
    );
    assert!(policy.reminders.is_empty() && policy.escalation.is_none() && policy.office_hours.is_none());
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_place() {
    let found = mistakes(
        r#"{ "version": 2, "approvers": [{ "email": "ann at example" }, { "slack": "ann", "phone": 1 }],
             "quorum": 0, "author_may_approve": "no", "reminders": ["PT72H", "PT24H", "P1D"],
             "escalation": { "after": "-PT1H" }, "expiry_notice": 12, "superseded": "ignore", "quorom": 1,
             "office_hours": { "time_zone": "Europe/Atlantis", "days": ["mon", "mon", "Friday"], "from": "18:00", "to": "8:00" },
             "slack": { "team": "C012ABCDEF", "channel": "" } }"#,
    );
    for place in [
        "the document: \"quorom\"",
        "version:",
        "approvers[0].email:",
        "approvers[1]: \"phone\"",
        "approvers[1].email:",
        "approvers[1].slack:",
        "quorum:",
        "author_may_approve:",
        "reminders[1]:",
        "reminders[2]:",
        "escalation.after:",
        "escalation.contact:",
        "expiry_notice:",
        "superseded:",
        "office_hours.time_zone:",
        "office_hours.days: mon",
        "office_hours.days: \"Friday\"",
        "office_hours.to:",
        "slack.team:",
        "slack.channel:",
    ] {
        assert_eq!(
            found.iter().filter(|mistake| mistake.starts_with(place)).count(),
            1,
            "{place} in {found:#?}"
        );
    }
    assert_eq!(found.len(), 20, "{found:#?}");
}

#[test]
fn what_could_be_meant_in_two_ways_is_a_mistake() {
    for (text, place) in [
        (
            r#"{"version":1,"approvers":[{"email":"a@b.c"}],"quorum":1,"quorum":1}"#,
            "quorum is there twice",
        ),
        (
            r#"{"version":1,"approvers":[{"email":"a@b.c"},{"email":"A@b.c"}]}"#,
            "on the list twice",
        ),
        (
            r#"{"version":1,"approvers":[{"email":"a@b.c"}],"quorum":2}"#,
            "only 1 may",
        ),
        (r#"{"version":1,"approvers":[]}"#, "nobody is on the list"),
        (r#"{"version":1}"#, "approvers: it is missing"),
        (r#"{"version":1,"approvers":[{"email":"a@b.c"}]} {}"#, "no JSON"),
        ("", "empty"),
        ("[]", "an object belongs here"),
    ] {
        let found = mistakes(text);
        assert!(found.len() == 1 && found[0].contains(place), "{text}: {found:?}");
    }
    assert!(mistakes(&" ".repeat(5000))[0].contains("empty"));
    assert!(mistakes(&format!("{}{}", " ".repeat(5000), WHOLE))[0].contains("bytes"));
}

#[test]
fn office_hours_follow_the_place_s_own_clock() {
    let hours = Policy::parse(WHOLE).unwrap().office_hours.unwrap();
    // A Friday in summer and one in winter, both at 08:00 in Berlin.
    assert!(hours.include(at("2026-05-29T06:00:00Z")) && !hours.include(at("2026-05-29T05:59:59Z")));
    assert!(hours.include(at("2026-12-04T07:00:00Z")) && !hours.include(at("2026-12-04T06:59:59Z")));
    assert!(!hours.include(at("2026-05-29T16:00:00Z")), "the end is past");
    // Friday evening → Monday morning, across the change of the clock on Sunday 25 October.
    assert_eq!(hours.next(at("2026-10-23T16:00:00Z")), at("2026-10-26T07:00:00Z"));
    assert_eq!(hours.next(at("2026-10-23T15:00:00Z")), at("2026-10-23T15:00:00Z"));
    assert_eq!(hours.next(at("2026-10-27T15:00:00Z")), at("2026-10-30T07:00:00Z"));
}

proptest! {
    #[test]
    fn anything_at_all_is_read_or_refused_without_a_panic(text in ".{0,200}") {
        prop_assert!(Policy::parse(&text).is_err());
    }

    #[test]
    fn a_document_that_was_cut_is_refused(keep in 0..WHOLE.len() - 1) {
        prop_assert!(Policy::parse(&WHOLE[..keep]).is_err());
    }

    #[test]
    fn the_next_opening_is_open_and_never_earlier(seconds in 1_700_000_000_i64..1_900_000_000) {
        let hours = Policy::parse(WHOLE).unwrap().office_hours.unwrap();
        let from = jiff::Timestamp::from_second(seconds).unwrap();
        let next = hours.next(from);
        prop_assert!(next >= from && hours.include(next));
        prop_assert!(next.duration_since(from) <= SignedDuration::from_hours(8 * 24));
    }
}
