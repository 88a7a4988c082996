//! The same request in Slack: a message with its buttons, and what a click on one of them says.
//!
//! A click reaches us as an HTTP request that anybody could send, so three things are checked, in this
//! order: Slack's signature over the very bytes that came ([`SigningSecret::verify`]), the workspace and
//! the person ([`Click`] against the policy), and the button's value, a signed link of ours for nobody
//! ([`button`]). Only then the click becomes the person's own [`Link`], and goes the way of every other
//! answer: there is one decision about answers, whatever they come by.
//!
//! Where a newer revision waits, the message says so before anything else, and its button says that it
//! approves the older one, with Slack's own dialogue as the second step. That button's value names the newer
//! runs that its reader was told of ([`older_button`]): once another one waits, it confirms nothing.

use sha2::{Digest, Sha256};

use super::Record;
use super::keys::Keys;
use super::link::Link;
use crate::names::{Approver, ExecutionId};

mod click;
mod message;
mod signature;

pub use click::{Click, NoClick, ResponseUrl};
pub use message::{Ended, Message, Open, ask, ended, older, words};
pub use signature::{MAX_AGE_SECONDS, SigningSecret, Unsigned};

/// Whose name a button's link bears: nobody's. `.invalid` is no domain and never will be (RFC 2606), and
/// the address is on no list of approvers, so that the value is worth nothing as a link of the page.
const NOBODY: &str = "button@slack.invalid";

/// What a button's value is: a link of ours that names the approval, and nobody.
///
/// `None` if the reserved name cannot be made, which its test excludes.
#[must_use]
pub fn button(record: &Record, keys: &Keys) -> Option<String> {
    Some(link(record, Approver::new(NOBODY).ok()?).sign(keys))
}

/// The value of the button that approves although `newer` wait: the other button's, and a mark of these runs.
/// The mark is no secret: it is the click that is signed, by Slack, with the value in it.
#[must_use]
pub fn older_button(button: &str, newer: &[ExecutionId]) -> String {
    format!("{button}.{}", mark(newer))
}

/// 64 bits: it tells one set of waiting runs from the next, and guards against nobody.
fn mark(newer: &[ExecutionId]) -> String {
    let mut ids: Vec<&str> = newer.iter().map(ExecutionId::as_str).collect();
    ids.sort_unstable();
    let digest = Sha256::digest(ids.join(" "));
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
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

#[cfg(test)]
mod tests;
