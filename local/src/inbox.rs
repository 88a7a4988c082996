//! Mail that topics sent to e-mail subscriptions.
//!
//! Nothing leaves this machine: mail is kept in memory, shown at `/_signalbox/inbox`, and gone when the
//! local cloud ends.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;

/// More mail than this is not kept; the oldest goes first.
const KEPT: usize = 1000;

/// One mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mail {
    /// The subscription's address.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The topic's ARN.
    pub topic: String,
    /// When it was delivered.
    pub at: Timestamp,
    /// The message attributes it was published with.
    pub attributes: BTreeMap<String, String>,
}

/// All mail, oldest first.
#[derive(Debug)]
pub struct Inbox {
    mails: Mutex<Vec<Mail>>,
    received: watch::Sender<u64>,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            mails: Mutex::default(),
            received: watch::Sender::new(0),
        }
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Vec<Mail>> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn receive(&self, mail: Mail) {
        let mut mails = self.lock();
        if mails.len() >= KEPT {
            mails.remove(0);
        }
        mails.push(mail);
        drop(mails);
        self.received.send_modify(|count| *count += 1);
    }

    /// All mail, oldest first.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        self.lock().clone()
    }

    /// Waits for a mail that `wanted` accepts; one that is there already counts. Never ends where none
    /// comes: put a time-out around it.
    pub async fn wait_for(&self, wanted: impl Fn(&Mail) -> bool) -> Mail {
        let mut received = self.received.subscribe();
        loop {
            let found = self.lock().iter().find(|mail| wanted(mail)).cloned();
            if let Some(mail) = found {
                return mail;
            }
            // The sender lives as long as `self`.
            let _ = received.changed().await;
        }
    }

    /// The inbox as a page: newest first, links live, everything else as text.
    #[must_use]
    pub fn page(&self) -> String {
        let mails = self.mails();
        let mut page = String::from(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Inbox</title>\
             <meta name=\"viewport\" content=\"width=device-width\"><meta name=\"referrer\" content=\"no-referrer\">\
             <style>body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}\
             article{border:1px solid #8886;border-radius:.5rem;padding:1rem;margin:1rem 0}\
             h2{font-size:1.1rem;margin:0}dl{color:#666;margin:.2rem 0;font-size:.9rem}dt,dd{display:inline;margin:0}\
             dd::after{content:'\\A';white-space:pre}pre{white-space:pre-wrap;overflow-wrap:anywhere}</style></head>\
             <body><h1>Inbox</h1><p>Mail that topics of the local cloud sent. None of it left this machine.</p>",
        );
        if mails.is_empty() {
            page.push_str("<p>No mail yet.</p>");
        }
        for mail in mails.iter().rev() {
            // Writing to a string cannot fail.
            let _ = write!(
                page,
                "<article><h2>{}</h2><dl><dt>To </dt><dd>{}</dd><dt>At </dt><dd>{:.0}</dd><dt>Topic </dt><dd>{}</dd></dl><pre>{}</pre></article>",
                escaped(&mail.subject),
                escaped(&mail.to),
                mail.at,
                escaped(&mail.topic),
                linked(&mail.text)
            );
        }
        page.push_str("</body></html>");
        page
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(character),
            // Control characters, and those that turn the direction of text.
            character if character.is_control() => out.push('\u{fffd}'),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
    out
}

/// Escapes, and makes links of web addresses, which end at white space.
fn linked(text: &str) -> String {
    let mut out = String::new();
    for part in text.split_inclusive(char::is_whitespace) {
        let word = part.trim_end();
        if word.starts_with("http://") || word.starts_with("https://") {
            let word = escaped(word);
            let _ = write!(out, "<a href=\"{word}\" rel=\"noreferrer\">{word}</a>");
            out.push_str(&part[part.trim_end().len()..]);
        } else {
            out.push_str(&escaped(part));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(text: &str) -> Mail {
        Mail {
            to: "ada@example.com".to_owned(),
            subject: "Approve <this>".to_owned(),
            text: text.to_owned(),
            topic: "arn:aws:sns:us-east-1:123456789012:approvals".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            attributes: BTreeMap::new(),
        }
    }

    #[test]
    fn mail_is_shown_as_text_and_its_links_work() {
        let inbox = Inbox::default();
        inbox.receive(mail(
            "<script>alert(1)</script> \u{1b}[31m\nhttp://127.0.0.1:1/a?b=\"c&d\nend",
        ));
        let page = inbox.page();
        assert!(page.contains("Approve &lt;this&gt;"));
        assert!(page.contains("&lt;script&gt;"));
        assert!(!page.contains("<script>") && !page.contains('\u{1b}'));
        assert!(
            page.contains("<a href=\"http://127.0.0.1:1/a?b=&quot;c&amp;d\" rel=\"noreferrer\">"),
            "{page}"
        );
    }

    #[test]
    fn the_oldest_mail_goes_first() {
        let inbox = Inbox::default();
        for number in 0..=KEPT {
            inbox.receive(mail(&number.to_string()));
        }
        assert_eq!(inbox.mails().len(), KEPT);
        assert_eq!(inbox.mails()[0].text, "1");
    }

    #[tokio::test]
    async fn waiting_ends_with_the_mail_that_was_waited_for() {
        let inbox = Inbox::default();
        let (found, ()) = tokio::join!(inbox.wait_for(|mail| mail.text == "two"), async {
            inbox.receive(mail("one"));
            tokio::task::yield_now().await;
            inbox.receive(mail("two"));
        });
        assert_eq!(found.text, "two");
    }
}
