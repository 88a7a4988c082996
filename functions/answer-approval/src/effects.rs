//! What the ledger keeps of an answer.

use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_decision::approval::Decision;
use signalbox_decision::approval::link::Link;
use signalbox_decision::approval::quorum::Vote;
use signalbox_ledger::{DecisionOutcome, VoteOutcome};
use tracing::{error, warn};

use crate::app::App;
use crate::error::Error;
use crate::gather::{key, read, votes};

/// Writes one person's approval, and answers all that the ledger has, or the decision that stands.
pub(crate) async fn record_vote(
    app: &App,
    link: &Link,
    vote: &Vote,
    now: Timestamp,
) -> Result<Result<Vec<Vote>, Decision>, Error> {
    Ok(
        match app.ledger.record_vote(&key(link), json!(vote), now).await? {
            VoteOutcome::Counted(all) => Ok(votes(all)?),
            VoteOutcome::AlreadyDecided(decision) => Err(read("decision", decision)?),
        },
    )
}

/// Writes a line of the audit. Before an answer goes out it must succeed: what cannot be recorded is
/// not done.
pub(crate) async fn record_attempt(app: &App, link: &Link, line: Value, now: Timestamp) -> Result<(), Error> {
    Ok(app.ledger.record_attempt(&key(link), line, now).await?)
}

/// Writes the decision that CodePipeline has. It is made already: that it cannot be written is logged,
/// and the next request finds it in CodePipeline.
pub(crate) async fn record_decision(app: &App, link: &Link, decision: &Decision, now: Timestamp) {
    match app.ledger.record_decision(&key(link), json!(decision), now).await {
        Ok(DecisionOutcome::Recorded) => {}
        Ok(DecisionOutcome::AlreadyDecided(_)) => {
            warn!(pipeline = %link.approval.pipeline, execution = %link.approval.execution, "the ledger has a decision already");
        }
        Err(cause) => {
            error!(
                pipeline = %link.approval.pipeline,
                execution = %link.approval.execution,
                %cause,
                "CodePipeline has the decision, and the ledger could not record it"
            );
        }
    }
}
