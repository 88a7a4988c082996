//! A form that was sent, and its line in the audit.

use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_decision::approval::link::Link;
use signalbox_decision::approval::{Verdict, Via};
use signalbox_decision::text::shown;

use crate::http::{BodyError, Request};

/// The form's fields. No `Debug`: one of them is half of the nonce.
#[derive(PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) verdict: Verdict,
    pub(crate) comment: String,
    pub(crate) nonce: String,
    /// By which somebody says that they mean the older revision.
    pub(crate) older: String,
}

/// Why a request is no form of ours: a status, and words for it.
pub(crate) type NoForm = (u16, &'static str);

impl Form {
    pub(crate) fn read(request: &Request) -> Result<Self, NoForm> {
        let kind = request.header("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err((415, "only a form is taken here"));
        }
        let body = request.body().map_err(|error| match error {
            BodyError::TooLarge => (413, "the form is too large"),
            BodyError::Malformed => (400, "the form is malformed"),
        })?;
        let fields: Vec<(String, String)> =
            serde_urlencoded::from_bytes(&body).map_err(|_| (400, "the form is malformed"))?;
        let mut form = Fields::default();
        for (name, value) in fields {
            let field = match name.as_str() {
                "verdict" => &mut form.verdict,
                "comment" => &mut form.comment,
                "nonce" => &mut form.nonce,
                "older" => &mut form.older,
                _ => continue,
            };
            if field.replace(value).is_some() {
                return Err((400, "a field of the form is there twice"));
            }
        }
        let verdict = match form.verdict.as_deref() {
            Some("approve") => Verdict::Approved,
            Some("reject") => Verdict::Rejected,
            _ => return Err((400, "the form says neither approve nor reject")),
        };
        Ok(Self {
            verdict,
            comment: form.comment.unwrap_or_default(),
            nonce: form.nonce.unwrap_or_default(),
            older: form.older.unwrap_or_default(),
        })
    }
}

#[derive(Default)]
struct Fields {
    verdict: Option<String>,
    comment: Option<String>,
    nonce: Option<String>,
    older: Option<String>,
}

/// One line of the audit: who tried what, when, from where, and what came of it. The person is the one
/// whom the link was signed for.
pub(crate) fn audit(
    link: &Link,
    request: &Request,
    verdict: Option<Verdict>,
    outcome: &str,
    now: Timestamp,
) -> Value {
    json!({
        "person": link.approver,
        "at": now,
        "channel": Via::Link,
        "address": bounded(request.address(), 64),
        "userAgent": bounded(request.header("user-agent").unwrap_or_default(), 120),
        "verdict": verdict,
        "outcome": bounded(outcome, 200),
    })
}

/// A line of the audit about a link that nobody can vouch for: there is no person to name.
pub(crate) fn audit_stranger(request: &Request, why: &str, now: Timestamp) -> Value {
    json!({
        "at": now,
        "channel": Via::Link,
        "address": bounded(request.address(), 64),
        "userAgent": bounded(request.header("user-agent").unwrap_or_default(), 120),
        "outcome": bounded(why, 200),
    })
}

/// What others wrote, fit to be shown, in at most so many bytes: the ledger bounds the whole line.
fn bounded(text: &str, bytes: usize) -> String {
    let mut text = shown(text, bytes);
    text.truncate(text.floor_char_boundary(bytes));
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::tests::request;

    fn form(kind: &str, body: &str) -> Result<Form, NoForm> {
        Form::read(&request(|event| {
            event["headers"]["content-type"] = json!(kind);
            event["body"] = json!(body);
        }))
    }

    const KIND: &str = "application/x-www-form-urlencoded";

    fn status(result: Result<Form, NoForm>) -> Option<u16> {
        result.err().map(|(status, _)| status)
    }

    #[test]
    fn a_form_is_read() {
        let form = form(
            "Application/x-www-form-urlencoded; charset=UTF-8",
            "nonce=n&comment=a+b%0D%0A%C3%A4&verdict=reject",
        );
        let Ok(Form {
            verdict,
            comment,
            nonce,
            ..
        }) = form
        else {
            panic!("refused")
        };
        assert_eq!(
            (verdict, comment.as_str(), nonce.as_str()),
            (Verdict::Rejected, "a b\r\nä", "n")
        );
    }

    #[test]
    fn a_line_of_the_audit_is_short_whatever_is_sent() {
        assert_eq!(bounded("a\u{1b}[2Jb", 64), "a\\u{1b}[2Jb");
        assert!(bounded(&"\u{10348}".repeat(500), 120).len() <= 120);
    }

    #[test]
    fn what_is_no_form_of_ours_is_refused() {
        assert_eq!(status(form("application/json", "{}")), Some(415));
        assert_eq!(status(form("", "verdict=approve")), Some(415));
        assert_eq!(status(form(KIND, "")), Some(400));
        assert_eq!(status(form(KIND, "verdict=maybe")), Some(400));
        assert_eq!(status(form(KIND, "verdict=reject&verdict=approve")), Some(400));
        assert_eq!(
            status(form(KIND, &format!("comment={}", "a".repeat(20_000)))),
            Some(413)
        );
    }
}
