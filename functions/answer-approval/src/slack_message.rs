//! The request's message in Slack, put in its own place when somebody has approved or a newer revision has
//! come. Its end is request-approval's to tell, by CodePipeline's event; here it is told as well where it
//! came in between, so that what is written last is true.
//!
//! Nothing depends on it: it is tried once, within the time given, and what was decided stands.

use jiff::Timestamp;
use signalbox_decision::approval::keys::Keys;
use signalbox_decision::approval::link::Link;
use signalbox_decision::approval::quorum::Tally;
use signalbox_decision::approval::slack::{self, Ended, Message, Open};
use signalbox_decision::approval::standing::Standing;
use signalbox_slack::{Asked, Slack};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use crate::app::App;
use crate::error::Error;
use crate::gather::{Facts, gather, read};

/// Makes the message of the asking that `link` belongs to say how it stands; gives up at `until`.
pub(crate) async fn refresh(app: &App, link: &Link, keys: &Keys, now: Timestamp, until: Instant) {
    let Some(slack) = &app.slack else { return };
    let execution = &link.approval.execution;
    match timeout_at(until, update(app, slack, link, keys, now)).await {
        Ok(Ok(())) => {}
        Ok(Err(cause)) => warn!(%execution, %cause, "the message in Slack could not be edited"),
        Err(_) => warn!(%execution, "no time was left to edit the message in Slack"),
    }
}

/// Edits until what stands there is what a reading *after* the edit says: two who approve at the same time
/// edit in any order, and the last of them sees both.
async fn update(app: &App, slack: &Slack, link: &Link, keys: &Keys, now: Timestamp) -> Result<(), Error> {
    let name = Asked::name(&link.approval);
    let Some(asked) = app.ledger.get_value(Asked::KIND, &name, now).await? else {
        return Ok(());
    };
    let asked: Asked = read("message in Slack", asked)?;
    if asked.token_hash != link.token {
        return Ok(());
    }
    let mut written = None;
    loop {
        let facts = gather(app, link).await?;
        let message = message(&facts, keys, now);
        if message.is_none() || message == written {
            return Ok(());
        }
        if let Some(message) = &message {
            slack.update(&asked.posted, message).await?;
        }
        written = message;
    }
}

fn message(facts: &Facts, keys: &Keys, now: Timestamp) -> Option<Message> {
    let record = facts.record.as_ref()?;
    if let Some(decision) = facts.decision.clone().or_else(|| facts.standing.decision()) {
        return Some(slack::ended(record, &Ended::Decided(decision)));
    }
    match &facts.standing {
        Standing::Waiting { .. } => {
            let open = Open {
                tally: &Tally::of(&facts.votes, facts.policy.as_deref()?, record),
                newer: &facts.newer,
            };
            Some(slack::ask(record, &slack::button(record, keys)?, open, now))
        }
        Standing::Lapsed => Some(slack::ended(record, &Ended::Expired)),
        Standing::Gone(why) => Some(slack::ended(record, &Ended::Gone(why.to_string()))),
        Standing::NotReady | Standing::Decided { .. } => None,
    }
}
