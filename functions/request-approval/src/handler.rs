//! One event: parse → gather → decide → carry out.

use serde::Serialize;
use serde_json::Value;
use signalbox_bootstrap::Invocation;
use signalbox_decision::approval::Record;
use signalbox_decision::approval::request::{self, Letter, Policy, Request};
use tracing::{info, warn};

use crate::app::App;
use crate::effects::{ask, open, tell};
use crate::error::Error;
use crate::gather::gather;
use crate::started::Started;

/// What became of the event.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Outcome {
    /// So many approvers were asked; the others had been.
    Asked { now: usize, before: usize },
    /// Nobody can be asked, and everybody who listens was told.
    AskedNobody,
    /// Nothing was to be done, for this reason.
    Ignored(String),
}

/// Handles one event.
pub(crate) async fn handle(event: Value, app: &App, invocation: Invocation) -> Result<Outcome, Error> {
    let started = match Started::parse(event)? {
        Ok(started) if started.approval.pipeline == app.config.pipeline => started,
        Ok(_) => return Ok(Outcome::Ignored("another pipeline".to_owned())),
        Err(reason) => return Ok(Outcome::Ignored(reason.to_owned())),
    };
    let facts = gather(app, &started.approval, &started.region).await?;
    let known = request::Facts {
        standing: &facts.standing,
        evidence: facts.evidence,
        decision: facts.decision.as_ref(),
    };
    let policy = Policy {
        approvers: &app.config.approvers,
        timeout: app.config.timeout,
        answer_url: &app.config.answer_url,
        keys: &facts.keys,
    };
    match request::decide(&started.approval, known, policy, invocation.now) {
        Request::Ask { record, letters } => {
            open(app, &record, invocation.now).await?;
            ask_all(app, &record, &letters, &invocation).await
        }
        Request::AskNobody { record, notice } => {
            warn!(execution = %record.approval.execution, "no approver is configured: only the console can answer");
            open(app, &record, invocation.now).await?;
            tell(app, &record, &notice, &invocation).await?;
            Ok(Outcome::AskedNobody)
        }
        Request::Later => Err(Error::NotReady),
        Request::Ignore(why) => {
            info!(execution = %started.approval.execution, %why, "nobody is asked");
            Ok(Outcome::Ignored(why.to_string()))
        }
    }
}

/// Asks everybody, also after one of them could not be asked.
async fn ask_all(
    app: &App,
    record: &Record,
    letters: &[Letter],
    invocation: &Invocation,
) -> Result<Outcome, Error> {
    let (mut now, mut before, mut failed) = (0, 0, Vec::new());
    for letter in letters {
        match ask(app, record, letter, invocation).await {
            Ok(true) => now += 1,
            Ok(false) => before += 1,
            Err(error) => failed.push(error),
        }
    }
    if failed.is_empty() {
        Ok(Outcome::Asked { now, before })
    } else {
        Err(Error::Some {
            failed,
            of: letters.len(),
        })
    }
}

#[cfg(test)]
mod tests;
