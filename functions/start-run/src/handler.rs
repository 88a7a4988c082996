//! From the event to what was done about it.

use serde::Serialize;
use serde_json::Value;
use signalbox_bootstrap::Invocation;
use signalbox_decision::start::{Arrival, Decision, Facts, Object, Screened, decide, is_overtaken, screen};
use signalbox_events::s3::{self, Delivery};
use signalbox_ledger::Advance;
use tracing::{info, warn};

use crate::app::App;
use crate::deferred;
use crate::effects::{self, Right};
use crate::error::Error;
use crate::gather::{self, Opened};

/// What was done, upload by upload.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    uploads: Vec<Done>,
    /// Of a queue's batch, the messages that failed, in SQS's words: only they come again. (The event
    /// source mapping needs `ReportBatchItemFailures`.)
    #[serde(skip_serializing_if = "Vec::is_empty")]
    batch_item_failures: Vec<ItemFailure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemFailure {
    item_identifier: String,
}

/// What was done about one upload.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase", tag = "done")]
#[expect(
    clippy::enum_variant_names,
    reason = "the tag is `done`, and `already` alone would say nothing"
)]
pub(crate) enum Done {
    Started { execution: String, branch: String },
    Built { build: String, branch: String },
    Rejected { reasons: Vec<String> },
    Ignored { reason: String },
    Denied { reason: String, today: u64 },
    AlreadyDone { before: String },
    Deferred { reason: String },
}

pub(crate) async fn handle(event: Value, app: &App, invocation: Invocation) -> Result<Outcome, Error> {
    let mut outcome = Outcome::default();
    let mut errors = Vec::new();
    match s3::parse(event)? {
        Delivery::Whole(arrivals) => {
            for arrival in arrivals {
                match one(arrival, app, &invocation).await {
                    Ok(done) => outcome.uploads.push(done),
                    Err(error) => errors.push(error),
                }
            }
        }
        Delivery::Queued(messages) => {
            let count = messages.len();
            for message in messages {
                match one_message(message.arrivals, app, &invocation).await {
                    Ok(done) => outcome.uploads.extend(done),
                    Err(error) => {
                        warn!(id = message.id, %error, "a message of the batch failed");
                        outcome.batch_item_failures.push(ItemFailure {
                            item_identifier: message.id,
                        });
                        errors.push(error);
                    }
                }
            }
            if errors.len() < count {
                errors.clear();
            }
        }
    }
    // What succeeded is claimed and will not be done again when the event is.
    match errors.len() {
        0 => Ok(outcome),
        1 => Err(errors.swap_remove(0)),
        _ => Err(Error::Several(errors)),
    }
}

async fn one_message(
    arrivals: Result<Vec<Arrival>, signalbox_events::envelope::EventError>,
    app: &App,
    invocation: &Invocation,
) -> Result<Vec<Done>, Error> {
    let mut all = Vec::new();
    for arrival in arrivals? {
        all.push(one(arrival, app, invocation).await?);
    }
    Ok(all)
}

/// Parse is done; gather → decide → execute.
///
/// The order of the gathering is the order of its cost: the event alone, the ledger's sequencer, the
/// object's headers, and only under a claim the package itself. The sequencer is read once more just
/// before the effect, since a newer upload may have come while this one was inspected. The race that is
/// left (a newer one between that read and the start) is accepted: the newer one's own run then follows.
async fn one(arrival: Arrival, app: &App, invocation: &Invocation) -> Result<Done, Error> {
    let settings = &app.config.settings;
    let candidate = match screen(arrival, settings) {
        Screened::Candidate(candidate) => candidate,
        Screened::Decided(decision) => return effects::execute_unclaimed(app, decision, invocation).await,
    };
    let mut facts = Facts {
        newest: None,
        object: Object::Gone,
    };
    if let Some(sequencer) = &candidate.sequencer {
        let version = candidate.version.as_str();
        let advance = app
            .ledger
            .advance_sequencer(
                &candidate.bucket,
                &candidate.key,
                sequencer,
                version,
                invocation.now,
            )
            .await?;
        if let Advance::Older { newest } = advance {
            facts.newest = Some(newest);
        }
    }
    if is_overtaken(&candidate, facts.newest.as_ref()) {
        return effects::execute_unclaimed(app, decide(&candidate, &facts, settings), invocation).await;
    }
    let Opened::Found(found) = gather::open(app, &candidate).await? else {
        return effects::execute_unclaimed(app, decide(&candidate, &facts, settings), invocation).await;
    };
    if candidate.etag.is_some() && found.etag.is_some() && candidate.etag != found.etag {
        facts.object = found.unread();
        return effects::execute_unclaimed(app, decide(&candidate, &facts, settings), invocation).await;
    }

    let claim = match effects::claim_upload(app, &candidate, &found, invocation).await? {
        Right::Won(claim) => claim,
        Right::Done(before) => return Ok(Done::AlreadyDone { before }),
    };
    facts.object = match gather::inspect(*found, &settings.limits, invocation).await {
        Ok(object) => object,
        Err(error) => {
            // Nothing was done under the claim, so the retry need not wait for its deadline.
            app.ledger.release(claim, invocation.now).await?;
            return Err(error);
        }
    };
    facts.newest = app
        .ledger
        .newest_sequencer(&candidate.bucket, &candidate.key, invocation.now)
        .await?;
    let decision = decide(&candidate, &facts, settings);
    log(&decision, candidate.version.as_str());
    match effects::execute(app, decision, claim, invocation).await {
        Err(Error::Aws { failure, .. }) if deferred::is_full(&failure) => {
            deferred::defer(app, &candidate, &failure, invocation).await
        }
        done => done,
    }
}

fn log(decision: &Decision, version: &str) {
    match decision {
        Decision::Start { branch, .. } => info!(version, %branch, "starts a run"),
        Decision::Build { branch, .. } => info!(version, %branch, "builds only"),
        Decision::Reject(refusal) => info!(version, reasons = refusal.reasons.len(), "rejects the package"),
        Decision::Ignore { reason } => info!(version, reason, "ignores the upload"),
        Decision::Deny { reason } => warn!(version, reason, "denies the event"),
    }
}
