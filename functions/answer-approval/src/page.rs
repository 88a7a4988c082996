//! What people see. Semantic HTML that works without JavaScript, on a phone, by keyboard and read aloud.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use signalbox_decision::approval::answer::{Ballot, Closed, OnlyReject, Refusal};
use signalbox_decision::approval::link::Link;
use signalbox_decision::approval::message::{remaining, rows};
use signalbox_decision::approval::{Decision, Record, Verdict, Via, in_words};
use signalbox_decision::text::shown;

use crate::ballot::standing;
use crate::style::STYLE;

/// The longest comment that the form takes; with the words before it, it fits into AWS's 512.
pub(crate) const MAX_COMMENT: &str = "400";

/// A page, its status, and what the log may say of it.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) html: String,
    pub(crate) cookie: Option<String>,
    pub(crate) what: &'static str,
    /// For 429: after how long one more request is taken.
    pub(crate) retry_after: Duration,
}

impl Page {
    pub(crate) fn new(status: u16, what: &'static str, title: &str, content: &Markup) -> Self {
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
            retry_after: Duration::ZERO,
        }
    }
}

/// What the form's page shows.
pub(crate) struct Open<'a> {
    pub(crate) link: &'a Link,
    pub(crate) record: &'a Record,
    pub(crate) ballot: &'a Ballot,
    /// The form's half of the nonce.
    pub(crate) nonce: &'a str,
    pub(crate) now: Timestamp,
}

/// The page on which somebody decides.
pub(crate) fn open(open: &Open<'_>, cookie: String) -> Page {
    let Open {
        link,
        record,
        ballot,
        nonce,
        now,
    } = *open;
    let environment = shown(&record.evidence.environment, 100);
    let title = format!("Release to {environment}?");
    let content = html! {
        @if ballot.newer_waiting > 0 { (newer(ballot)) }
        (heading(link, &title))
        @match ballot.only_reject {
            Some(OnlyReject::OwnChange) => p.notice {
                strong { "You made this change or started this run. " }
                "Somebody else has to approve it; you can still reject it."
            },
            Some(OnlyReject::Approved) => p.notice {
                strong { "You have approved this. " }
                "Others have to approve it too; until then you can still reject it."
            },
            Some(OnlyReject::Superseded) | None => {}
        }
        p {
            "Open until " (moment(record.expires)) " (" (remaining(record.expires.duration_since(now))) ")."
            @if ballot.newer_waiting == 0 { " No newer revision is waiting behind this one." }
        }
        (evidence(record, "What would go out"))
        (standing(&ballot.tally, link))
        section aria-labelledby="decide" {
            h2 #decide { "Your decision" }
            form method="post" {
                input type="hidden" name="nonce" value=(nonce);
                label for="comment" { "Comment (optional)" }
                p.hint #comment-hint { "Kept with your decision, and shown in CodePipeline." }
                textarea #comment name="comment" maxlength=(MAX_COMMENT) rows="3" aria-describedby="comment-hint" {}
                div.choices {
                    @if ballot.only_reject.is_none() {
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

/// Said before anything else.
fn newer(ballot: &Ballot) -> Markup {
    html! {
        p.notice {
            strong { "A newer revision is waiting behind this one. " }
            @match ballot.only_reject {
                Some(OnlyReject::Superseded) => "This environment's policy rejects the older revision, so that the newer one comes through. You can reject it now.",
                Some(OnlyReject::OwnChange | OnlyReject::Approved) => "Once this older revision is approved it goes out first; rejecting it lets the newer one come through.",
                None => "Approving lets this older revision out first, and takes a second step.",
            }
        }
    }
}

/// The page after a decision was taken.
pub(crate) fn taken(link: &Link, record: Option<&Record>, decision: &Decision) -> Page {
    if decision.via == Via::Policy {
        let content = html! {
            (heading(link, "Rejected by the approval policy"))
            p { "Your approval was not taken: a newer revision is waiting, and this environment's policy rejects the older one. The run stops here." }
            (decided(decision))
        };
        return Page::new(409, "rejected by policy", "Rejected by policy", &content);
    }
    let (title, what, follows) = match decision.verdict {
        Verdict::Approved => ("Approved", "approved", "The run goes on."),
        Verdict::Rejected => ("Rejected", "rejected", "The run stops here; nothing goes out."),
    };
    let content = html! {
        (heading(link, title))
        p { "Your decision is recorded. " (follows) }
        (decided(decision))
        @if let Some(record) = record { (evidence(record, was_decided(decision))) }
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
                @if let Some(record) = record { (evidence(record, was_decided(decision))) }
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
        Refusal::NoPolicy => (
            "Nobody can decide by link",
            "The approval policy of this environment is missing or not valid; the function's log says what is wrong with \
             it. Until that is mended, the approval can be given in the AWS console.",
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

/// Too many requests.
pub(crate) fn too_many(retry_after: SignedDuration) -> Page {
    let retry_after = Duration::try_from(retry_after).unwrap_or(Duration::from_secs(1));
    let content = html! {
        h1 { "Too many requests" }
        p { "Nothing was decided. Open the link again in a minute." }
    };
    Page {
        retry_after: Duration::from_secs(retry_after.as_secs() + 1),
        ..Page::new(429, "too many requests", "Too many requests", &content)
    }
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

pub(crate) fn heading(link: &Link, title: &str) -> Markup {
    html! { header { p { "Signalbox · " (link.approval.pipeline.as_str()) } h1 { (title) } } }
}

fn was_decided(decision: &Decision) -> &'static str {
    match decision.verdict {
        Verdict::Approved => "What was approved",
        Verdict::Rejected => "What was rejected",
    }
}

/// The request's rows, without the two that a page says better: the pipeline stands above its title, and
/// what waits behind this one may have changed since the request was sent.
fn evidence(record: &Record, title: &str) -> Markup {
    let rows = rows(record);
    let rows = rows
        .iter()
        .filter(|(label, _)| !matches!(*label, "Pipeline" | "Newer runs"));
    html! {
        section aria-labelledby="what" {
            h2 #what { (title) }
            dl {
                @for (label, value) in rows { div { dt { (label) } dd { (value) } } }
            }
            p { a href=(record.evidence.console) rel="noreferrer" { "The run in the AWS console" } }
        }
    }
}

fn decided(decision: &Decision) -> Markup {
    let colour = match decision.verdict {
        Verdict::Approved => "approved",
        Verdict::Rejected => "rejected",
    };
    html! {
        dl class=(colour) {
            div { dt { "Decision" } dd { (decision.verdict) } }
            div {
                dt { "By" }
                dd {
                    (shown(&decision.by, 300))
                    @match decision.via {
                        Via::CodePipeline => " (as CodePipeline has it)",
                        Via::Slack => " (in Slack)",
                        Via::Policy => " (the approval policy's own rule)",
                        Via::Link => {}
                    }
                }
            }
            @if let Some(at) = decision.at { div { dt { "At" } dd { (moment(at)) } } }
            @if !decision.comment.is_empty() { div { dt { "Comment" } dd { (shown(&decision.comment, 600)) } } }
        }
    }
}

pub(crate) fn moment(at: Timestamp) -> Markup {
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
mod tests;
