//! The messages, in Block Kit.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::click::{APPROVE, APPROVE_OLDER, REJECT};
use super::older_button;
use crate::approval::message::{remaining, rows};
use crate::approval::quorum::Tally;
use crate::approval::{Decision, Record, Via, in_words};
use crate::names::ExecutionId;
use crate::text::{cut, shown};

/// Limits of Block Kit ("Reference: blocks"): a section's text, a header's text, a message's blocks.
pub(super) const SECTION: usize = 3000;
pub(super) const HEADER: usize = 150;

/// A message of ours. It holds the buttons' values: no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// For notifications and for readers without blocks.
    pub text: String,
    /// Block Kit.
    pub blocks: Value,
}

/// What became of a request, for the message that asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Somebody decided.
    Decided(Decision),
    /// Nobody did, in time.
    Expired,
    /// There is nothing left to decide, for this reason.
    Gone(String),
}

/// How an open request stands, for its message.
#[derive(Debug, Clone, Copy)]
pub struct Open<'a> {
    /// Who has approved, and who is missing.
    pub tally: &'a Tally,
    /// The newer runs that wait behind this one.
    pub newer: &'a [ExecutionId],
}

/// The message that asks, as it stands now: posted once, and put in its own place when somebody has approved
/// or a newer revision has come. `button` is [`super::button`]'s.
#[must_use]
pub fn ask(record: &Record, button: &str, open: Open<'_>, now: Timestamp) -> Message {
    let mut record = record.clone();
    record.evidence.newer_waiting = open.newer.to_vec();
    let title = format!("{} waits for a decision", record.approval.pipeline);
    let until = format!(
        "Until {} ({}). Everything else about it is on the page behind the link in each approver's mail.",
        in_words(record.expires),
        remaining(record.expires.duration_since(now)),
    );
    let mut blocks = vec![header(&title)];
    let approve = if open.newer.is_empty() {
        element(APPROVE, "Approve", "primary", button, "Approve this run?", &title)
    } else {
        blocks.push(plain(NEWER));
        approve_older(button, open.newer)
    };
    blocks.extend(votes(open.tally));
    blocks.extend(details(&record));
    blocks.push(context(&until));
    blocks.push(
        json!({ "type": "actions", "block_id": "signalbox_decide", "elements": [
            approve, element(REJECT, "Reject", "danger", button, "Reject this run?", &title),
        ]}),
    );
    Message {
        text: escaped(&title),
        blocks: Value::Array(blocks),
    }
}

const NEWER: &str = "A newer revision waits behind this one. Approving lets the older one out first.";

/// Slack's dialogue, which names what waits, is the second step.
fn approve_older(button: &str, newer: &[ExecutionId]) -> Value {
    let value = older_button(button, newer);
    element(
        APPROVE_OLDER,
        "Approve the older revision",
        "danger",
        &value,
        "Approve the older revision?",
        NEWER,
    )
}

/// Who has approved and who is missing, where that is more than one person's affair.
fn votes(tally: &Tally) -> Option<Value> {
    if tally.needed <= 1 && tally.approved.is_empty() {
        return None;
    }
    let mut lines = vec![format!(
        "{} of {} people have approved. One rejection ends it.",
        tally.approved.len(),
        tally.needed
    )];
    lines.extend(tally.approved.iter().map(|vote| {
        format!(
            "Approved by {}{}, {}",
            shown(vote.person.as_str(), 254),
            way(vote.via),
            in_words(vote.at)
        )
    }));
    let missing: Vec<String> = tally
        .missing
        .iter()
        .map(|person| shown(person.as_str(), 254))
        .collect();
    if !tally.is_reached() && !missing.is_empty() {
        lines.push(format!("Not yet: {}", missing.join(", ")));
    }
    Some(plain(&lines.join("\n")))
}

fn way(via: Via) -> &'static str {
    match via {
        Via::Link => " by link",
        Via::Slack => " in Slack",
        Via::Policy => " by its own rule",
        Via::CodePipeline => "",
    }
}

/// The same message after its end: who decided stands where the buttons were.
#[must_use]
pub fn ended(record: &Record, ended: &Ended) -> Message {
    let pipeline = &record.approval.pipeline;
    let (title, line) = match ended {
        Ended::Decided(decision) => {
            let way = way(decision.via);
            let at = decision
                .at
                .map(|at| format!(", {}", in_words(at)))
                .unwrap_or_default();
            let comment = match decision.comment.as_str() {
                "" => String::new(),
                comment => format!(": {}", shown(comment, 600)),
            };
            let line = format!(
                "{} by {}{way}{at}{comment}",
                decision.verdict,
                shown(&decision.by, 320)
            );
            (format!("{pipeline}: {}", decision.verdict), line)
        }
        Ended::Expired => (
            format!("{pipeline}: expired"),
            format!("Nobody decided until {}.", in_words(record.expires)),
        ),
        Ended::Gone(why) => (format!("{pipeline}: over"), shown(why, 300)),
    };
    let mut blocks = vec![header(&title), plain(&line)];
    blocks.extend(details(record));
    Message {
        text: escaped(&format!("{title} ({line})")),
        blocks: Value::Array(blocks),
    }
}

/// What the person who clicked is told, and nobody else, where a newer revision waits: the first click
/// approves nothing, the second button does.
#[must_use]
pub fn older(record: &Record, button: &str, newer: &[ExecutionId]) -> Message {
    let text = format!(
        "A newer revision of {} waits behind the one that you are about to approve. Nothing was decided.",
        record.approval.pipeline
    );
    let blocks = json!([
        plain(&text),
        { "type": "actions", "block_id": "signalbox_older", "elements": [approve_older(button, newer)] },
    ]);
    Message {
        text: escaped(&text),
        blocks,
    }
}

/// A few words to the person who clicked.
#[must_use]
pub fn words(text: &str) -> Message {
    let text = shown(text, 1000);
    Message {
        blocks: json!([plain(&text)]),
        text: escaped(&text),
    }
}

/// The evidence in as many sections as it needs, at most four; what is left out is said.
fn details(record: &Record) -> Vec<Value> {
    const SECTIONS: usize = 4;
    let mut sections = vec![String::new()];
    let rows = rows(record);
    let mut left_out = 0;
    for (label, value) in &rows {
        let row = format!("{label}: {}\n", shown(value, 700));
        let full = sections
            .last()
            .is_some_and(|last| last.chars().count() + row.chars().count() > SECTION - 100);
        if full && sections.len() == SECTIONS {
            left_out += 1;
            continue;
        }
        if full {
            sections.push(String::new());
        }
        if let Some(last) = sections.last_mut().filter(|_| left_out == 0) {
            last.push_str(&row);
        } else {
            left_out += 1;
        }
    }
    if left_out > 0
        && let Some(last) = sections.last_mut()
    {
        last.push_str(&format!("… and {left_out} lines more, on the page"));
    }
    sections.iter().map(|section| plain(section)).collect()
}

/// Plain text: Slack acts on no mark-up in it, mentions neither.
fn plain(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "plain_text", "text": cut(text, SECTION), "emoji": false } })
}

fn header(text: &str) -> Value {
    json!({ "type": "header", "text": { "type": "plain_text", "text": cut(text, HEADER), "emoji": false } })
}

fn context(text: &str) -> Value {
    json!({ "type": "context", "elements": [{ "type": "plain_text", "text": cut(text, SECTION), "emoji": false }] })
}

fn element(action: &str, label: &str, style: &str, value: &str, title: &str, text: &str) -> Value {
    let plain = |text: &str, max| json!({ "type": "plain_text", "text": cut(text, max), "emoji": false });
    json!({
        "type": "button", "action_id": action, "style": style, "value": value, "text": plain(label, 75),
        "confirm": {
            "title": plain(title, 100), "text": plain(text, 300),
            "confirm": plain(label, 30), "deny": plain("Cancel", 30), "style": style,
        },
    })
}

/// For a message's `text`, in which Slack would act on these three ("Formatting text").
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
