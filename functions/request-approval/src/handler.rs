//! One event: parse → gather → decide → carry out.

use serde::Serialize;
use serde_json::Value;
use signalbox_bootstrap::Invocation;
use signalbox_decision::approval::Record;
use signalbox_decision::approval::message::Rules;
use signalbox_decision::approval::policy::Superseded;
use signalbox_decision::approval::request::{self, Letter, Policy, Request};
use signalbox_decision::names::Approver;
use tracing::{info, warn};

use crate::app::App;
use crate::effects::{ask, open, tell};
use crate::error::Error;
use crate::gather::gather;
use crate::reject::reject;
use crate::slack;
use crate::started::Started;

/// What became of the event.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Outcome {
    /// So many approvers were asked; the others had been.
    Asked { now: usize, before: usize },
    /// Nobody can be asked, and everybody who listens was told.
    AskedNobody,
    /// The policy rejected the older revision.
    Rejected,
    /// The message in Slack says how the approval ended.
    Told,
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
    if started.ended {
        return Ok(
            match slack::close(app, &started.approval, invocation.now).await? {
                Ok(()) => Outcome::Told,
                Err(reason) => Outcome::Ignored(reason.to_owned()),
            },
        );
    }
    let (facts, rules) = tokio::join!(
        gather(app, &started.approval, &started.region),
        app.policies.current()
    );
    let (facts, rules) = (facts?, rules?);
    let known = request::Facts {
        standing: &facts.standing,
        evidence: facts.evidence,
        decision: facts.decision.as_ref(),
    };
    let approvers: Vec<Approver> = rules
        .iter()
        .flat_map(|rules| rules.addresses().cloned())
        .collect();
    let why_nobody = match &rules {
        Ok(_) => "the approval policy names nobody.".to_owned(),
        Err(why) => why.to_string(),
    };
    let asking = Policy {
        approvers: &approvers,
        why_nobody: &why_nobody,
        rules: Rules {
            quorum: rules.as_ref().map_or(1, |rules| rules.quorum),
            author_may_approve: rules.as_ref().is_ok_and(|rules| rules.author_may_approve),
        },
        superseded: rules.as_ref().map_or(Superseded::Warn, |rules| rules.superseded),
        timeout: app.config.timeout,
        answer_url: &app.config.answer_url,
        keys: &facts.keys,
    };
    match request::decide(&started.approval, known, asking, invocation.now) {
        Request::Ask { record, letters } => {
            open(app, &record, invocation.now).await?;
            let place = rules
                .as_ref()
                .ok()
                .and_then(|rules| Some((&**rules, rules.slack.as_ref()?)));
            let posted = match (&app.slack, place) {
                (Some(slack), Some((rules, place))) => {
                    slack::post(app, (slack, place, rules), &record, &facts.keys, &invocation).await
                }
                (None, Some(_)) => {
                    warn!(
                        "the policy names a Slack channel, and no secret of Slack's is configured: nothing is posted"
                    );
                    Ok(false)
                }
                (_, None) => Ok(false),
            };
            ask_all(app, &record, &letters, posted.err(), &invocation).await
        }
        Request::AskNobody { record, notice } => {
            let why = asking.why_nobody;
            warn!(execution = %record.approval.execution, why, "nobody can be asked: only the console can answer");
            open(app, &record, invocation.now).await?;
            tell(app, &record, &notice, &invocation).await?;
            Ok(Outcome::AskedNobody)
        }
        Request::Reject { record, effect } => reject(app, &record, &effect, invocation.now).await,
        Request::Later => Err(Error::NotReady),
        Request::Ignore(why) => {
            info!(execution = %started.approval.execution, %why, "nobody is asked");
            Ok(Outcome::Ignored(why.to_string()))
        }
    }
}

/// Asks everybody, also after one of them, or Slack, could not be.
async fn ask_all(
    app: &App,
    record: &Record,
    letters: &[Letter],
    slack: Option<Error>,
    invocation: &Invocation,
) -> Result<Outcome, Error> {
    let (mut now, mut before) = (0, 0);
    let mut failed: Vec<Error> = slack.into_iter().collect();
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
