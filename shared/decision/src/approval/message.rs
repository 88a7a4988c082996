//! What an approver reads: plain text, as SNS sends it by e-mail, with the link near the top.

use jiff::{SignedDuration, Timestamp};

use super::evidence::{self, line};
use super::{Evidence, Record, in_words};
use crate::names::Approver;
use crate::text::{self, shown};

/// SNS takes 262,144 bytes, message attributes included; the attribute `approver` needs fewer than
/// 1,100 of them (API reference of `Publish`).
pub(crate) const MAX_BODY_BYTES: usize = 262_144 - 1_100;

/// Where text is left out.
const SHORTENED: &str = "\n  … (shortened)\n";

/// A message to one person, or to everybody who listens.
///
/// The body holds a link that is a credential: no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// An SNS subject.
    pub subject: String,
    /// Plain text of at most 262,144 bytes with its attributes.
    pub body: String,
}

/// What the policy asks of the approvers, as far as a message tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How many different people have to approve.
    pub quorum: usize,
    /// Whether the author of a change, and whoever started the run, count.
    pub author_may_approve: bool,
}

/// The message that asks `approver`.
#[must_use]
pub fn ask(record: &Record, approver: &Approver, url: &str, rules: Rules, now: Timestamp) -> Message {
    let evidence = &record.evidence;
    let quorum = match rules.quorum {
        0 | 1 => String::new(),
        count => format!("It takes {count} different people to approve; one rejection ends it.\n"),
    };
    let newer = match evidence.newer_waiting.len() {
        0 => "",
        _ => "A NEWER REVISION WAITS behind this one. To approve the older one takes a second step.\n\n",
    };
    let head = format!(
        "{newer}{} waits for your decision.\n\nSee what would go out, then approve or reject, until {} ({}):\n\n{url}\n\n\
         The link is for {approver} alone: please do not forward it. Opening it decides nothing.\n{quorum}{}\n",
        shown(record.approval.pipeline.as_str(), 100),
        in_words(record.expires),
        remaining(record.expires.duration_since(now)),
        if evidence.is_by(approver) && !rules.author_may_approve {
            "You made this change, or started this run: somebody else has to approve it; you can reject it.\n"
        } else {
            ""
        },
    );
    let tail = format!("\nThe run in the AWS console: {}\n", evidence.console);
    Message {
        subject: subject("Approve?", record),
        body: fit(&head, &details(record), &tail, MAX_BODY_BYTES),
    }
}

/// The message where nobody can be asked, and why: the console is the way left.
#[must_use]
pub fn nobody(record: &Record, why: &str) -> Message {
    let head = format!(
        "{} waits for a decision until {}, and nobody can be asked: {}\n\n\
         Mend the approval policy (the parameter ApprovalPolicy of the Signalbox stack); people are asked from the \
         next run on. This run can be approved or rejected in the AWS console only:\n\n{}\n\n",
        shown(record.approval.pipeline.as_str(), 100),
        in_words(record.expires),
        line(why, 4000),
        record.evidence.console,
    );
    Message {
        subject: subject("Nobody to ask:", record),
        body: fit(&head, &details(record), "", MAX_BODY_BYTES),
    }
}

fn subject(prefix: &str, record: &Record) -> String {
    let Evidence {
        environment,
        revision,
        ..
    } = &record.evidence;
    let revision = revision.as_ref().map_or("", |revision| revision.as_str());
    text::subject(&format!(
        "{prefix} {} {} {environment}",
        record.approval.pipeline,
        text::cut(revision, 12)
    ))
}

/// The evidence as labelled lines: one value, one line, whatever the value holds.
fn details(record: &Record) -> String {
    rows(record)
        .iter()
        .map(|(label, value)| format!("  {label:<12} {value}\n"))
        .collect()
}

/// What is known of the run, as label and text fit to be shown; the page shows the same rows.
#[must_use]
pub fn rows(record: &Record) -> Vec<(&'static str, String)> {
    let evidence = &record.evidence;
    let unstated = || "not stated by the source".to_owned();
    let mut rows = vec![
        ("Environment", line(&evidence.environment, 200)),
        ("Pipeline", line(record.approval.pipeline.as_str(), 100)),
        (
            "Revision",
            evidence
                .revision
                .as_ref()
                .map_or_else(unstated, |revision| line(revision.as_str(), 1500)),
        ),
        (
            "Summary",
            evidence
                .revision_summary
                .as_deref()
                .map_or_else(unstated, |text| line(text, 2048)),
        ),
        (
            "Author",
            evidence
                .author
                .as_deref()
                .map_or_else(unstated, |text| line(text, 300)),
        ),
    ];
    let mut known = |label, value: String| rows.push((label, value));
    known(
        "Started by",
        evidence.started_by.as_deref().map_or_else(
            || "CodePipeline does not tell".to_owned(),
            |text| line(text, 1200),
        ),
    );
    known("Run", line(record.approval.execution.as_str(), 100));
    known(
        "Waits at",
        format!("{} / {}", record.approval.stage, record.approval.action),
    );
    known(
        "Passed",
        if evidence.passed.is_empty() {
            "no stage is known to have passed".to_owned()
        } else {
            line(&evidence.passed.join(", "), 300_000)
        },
    );
    known(
        "Newer runs",
        match evidence.newer_waiting.len() {
            0 => "none waits behind this one".to_owned(),
            newer => format!("{newer} waiting behind this one: a newer revision exists"),
        },
    );
    rows.extend(
        evidence
            .custom_data
            .as_deref()
            .map(|text| ("Note", line(text, 2000))),
    );
    rows.extend(evidence::rows(&evidence.preview, evidence.revision.as_ref()));
    rows
}

/// Head and tail whole; of the details, what fits.
fn fit(head: &str, details: &str, tail: &str, max_bytes: usize) -> String {
    let room = max_bytes.saturating_sub(head.len() + tail.len());
    if details.len() <= room {
        return [head, details, tail].concat();
    }
    let kept = details.floor_char_boundary(room.saturating_sub(SHORTENED.len()));
    [head, details.get(..kept).unwrap_or_default(), SHORTENED, tail].concat()
}

/// How long something still lasts, in the largest unit that fits: `in 7 days`, `in 40 minutes`.
#[must_use]
pub fn remaining(left: SignedDuration) -> String {
    let minutes = left.as_mins();
    let (count, unit) = match minutes {
        ..=0 => return "now".to_owned(),
        1..120 => (minutes, "minute"),
        120..2880 => (minutes / 60, "hour"),
        _ => (minutes / 1440, "day"),
    };
    format!("in {count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::request::tests::record;
    use super::super::tests::{approver, at};
    use super::*;
    use crate::names::Revision;

    const URL: &str = "https://answer.example/a/SEGMENT";
    const RULES: Rules = Rules {
        quorum: 1,
        author_may_approve: false,
    };

    fn asked(record: &Record) -> Message {
        ask(
            record,
            &approver("ann@example.com"),
            URL,
            RULES,
            at("2026-05-29T14:06:00Z"),
        )
    }

    #[test]
    fn a_message_says_what_would_go_out_and_until_when() {
        let message = asked(&record());
        assert_eq!(
            message.subject,
            "Approve? lambda-function-production-pipeline 3sL4kqtJlcpX production"
        );
        for part in [
            URL,
            "until Friday 5 June 2026, 14:05 UTC (in 6 days)",
            "  Environment  production\n",
            "  Revision     3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY\n",
            "  Summary      Round the totals\n",
            "  Author       carol@example.com\n",
            "  Passed       Source, Build, Deploy\n",
            "Opening it decides nothing",
        ] {
            assert!(
                message.body.contains(part),
                "{part:?} is missing in\n{}",
                message.body
            );
        }
        assert!(!message.body.contains("somebody else"));
    }

    #[test]
    fn the_author_is_told_that_another_has_to_approve() {
        let mut record = record();
        record.evidence.author = Some("Ann <ann@example.com>".to_owned());
        assert!(asked(&record).body.contains("somebody else has to approve"));
    }

    #[test]
    fn text_of_others_stays_on_its_line() {
        let mut record = record();
        record.evidence.revision_summary =
            Some("ok\r\n\r\nDecide here:\nhttps://evil.example\u{1b}[2J\u{202e}".to_owned());
        record.evidence.revision = Some(Revision::new("ä\u{202e}b").unwrap());
        let message = asked(&record);
        let lines: Vec<&str> = message
            .body
            .lines()
            .filter(|line| line.contains("evil"))
            .collect();
        assert_eq!(
            lines,
            ["  Summary      ok Decide here: https://evil.example\\u{1b}[2J\\u{202e}"]
        );
        assert!(message.subject.is_ascii() && message.subject.len() < 100);
    }

    #[test]
    fn a_message_one_byte_too_long_is_trimmed_and_keeps_its_link() {
        let mut record = record();
        record.evidence.passed = vec!["ä".repeat(200_000)];
        let body = asked(&record).body;
        assert!(
            body.len() <= MAX_BODY_BYTES && body.len() > MAX_BODY_BYTES - 4,
            "{}",
            body.len()
        );
        assert!(
            body.contains(URL)
                && body.contains("(shortened)")
                && body.ends_with(&format!("{}\n", record.evidence.console))
        );
    }

    #[test]
    fn rules_are_told_where_there_are_any() {
        let mut record = record();
        assert!(!asked(&record).body.contains("different people") && !asked(&record).body.contains("NEWER"));
        record.evidence.newer_waiting = vec![record.approval.execution.clone()];
        record.evidence.author = Some("ann@example.com".to_owned());
        let rules = Rules {
            quorum: 2,
            author_may_approve: true,
        };
        let body = ask(
            &record,
            &approver("ann@example.com"),
            URL,
            rules,
            at("2026-05-29T14:06:00Z"),
        )
        .body;
        assert!(body.starts_with("A NEWER REVISION WAITS") && body.contains("2 different people to approve"));
        assert!(!body.contains("You made this change"));
    }

    #[test]
    fn what_is_not_known_is_said() {
        let mut record = record();
        record.evidence.started_by = None;
        record.evidence.passed.clear();
        let body = asked(&record).body;
        for part in [
            "  Started by   CodePipeline does not tell\n",
            "  Passed       no stage is known to have passed\n",
            "  Newer runs   none waits behind this one\n",
            "  Tests        not known\n",
            "  Change set   not known\n",
        ] {
            assert!(body.contains(part), "{part:?} is missing in\n{body}");
        }
    }

    #[test]
    fn without_a_policy_the_message_points_to_the_console() {
        let message = nobody(&record(), "no approval policy is configured.");
        assert!(
            message.body.contains("no approval policy is configured.")
                && message.body.contains("https://console")
        );
        assert!(!message.body.contains("/a/"));
    }

    #[test]
    fn the_time_left_reads_well() {
        for (minutes, words) in [
            (-5, "now"),
            (1, "in 1 minute"),
            (90, "in 90 minutes"),
            (150, "in 2 hours"),
            (10_080, "in 7 days"),
        ] {
            assert_eq!(remaining(SignedDuration::from_mins(minutes)), words);
        }
    }

    proptest! {
        #[test]
        fn a_body_never_exceeds_its_limit(details in "\\PC{0,200}", max in 60_usize..300) {
            let body = fit("head", &details, "tail", max);
            prop_assert!(body.len() <= max && body.starts_with("head") && body.ends_with("tail"));
        }
    }
}
