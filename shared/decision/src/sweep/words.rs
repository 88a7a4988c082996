//! What the sweep's messages say: plain text, the link near the top, nothing of others that could pose as
//! ours.

use std::fmt::Write;

use jiff::Timestamp;

use crate::approval::message::{Message, remaining};
use crate::approval::quorum::Tally;
use crate::approval::{Record, in_words};
use crate::names::Approver;
use crate::text::{cut, shown, subject};

pub(super) fn reminder(record: &Record, url: &str, now: Timestamp) -> Message {
    message(
        "Reminder: approve?",
        record,
        &format!(
            "{} still waits for your decision, since {}. It expires {} ({}).\n\n{}",
            pipeline(record),
            in_words(record.opened),
            in_words(record.expires),
            remaining(record.expires.duration_since(now)),
            decide_here(url),
        ),
    )
}

/// With a link for one person, without one for everybody.
pub(super) fn expiring(record: &Record, url: Option<&str>, now: Timestamp) -> Message {
    message(
        "Expires soon:",
        record,
        &format!(
            "{} waits for a decision since {}, and expires {} ({}). The run then fails, and nothing goes \
             out.\n\n{}",
            pipeline(record),
            in_words(record.opened),
            in_words(record.expires),
            remaining(record.expires.duration_since(now)),
            url.map(decide_here).unwrap_or_default(),
        ),
    )
}

pub(super) fn escalation(record: &Record, contact: &Approver, tally: &Tally, now: Timestamp) -> Message {
    let names: Vec<&str> = tally.missing.iter().map(Approver::as_str).collect();
    let waited_for = if names.is_empty() {
        "Nobody is left who was asked and whose approval would count.".to_owned()
    } else {
        format!("Not answered: {}.", shown(&names.join(", "), 3000))
    };
    message(
        "Nobody decides:",
        record,
        &format!(
            "{} waits for a decision since {}, and expires {} ({}).\n{waited_for}\n\n\
             This goes to {contact}, whom the policy names for it. Please find somebody who decides: each \
             approver has a link of their own, and it can be answered in the AWS console.\n\n",
            pipeline(record),
            in_words(record.opened),
            in_words(record.expires),
            remaining(record.expires.duration_since(now)),
        ),
    )
}

pub(super) fn expired(record: &Record) -> Message {
    message(
        "Expired:",
        record,
        &format!(
            "{} waited for a decision since {}, and nobody made one in time. The run has failed, and nothing \
             went out. To ask again, retry the stage {} in the AWS console, or upload again.\n\n",
            pipeline(record),
            in_words(record.opened),
            record.approval.stage,
        ),
    )
}

pub(super) fn links_expired(record: &Record) -> Message {
    message(
        "Links expired:",
        record,
        &format!(
            "{} waits for a decision since {}. Its links expired {}, and CodePipeline waits on: it can be \
             approved or rejected in the AWS console.\n\nSet the stack's parameter ApprovalTimeoutMinutes to what \
             the pipeline's approval action says, so that links last as long as it does.\n\n",
            pipeline(record),
            in_words(record.opened),
            in_words(record.expires),
        ),
    )
}

fn pipeline(record: &Record) -> String {
    shown(record.approval.pipeline.as_str(), 100)
}

fn decide_here(url: &str) -> String {
    format!(
        "See what would go out, then approve or reject:\n\n{url}\n\nThe link is for you alone: please do not \
         forward it. Opening it decides nothing.\n\n"
    )
}

/// The head, and what it is about in a few lines; the request itself has the rest.
fn message(prefix: &str, record: &Record, head: &str) -> Message {
    let evidence = &record.evidence;
    let revision = evidence
        .revision
        .as_ref()
        .map_or("", |revision| revision.as_str());
    let mut body = head.to_owned();
    let mut line = |label: &str, value: &str| {
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        if !value.is_empty() {
            // Writing into a String cannot fail.
            let _ = writeln!(body, "  {label:<12} {}", shown(&value, 500));
        }
    };
    line("Environment", &evidence.environment);
    line("Revision", revision);
    line(
        "Summary",
        evidence.revision_summary.as_deref().unwrap_or_default(),
    );
    line("Author", evidence.author.as_deref().unwrap_or_default());
    line("Run", record.approval.execution.as_str());
    line(
        "Waits at",
        &format!("{} / {}", record.approval.stage, record.approval.action),
    );
    let _ = writeln!(body, "\nThe run in the AWS console: {}", evidence.console);
    Message {
        subject: subject(&format!(
            "{prefix} {} {} {}",
            record.approval.pipeline,
            cut(revision, 12),
            evidence.environment
        )),
        body,
    }
}
