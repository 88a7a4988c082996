//! What people see of an approval that takes several of them, or a second step.

use maud::{Markup, html};
use signalbox_decision::approval::link::Link;
use signalbox_decision::approval::quorum::Tally;
use signalbox_decision::approval::{Record, same_person};
use signalbox_decision::text::shown;

use crate::page::{MAX_COMMENT, Page, heading, moment};

/// Who has approved and who is missing. It names people, and stands only on pages of those who were asked.
pub(crate) fn standing(tally: &Tally, link: &Link) -> Markup {
    let you = |person| {
        if same_person(person, &link.approver) {
            " (you)"
        } else {
            ""
        }
    };
    html! {
        section aria-labelledby="asked" {
            h2 #asked { "Who decides" }
            p {
                @if tally.needed == 1 {
                    "One of these people has to approve. One rejection ends it."
                } @else {
                    (tally.approved.len()) " of " (tally.needed) " people have approved. One rejection ends it."
                }
            }
            @if !tally.approved.is_empty() {
                h3 { "Approved" }
                ul {
                    @for vote in &tally.approved {
                        li { (shown(vote.person.as_str(), 254)) (you(&vote.person)) ", " (moment(vote.at)) }
                    }
                }
            }
            @if !tally.missing.is_empty() {
                @if !tally.approved.is_empty() { h3 { "Not yet" } }
                ul {
                    @for person in &tally.missing { li { (shown(person.as_str(), 254)) (you(person)) } }
                }
            }
            @if tally.is_out_of_reach() {
                p.notice {
                    strong { "Too few people are left who may approve this. " }
                    "It can be rejected here, or be decided in the AWS console."
                }
            }
        }
    }
}

/// What [`counted`]'s page is.
pub(crate) const COUNTED: &str = "approval counted";

/// The page after an approval that does not suffice alone.
pub(crate) fn counted(link: &Link, tally: &Tally) -> Page {
    let title = "Your approval is recorded";
    let open = tally.open();
    let content = html! {
        (heading(link, title))
        p {
            "The run does not go on yet: "
            @if open == 1 { "one more person has to approve." } @else { (open) " more people have to approve." }
        }
        (standing(tally, link))
    };
    Page::new(200, COUNTED, title, &content)
}

/// The second step: newer revisions wait, and this person pressed Approve.
pub(crate) fn confirm_older(
    link: &Link,
    record: Option<&Record>,
    newer_waiting: usize,
    (nonce, older): (&str, &str),
    comment: &str,
) -> Page {
    let title = "Approve the older revision?";
    let newer = if newer_waiting == 1 {
        "A newer revision waits"
    } else {
        "Newer revisions wait"
    };
    let content = html! {
        p.notice {
            strong { (newer) " behind this one. " }
            "Nothing was decided yet."
        }
        (heading(link, title))
        p {
            "If you approve this one, the older revision goes out first, and the newer one asks again afterwards. A change \
             set that was made for the newer one is void by then: it has to be uploaded once more."
        }
        @if let Some(revision) = record.and_then(|record| record.evidence.revision.as_ref()) {
            dl { div { dt { "This revision" } dd { (shown(revision.as_str(), 300)) } } }
        }
        section aria-labelledby="decide" {
            h2 #decide { "Your decision" }
            form method="post" {
                input type="hidden" name="nonce" value=(nonce);
                input type="hidden" name="older" value=(older);
                label for="comment" { "Comment (optional)" }
                textarea #comment name="comment" maxlength=(MAX_COMMENT) rows="3" { (comment) }
                div.choices {
                    button type="submit" name="verdict" value="approve" { "Approve the older revision" }
                    button type="submit" name="verdict" value="reject" { "Reject it" }
                }
            }
        }
    };
    Page::new(200, "asked again", title, &content)
}
