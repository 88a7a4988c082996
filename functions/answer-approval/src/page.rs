//! What people see. Semantic HTML that works without JavaScript, on a phone, by keyboard and read aloud.

use jiff::{SignedDuration, Timestamp};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use signalbox_decision::approval::answer::{Closed, Refusal};
use signalbox_decision::approval::link::Link;
use signalbox_decision::approval::message::{remaining, rows};
use signalbox_decision::approval::{Decision, Record, Verdict, Via, in_words};
use signalbox_decision::text::shown;

use crate::style::STYLE;

/// The longest comment that the form takes; with the words before it, it fits into AWS's 512.
const MAX_COMMENT: &str = "400";

/// A page, its status, and what the log may say of it.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) html: String,
    pub(crate) cookie: Option<String>,
    pub(crate) what: &'static str,
}

impl Page {
    fn new(status: u16, what: &'static str, title: &str, content: &Markup) -> Self {
        let html = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="robots" content="noindex, nofollow";
                    title { (title) " – Signalbox" }
                    link rel="icon" href="data:,";
                    style { (PreEscaped(STYLE)) }
                }
                body { main { (content) } }
            }
        };
        Self {
            status,
            html: html.into_string(),
            cookie: None,
            what,
        }
    }
}

/// What the form's page shows.
pub(crate) struct Open<'a> {
    pub(crate) link: &'a Link,
    pub(crate) record: &'a Record,
    pub(crate) may_approve: bool,
    pub(crate) newer_waiting: usize,
    /// The form's half of the nonce.
    pub(crate) nonce: &'a str,
    pub(crate) now: Timestamp,
}

/// The page on which somebody decides.
pub(crate) fn open(open: &Open<'_>, cookie: String) -> Page {
    let Open {
        link,
        record,
        may_approve,
        newer_waiting,
        nonce,
        now,
    } = *open;
    let environment = shown(&record.evidence.environment, 100);
    let title = format!("Release to {environment}?");
    let content = html! {
        (heading(link, &title))
        @if newer_waiting > 0 {
            p.notice {
                strong { "A newer revision is waiting behind this one. " }
                "Approving lets this older revision out first."
            }
        }
        @if !may_approve {
            p.notice {
                strong { "You made this change or started this run. " }
                "Somebody else has to approve it; you can still reject it."
            }
        }
        p {
            "Open until " (moment(record.expires)) " (" (remaining(record.expires.duration_since(now))) ")."
        }
        (evidence(record))
        section aria-labelledby="asked" {
            h2 #asked { "Who is asked" }
            ul {
                @for approver in &record.asked {
                    li {
                        (shown(approver.as_str(), 254))
                        @if *approver == link.approver { " (you)" }
                    }
                }
            }
        }
        section aria-labelledby="decide" {
            h2 #decide { "Your decision" }
            form method="post" {
                input type="hidden" name="nonce" value=(nonce);
                label for="comment" { "Comment (optional)" }
                p.hint #comment-hint { "Kept with your decision, and shown in CodePipeline." }
                textarea #comment name="comment" maxlength=(MAX_COMMENT) rows="3" aria-describedby="comment-hint" {}
                div.choices {
                    @if may_approve {
                        button type="submit" name="verdict" value="approve" { "Approve" }
                    }
                    button type="submit" name="verdict" value="reject" { "Reject" }
                }
            }
        }
    };
    Page {
        cookie: Some(cookie),
        ..Page::new(200, "form", &title, &content)
    }
}

/// The page after a decision was taken.
pub(crate) fn taken(link: &Link, record: Option<&Record>, decision: &Decision) -> Page {
    let (title, what, follows) = match decision.verdict {
        Verdict::Approved => ("Approved", "approved", "The run goes on."),
        Verdict::Rejected => ("Rejected", "rejected", "The run stops here; nothing goes out."),
    };
    let content = html! {
        (heading(link, title))
        p { "Your decision is recorded. " (follows) }
        (decided(decision))
        @if let Some(record) = record { (evidence(record)) }
    };
    Page::new(200, what, title, &content)
}

/// The page where nothing can be decided: `viewing` for a page that was only opened, which is no error
/// where the approval is simply over.
pub(crate) fn closed(link: &Link, record: Option<&Record>, closed: &Closed, viewing: bool) -> Page {
    let status = closed.status();
    match closed {
        Closed::Refused(why) => refused(link, *why, status),
        Closed::Decided(decision) => {
            let title = format!("Already {}", decision.verdict.to_string().to_lowercase());
            let content = html! {
                (heading(link, &title))
                p { "There is nothing left to decide." }
                (decided(decision))
                @if let Some(record) = record { (evidence(record)) }
            };
            Page::new(
                if viewing { 200 } else { status },
                "already decided",
                &title,
                &content,
            )
        }
        Closed::Expired { at } => {
            let content = html! {
                (heading(link, "This approval has expired"))
                p { "It could be answered until " (moment(*at)) ". Nothing was decided, and the run did not go on." }
                p { "To ask again, retry the stage in CodePipeline or upload the package once more." }
            };
            Page::new(status, "expired", "Expired", &content)
        }
        Closed::Gone(why) => {
            let content = html! {
                (heading(link, "There is nothing left to decide"))
                p { (sentence(&why.to_string())) }
            };
            Page::new(status, "gone", "Nothing left to decide", &content)
        }
        Closed::NotReady => {
            let content = html! {
                (heading(link, "Please try again"))
                p { "CodePipeline has no decision, and does not take one at this moment. Open the link again in a few seconds." }
            };
            Page::new(status, "not ready", "Please try again", &content)
        }
    }
}

/// A stranger learns nothing of the run; somebody who was asked learns what to do.
fn refused(link: &Link, why: Refusal, status: u16) -> Page {
    let (title, advice) = match why {
        Refusal::OtherPipeline => return not_found(),
        Refusal::ForeignOrigin | Refusal::Nonce => (
            "This form could not be accepted",
            "Open the link in your message again and use the form on that page. Cookies have to be allowed for it.",
        ),
        Refusal::NotListed | Refusal::NotAsked => (
            "You cannot decide here",
            "Ask the people who run this pipeline to add you to its approvers.",
        ),
        Refusal::OwnChange => (
            "Somebody else has to approve this",
            "Ask another approver. You can still reject it.",
        ),
    };
    let content = match why {
        Refusal::OwnChange => {
            html! { (heading(link, title)) p { (sentence(&why.to_string())) } p { (advice) } }
        }
        _ => html! { h1 { (title) } p { (sentence(&why.to_string())) } p { (advice) } },
    };
    Page::new(status, "refused", title, &content)
}

/// Unknown paths and links that are not ours look the same: nobody can probe for the difference.
pub(crate) fn not_found() -> Page {
    let content = html! {
        h1 { "This link is not valid" }
        p { "Open it from your message again, or copy it whole: it must not be shortened or changed. \
             Links also end when the key that signed them is replaced." }
    };
    Page::new(404, "no valid link", "Link not valid", &content)
}

/// A request that no page of ours makes.
pub(crate) fn bad_request(status: u16, what: &'static str) -> Page {
    let content = html! {
        h1 { "This request could not be read" }
        p { (sentence(what)) }
        p { "Open the link in your message and use the form on that page." }
    };
    Page::new(status, what, "Request not read", &content)
}

/// Something failed before anything was sent: nothing was decided.
pub(crate) fn unavailable() -> Page {
    let content = html! {
        h1 { "Please try again" }
        p { "Something that is needed to decide could not be reached. Nothing was decided." }
        p { "Open the link again in a minute. If it stays like this, the approval can be given in the AWS console." }
    };
    Page::new(503, "unavailable", "Please try again", &content)
}

/// Something failed after the answer was sent: nobody knows, and the page says so.
pub(crate) fn unconfirmed() -> Page {
    let content = html! {
        h1 { "Your decision is not confirmed" }
        p { "No confirmation came back from CodePipeline: it may or may not have arrived." }
        p { "Open the link again in a minute: the page then says whether it was decided." }
    };
    Page::new(503, "unconfirmed", "Not confirmed", &content)
}

fn heading(link: &Link, title: &str) -> Markup {
    html! { header { p { "Signalbox · " (link.approval.pipeline.as_str()) } h1 { (title) } } }
}

fn evidence(record: &Record) -> Markup {
    html! {
        section aria-labelledby="what" {
            h2 #what { "What would go out" }
            dl {
                @for (label, value) in rows(record) { div { dt { (label) } dd { (value) } } }
            }
            p { a href=(record.evidence.console) rel="noreferrer" { "The run in the AWS console" } }
        }
    }
}

fn decided(decision: &Decision) -> Markup {
    html! {
        dl {
            div { dt { "Decision" } dd { (decision.verdict) } }
            div {
                dt { "By" }
                dd {
                    (shown(&decision.by, 300))
                    @if decision.via == Via::CodePipeline { " (as CodePipeline has it)" }
                }
            }
            @if let Some(at) = decision.at { div { dt { "At" } dd { (moment(at)) } } }
            @if !decision.comment.is_empty() { div { dt { "Comment" } dd { (shown(&decision.comment, 600)) } } }
        }
    }
}

fn moment(at: Timestamp) -> Markup {
    let whole = at.round(jiff::Unit::Second).unwrap_or(at);
    html! { time datetime=(whole) { (in_words(at)) } }
}

/// `text` as a sentence.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).chain(['.']).collect()
    })
}

/// How long the nonce's cookie lives: as long as the tab it was made for may wait for its person.
pub(crate) const COOKIE_LIFETIME: SignedDuration = SignedDuration::from_hours(12);

#[cfg(test)]
mod tests {
    use signalbox_decision::approval::{ApprovalAction, Evidence, Token};
    use signalbox_decision::names::{ActionName, Approver, ExecutionId, PipelineName, StageName};

    use super::*;

    fn link() -> Link {
        Link {
            approval: ApprovalAction {
                pipeline: PipelineName::new("lambda-function-production-pipeline").unwrap(),
                execution: ExecutionId::new("0f1e").unwrap(),
                stage: StageName::new("Approval").unwrap(),
                action: ActionName::new("Approve").unwrap(),
            },
            token: Token::new("TOKEN").hash(),
            approver: Approver::new("ann@example.com").unwrap(),
            expires: "2026-06-05T14:05:00Z".parse().unwrap(),
        }
    }

    fn record() -> Record {
        Record {
            approval: link().approval,
            token_hash: link().token,
            asked: vec![link().approver, Approver::new("bob@example.com").unwrap()],
            opened: "2026-05-29T14:05:00Z".parse().unwrap(),
            expires: link().expires,
            evidence: Evidence {
                environment: "production".to_owned(),
                revision_summary: Some("<script>alert(1)</script>\u{202e}".to_owned()),
                console: "https://console.example/?a=1&b=2".to_owned(),
                ..Evidence::default()
            },
        }
    }

    fn form(may_approve: bool, newer_waiting: usize) -> String {
        let (link, record) = (link(), record());
        let shown = Open {
            link: &link,
            record: &record,
            may_approve,
            newer_waiting,
            nonce: "NONCE",
            now: "2026-05-29T15:00:00Z".parse().unwrap(),
        };
        open(&shown, String::new()).html
    }

    #[test]
    fn the_form_has_labels_headings_and_a_language() {
        let html = form(true, 0);
        for part in [
            "<html lang=\"en\">",
            "<h1>Release to production?</h1>",
            "<label for=\"comment\">",
            "<textarea id=\"comment\" name=\"comment\"",
            "<input type=\"hidden\" name=\"nonce\" value=\"NONCE\">",
            "name=\"verdict\" value=\"approve\"",
            "name=\"verdict\" value=\"reject\"",
            "<form method=\"post\">",
            "<time datetime=\"2026-06-05T14:05:00Z\">Friday 5 June 2026, 14:05 UTC</time> (in 6 days)",
            "ann@example.com (you)",
            "width=device-width",
        ] {
            assert!(html.contains(part), "{part} is missing in {html}");
        }
        assert_eq!(html.matches("<h1").count(), 1);
    }

    #[test]
    fn nothing_runs_and_nothing_is_loaded() {
        let html = form(true, 1);
        for part in [
            "<script", "onclick", "src=", "@import", "url(", "style=\"", "\u{202e}",
        ] {
            assert!(!html.contains(part), "{part}");
        }
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;\\u{202e}"));
        assert!(html.contains("https://console.example/?a=1&amp;b=2"));
    }

    #[test]
    fn the_author_sees_no_button_to_approve() {
        let html = form(false, 0);
        assert!(
            !html.contains("value=\"approve\" ") && !html.contains(">Approve<") && html.contains(">Reject<")
        );
    }

    #[test]
    fn a_newer_run_is_pointed_out() {
        assert!(form(true, 1).contains("A newer revision is waiting"));
        assert!(!form(true, 0).contains("A newer revision is waiting"));
    }

    fn rejection() -> Closed {
        Closed::Decided(Decision {
            verdict: Verdict::Rejected,
            by: "bob@example.com".to_owned(),
            via: Via::Link,
            at: Some("2026-05-29T14:30:00Z".parse().unwrap()),
            comment: "<b>no</b>".to_owned(),
        })
    }

    #[test]
    fn a_late_answer_is_told_who_decided_and_when() {
        let page = closed(&link(), Some(&record()), &rejection(), false);
        assert_eq!(page.status, 409);
        for part in [
            "Already rejected",
            "bob@example.com",
            "Friday 29 May 2026, 14:30 UTC",
            "&lt;b&gt;no&lt;/b&gt;",
        ] {
            assert!(page.html.contains(part), "{part}");
        }
        assert_eq!(closed(&link(), None, &rejection(), true).status, 200);
    }

    #[test]
    fn a_stranger_learns_nothing_of_the_run() {
        for why in [
            Refusal::NotListed,
            Refusal::NotAsked,
            Refusal::Nonce,
            Refusal::ForeignOrigin,
            Refusal::OtherPipeline,
        ] {
            let page = closed(&link(), Some(&record()), &Closed::Refused(why), true);
            assert!((400..500).contains(&page.status));
            assert!(
                !page.html.contains("lambda-function") && !page.html.contains("bob@"),
                "{why}"
            );
        }
    }

    #[test]
    fn every_page_names_itself() {
        for page in [
            not_found(),
            unavailable(),
            unconfirmed(),
            bad_request(413, "the form is too large"),
        ] {
            assert!(page.html.contains("<title>") && page.html.contains("<h1>"));
        }
    }
}
