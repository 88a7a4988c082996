//! The same request in Slack: a message with two buttons, and what a click on one of them says.
//!
//! A click reaches us as an HTTP request that anybody could send, so three things are checked, in this
//! order: Slack's signature over the very bytes that came ([`SigningSecret::verify`]), the workspace and
//! the person ([`Click`] against the policy), and the button's value, a signed link of ours for nobody
//! ([`button`]). Only then the click becomes the person's own [`Link`], and goes the way of every other
//! answer: there is one decision about answers, whatever they come by.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;
use thiserror::Error;

use super::keys::Keys;
use super::link::Link;
use super::message::{remaining, rows};
use super::{Decision, Record, Verdict, Via, in_words};
use crate::names::Approver;
use crate::text::{cut, shown};

/// How far a request's time may be from ours, in seconds: five minutes, as Slack's documentation says
/// ("Verifying requests from Slack"). An older one is a replay.
pub const MAX_AGE_SECONDS: u64 = 300;

/// Limits of Block Kit ("Reference: blocks"): a section's text, a header's text, a message's blocks.
const SECTION: usize = 3000;
const HEADER: usize = 150;

/// Whose name a button's link bears: nobody's. `.invalid` is no domain and never will be (RFC 2606), and
/// the address is on no list of approvers, so that the value is worth nothing as a link of the page.
const NOBODY: &str = "button@slack.invalid";

/// Slack's signing secret. Its `Debug` form does not show it.
#[derive(Clone)]
pub struct SigningSecret(Vec<u8>);

impl SigningSecret {
    /// Takes the secret as Slack's settings show it.
    #[must_use]
    pub fn new(secret: impl Into<Vec<u8>>) -> Self {
        Self(secret.into())
    }

    /// Checks that Slack signed this body, now.
    ///
    /// `timestamp` and `signature` are the headers `X-Slack-Request-Timestamp` and `X-Slack-Signature`;
    /// a header that came twice reaches us as one with a comma in it, and is refused as malformed.
    ///
    /// # Errors
    /// Everything but a fresh, exact signature.
    pub fn verify(
        &self,
        timestamp: Option<&str>,
        signature: Option<&str>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), Unsigned> {
        let (Some(timestamp), Some(signature)) = (timestamp, signature) else {
            return Err(Unsigned::Missing);
        };
        let digits = !timestamp.is_empty() && timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let sent = timestamp
            .parse::<i64>()
            .ok()
            .filter(|_| digits)
            .ok_or(Unsigned::Malformed)?;
        let mac = signature
            .strip_prefix("v0=")
            .filter(|mac| mac.len() == 64)
            .ok_or(Unsigned::Malformed)?;
        let mac = hex::decode(mac).map_err(|_| Unsigned::Malformed)?;
        if now.as_second().abs_diff(sent) > MAX_AGE_SECONDS {
            return Err(Unsigned::Stale);
        }
        let mut expected = Hmac::<Sha256>::new_from_slice(&self.0).map_err(|_| Unsigned::Forged)?;
        expected.update(format!("v0:{timestamp}:").as_bytes());
        expected.update(body);
        // In constant time.
        expected.verify_slice(&mac).map_err(|_| Unsigned::Forged)
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(hidden)")
    }
}

/// Why a request is not Slack's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unsigned {
    /// A header is missing.
    #[error("a signature header is missing")]
    Missing,
    /// A header is not what Slack sends.
    #[error("a signature header is malformed or there twice")]
    Malformed,
    /// More than five minutes from now.
    #[error("the request's time is more than five minutes off")]
    Stale,
    /// Another body, or another secret.
    #[error("the signature does not fit the body")]
    Forged,
}

/// A click on one of our buttons. The value is a credential: no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Click {
    /// The workspace.
    pub team: String,
    /// The person, by Slack's id.
    pub user: String,
    /// What the button says.
    pub verdict: Verdict,
    /// Whether it is the second button, which approves although something newer waits.
    pub although_older: bool,
    /// The button's value.
    pub value: String,
    /// Where the person can be told something, if that is Slack's own host.
    pub response_url: Option<ResponseUrl>,
}

/// Why a payload is no click of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoClick {
    /// Not the JSON of an interaction.
    #[error("it is not an interaction of Slack's")]
    Malformed,
    /// Another interaction than a click on one button of ours.
    #[error("it is not a click on a button of ours")]
    Other,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    team: Option<Id>,
    user: Id,
    #[serde(default)]
    actions: Vec<Action>,
    #[serde(default)]
    response_url: Option<String>,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
struct Action {
    action_id: String,
    #[serde(default)]
    value: String,
}

const APPROVE: &str = "signalbox_approve";
const REJECT: &str = "signalbox_reject";
const APPROVE_OLDER: &str = "signalbox_approve_older";

impl Click {
    /// Reads an interaction's `payload`.
    ///
    /// # Errors
    /// If it is anything else than a click on exactly one button of ours.
    pub fn parse(payload: &str) -> Result<Self, NoClick> {
        let payload: Payload = serde_json::from_str(payload).map_err(|_| NoClick::Malformed)?;
        let [action] = payload.actions.as_slice() else {
            return Err(NoClick::Other);
        };
        if payload.kind != "block_actions" {
            return Err(NoClick::Other);
        }
        let (verdict, although_older) = match action.action_id.as_str() {
            APPROVE => (Verdict::Approved, false),
            APPROVE_OLDER => (Verdict::Approved, true),
            REJECT => (Verdict::Rejected, false),
            _ => return Err(NoClick::Other),
        };
        Ok(Self {
            team: payload.team.map(|team| team.id).unwrap_or_default(),
            user: payload.user.id,
            verdict,
            although_older,
            value: action.value.clone(),
            response_url: payload.response_url.as_deref().and_then(ResponseUrl::parse),
        })
    }
}

/// A `response_url`, of Slack's own host alone: the field comes from outside, and we would send there
/// what was decided. It is a credential for half an hour: no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct ResponseUrl(String);

impl ResponseUrl {
    const HOST: &str = "https://hooks.slack.com/";

    /// Takes an address on Slack's own host, over TLS, on its own port; nothing else.
    #[must_use]
    pub fn parse(url: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
        // With the slash in it, the prefix leaves no room for a user, a port or a longer name.
        (url.starts_with(Self::HOST) && url.len() <= 1000 && url.bytes().all(plain))
            .then(|| Self(url.to_owned()))
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a button's value is: a link of ours that names the approval, and nobody.
///
/// `None` if the reserved name cannot be made, which its test excludes.
#[must_use]
pub fn button(record: &Record, keys: &Keys) -> Option<String> {
    Some(link(record, Approver::new(NOBODY).ok()?).sign(keys))
}

/// The link that was made for a click: the one that the page's mail would have had for this person.
#[must_use]
pub fn link_of(button: &Link, approver: Approver) -> Option<Link> {
    (button.approver.as_str() == NOBODY).then(|| Link {
        approver,
        ..button.clone()
    })
}

fn link(record: &Record, approver: Approver) -> Link {
    Link {
        approval: record.approval.clone(),
        token: record.token_hash,
        approver,
        expires: record.expires,
    }
}

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

/// The message that asks.
#[must_use]
pub fn ask(record: &Record, button: &str, now: Timestamp) -> Message {
    let title = format!("{} waits for a decision", record.approval.pipeline);
    let until = format!(
        "Until {} ({}). Everything else about it is on the page behind the link in each approver's mail.",
        in_words(record.expires),
        remaining(record.expires.duration_since(now)),
    );
    let older = !record.evidence.newer_waiting.is_empty();
    let mut blocks = vec![header(&title)];
    if older {
        blocks.push(plain("A newer revision waits behind this one."));
    }
    blocks.extend(details(record));
    blocks.push(context(&until));
    blocks.push(
        json!({ "type": "actions", "block_id": "signalbox_decide", "elements": [
            element(APPROVE, "Approve", "primary", button, "Approve this run?", &title),
            element(REJECT, "Reject", "danger", button, "Reject this run?", &title),
        ]}),
    );
    Message {
        text: escaped(&title),
        blocks: Value::Array(blocks),
    }
}

/// The same message after its end: who decided stands where the buttons were.
#[must_use]
pub fn ended(record: &Record, ended: &Ended) -> Message {
    let pipeline = &record.approval.pipeline;
    let (title, line) = match ended {
        Ended::Decided(decision) => {
            let way = match decision.via {
                Via::Link => " by link",
                Via::Slack => " in Slack",
                Via::Policy => " by its own rule",
                Via::CodePipeline => "",
            };
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
pub fn older(record: &Record, button: &str) -> Message {
    let text = format!(
        "A newer revision of {} waits behind the one that you are about to approve. Nothing was decided.",
        record.approval.pipeline
    );
    let blocks = json!([
        plain(&text),
        { "type": "actions", "block_id": "signalbox_older", "elements": [
            element(APPROVE_OLDER, "Approve the older one", "danger", button, "Approve the older one?", &text),
        ]},
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

#[cfg(test)]
mod tests {
    use super::super::evidence::tests::{change, change_set};
    use super::super::evidence::{Known, Replacement};
    use super::super::link::tests::keys;
    use super::super::request::tests::record;
    use super::super::tests::{approver, at};
    use super::*;

    const BODY: &[u8] = b"payload=%7B%7D";
    const NOW: &str = "2026-05-29T15:00:00Z";

    fn sign(timestamp: &str, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"secret").unwrap();
        mac.update(&[b"v0:", timestamp.as_bytes(), b":", body].concat());
        format!("v0={}", hex::encode(mac.finalize().into_bytes()))
    }

    fn judged(timestamp: Option<&str>, signature: Option<&str>, body: &[u8]) -> Result<(), Unsigned> {
        SigningSecret::new("secret").verify(timestamp, signature, body, at(NOW))
    }

    #[test]
    fn slacks_own_example_fits() {
        // "Verifying requests from Slack", Slack's documentation.
        let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let secret = SigningSecret::new("8f742231b10e8888abcd99yyyzzz85a5");
        let now = Timestamp::from_second(1_531_420_618).unwrap();
        let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
        assert_eq!(
            secret.verify(Some("1531420618"), Some(signature), body, now),
            Ok(())
        );
    }

    #[test]
    fn the_time_may_be_five_minutes_off_and_no_second_more() {
        let now = at(NOW).as_second();
        for (off, verdict) in [
            (0, Ok(())),
            (300, Ok(())),
            (-300, Ok(())),
            (301, Err(Unsigned::Stale)),
            (-301, Err(Unsigned::Stale)),
        ] {
            let time = (now + off).to_string();
            assert_eq!(
                judged(Some(&time), Some(&sign(&time, BODY)), BODY),
                verdict,
                "{off}"
            );
        }
    }

    #[test]
    fn another_body_or_header_is_refused() {
        let time = at(NOW).as_second().to_string();
        let good = sign(&time, BODY);
        assert_eq!(
            judged(Some(&time), Some(&good), b"payload=%7B%7E"),
            Err(Unsigned::Forged)
        );
        assert_eq!(judged(None, Some(&good), BODY), Err(Unsigned::Missing));
        assert_eq!(judged(Some(&time), None, BODY), Err(Unsigned::Missing));
        let twice = format!("{good},{good}");
        assert_eq!(judged(Some(&time), Some(&twice), BODY), Err(Unsigned::Malformed));
        let twice = format!("{time},{time}");
        assert_eq!(
            judged(Some(&twice), Some(&sign(&twice, BODY)), BODY),
            Err(Unsigned::Malformed)
        );
        let plus = format!("+{time}");
        assert_eq!(
            judged(Some(&plus), Some(&sign(&plus, BODY)), BODY),
            Err(Unsigned::Malformed)
        );
        assert_eq!(
            judged(Some(&time), Some(&good[3..]), BODY),
            Err(Unsigned::Malformed)
        );
        assert!(!format!("{:?}", SigningSecret::new("secret")).contains("secret"));
    }

    #[test]
    fn a_click_is_read() {
        let payload = json!({
            "type": "block_actions", "team": { "id": "T1", "domain": "x" }, "user": { "id": "U1" },
            "actions": [{ "action_id": APPROVE, "value": "v", "type": "button" }],
            "response_url": "https://hooks.slack.com/actions/T1/1/x",
        });
        let click = Click::parse(&payload.to_string()).ok().unwrap();
        assert_eq!(
            (click.team.as_str(), click.user.as_str(), click.verdict),
            ("T1", "U1", Verdict::Approved)
        );
        assert!(click.response_url.is_some() && !click.although_older);
        for (path, value) in [
            ("type", json!("view_submission")),
            ("actions", json!([])),
            ("actions", json!([{ "action_id": "x" }])),
        ] {
            let mut other = payload.clone();
            other[path] = value;
            assert_eq!(Click::parse(&other.to_string()).err(), Some(NoClick::Other));
        }
        assert_eq!(Click::parse("[]").err(), Some(NoClick::Malformed));
    }

    #[test]
    fn only_slacks_own_host_is_answered() {
        assert!(ResponseUrl::parse("https://hooks.slack.com/actions/T/1/x").is_some());
        for url in [
            "http://hooks.slack.com/actions/T/1/x",
            "https://hooks.slack.com",
            "https://hooks.slack.com.evil.example/x",
            "https://hooks.slack.com@evil.example/x",
            "https://hooks.slack.com:444/x",
            "https://evil.example/https://hooks.slack.com/",
            "https://HOOKS.slack.com/x",
            "https://hooks.slack.com/\r\nHost: evil.example",
            "https://hooks.slack.com/\\@evil.example",
            "https://169.254.169.254/",
            "",
        ] {
            assert!(ResponseUrl::parse(url).is_none(), "{url}");
        }
    }

    #[test]
    fn a_buttons_value_names_the_approval_and_nobody() {
        let value = button(&record(), &keys()).unwrap();
        assert!(value.len() <= 2000, "Slack's limit");
        let verified = Link::verify(&value, &keys()).unwrap();
        let link = link_of(verified.link(), approver("ann@example.com")).unwrap();
        assert_eq!(
            (link.approval.clone(), link.token),
            (record().approval, record().token_hash)
        );
        assert!(
            link_of(&link, approver("bob@example.com")).is_none(),
            "a person's own link is no button"
        );
    }

    #[test]
    fn a_message_stays_within_block_kit_whatever_the_evidence() {
        let mut record = record();
        record.evidence.revision_summary = Some("<!channel> *x* \u{202e}".repeat(400));
        record.evidence.preview.change_set =
            Known::Is(change_set(vec![change("Modify", Replacement::Yes); 150]));
        let value = button(&record, &keys()).unwrap();
        let decided = Ended::Decided(Decision {
            verdict: Verdict::Approved,
            by: "ann@example.com".to_owned(),
            via: Via::Slack,
            at: Some(at(NOW)),
            comment: String::new(),
        });
        for message in [ask(&record, &value, at(NOW)), ended(&record, &decided)] {
            let blocks = message.blocks.as_array().unwrap();
            assert!(blocks.len() <= 50);
            for block in blocks {
                let text = block["text"]["text"].as_str().unwrap_or("x");
                let max = if block["type"] == "header" {
                    HEADER
                } else {
                    SECTION
                };
                assert!(!text.is_empty() && text.chars().count() <= max, "{block}");
            }
            assert!(!message.blocks.to_string().contains("mrkdwn"));
            assert!(message.blocks.to_string().contains("lines more"));
        }
        let after = ended(&record, &decided).blocks.to_string();
        assert!(
            after.contains("Approved by ann@example.com in Slack, Friday 29 May 2026"),
            "{after}"
        );
        assert!(
            !after.contains("button") && !after.contains(&value),
            "no buttons are left"
        );
    }
}
