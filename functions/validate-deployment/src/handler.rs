//! One question (may this version have traffic?), one report: on success, on failure, on a panic, and on
//! running out of time.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use jiff::SignedDuration;
use serde::Serialize;
use serde_json::Value;
use signalbox_bootstrap::Invocation;
use signalbox_decision::validation::policy::{Inconclusive, Policy};
use signalbox_decision::validation::{Check, Finding, Report, Verdict};
use signalbox_events::job::Asked;
use tracing::{info, warn};

use crate::app::App;
use crate::effects::{self, Told};
use crate::error::Error;
use crate::measure::{self, Notes};
use crate::once::{self, Turn};
use crate::policy::policy;
use crate::subject::Subject;
use crate::{job, publish, record};

/// What was found and reported, as Lambda's answer says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Outcome {
    /// `None` where the job asked to be called again.
    verdict: Option<Verdict>,
    summary: String,
    reported: Told,
}

/// What the checks came to.
pub(crate) enum Judged {
    /// A verdict.
    Verdict(Report),
    /// A job goes on: its state is kept under this token.
    CallAgain {
        /// The continuation token.
        token: String,
    },
}

/// Kept back from the function's time-out, so that a verdict is still reported.
const TO_REPORT: SignedDuration = SignedDuration::from_secs(10);

pub(crate) async fn handle(event: Value, app: &App, invocation: Invocation) -> Result<Outcome, Error> {
    let asked = Asked::parse(event)?;
    // What goes on may come under the same id; to look once more than needed does no harm.
    let Asked::Job {
        id,
        continuation: None,
        ..
    } = &asked
    else {
        return answer(app, &asked, &invocation).await;
    };
    match once::turn(app, id, &invocation).await? {
        Turn::Over(earlier) => {
            info!(earlier, "this was answered already");
            Ok(Outcome::of_earlier(earlier))
        }
        Turn::Ours(claim, now) => {
            let invocation = Invocation { now, ..invocation };
            let outcome = answer(app, &asked, &invocation).await;
            let given = outcome.as_ref().ok().map(Outcome::in_short);
            once::end(app, claim, given.as_deref(), now).await;
            outcome
        }
    }
}

impl Outcome {
    /// What a later delivery of the same event is told.
    fn in_short(&self) -> String {
        match self.verdict {
            Some(verdict) => format!("the verdict was {verdict}"),
            None => self.summary.clone(),
        }
    }

    /// Nothing was to be done: an earlier answer stands.
    fn of_earlier(summary: String) -> Self {
        Self {
            verdict: None,
            summary,
            reported: Told::TooLate,
        }
    }
}

/// Judges, and tells whoever waits.
async fn answer(app: &App, asked: &Asked, invocation: &Invocation) -> Result<Outcome, Error> {
    if let Some(earlier) = record::verdict_of(app, asked, invocation).await {
        info!(verdict = earlier, "this was judged already");
        return Ok(Outcome::of_earlier(format!("the verdict was {earlier}")));
    }
    let notes = Notes::default();
    let left = invocation.deadline.duration_since(invocation.now) - TO_REPORT;
    let limit = Duration::try_from(left).unwrap_or_default();
    let judged = within(limit, judge(app, asked, &notes, invocation)).await;
    conclude(app, asked, judged, &notes, invocation).await
}

/// Gathers and decides.
async fn judge(app: &App, asked: &Asked, notes: &Notes, invocation: &Invocation) -> Result<Judged, Error> {
    match asked {
        Asked::Job {
            id,
            parameters,
            continuation,
        } => {
            let policy = match policy(app).await? {
                Ok(policy) => policy,
                Err(report) => return Ok(Judged::Verdict(report)),
            };
            let job = job::Job {
                id,
                parameters: parameters.as_deref(),
                continuation: continuation.as_deref(),
            };
            job::judge(app, &policy, &job, notes, invocation).await
        }
        Asked::Hook { deployment, .. } => {
            let subject = Subject::of_deployment(app, deployment).await?;
            let is_rollback = subject.deployment.is_rollback;
            if is_rollback {
                notes.hold_nothing_up();
            }
            let policy = match sound_policy(app, notes).await? {
                Ok(policy) => policy,
                Err(report) => return Ok(Judged::Verdict(report)),
            };
            measure::all(app, &policy, &subject, notes, invocation).await?;
            let findings = notes.findings();
            Ok(Judged::Verdict(if is_rollback {
                Report::of_rollback(findings, policy.inconclusive)
            } else {
                Report::of(findings, policy.inconclusive)
            }))
        }
    }
}

/// The policy. A rollback must not need a sound one: it is asked what the defaults ask, and the report says so.
async fn sound_policy(app: &App, notes: &Notes) -> Result<Result<Policy, Report>, Error> {
    let read = policy(app).await;
    if !notes.holds_nothing_up() {
        return read;
    }
    let findings = match read {
        Ok(Ok(policy)) => return Ok(Ok(policy)),
        Ok(Err(report)) => report.findings,
        Err(error) => vec![Finding::new(
            Check::Policy,
            Verdict::Inconclusive,
            error.to_string(),
        )],
    };
    for finding in findings {
        notes.add(finding);
    }
    Ok(Ok(Policy::default()))
}

/// The work's result, within the limit; a panic in it is an error like any.
async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(limit, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(Error::Panicked(panic_message(panic.as_ref()))),
        Err(_) => Err(Error::TooSlow(limit.as_secs())),
    }
}

/// Tells whoever waits. Where no verdict could be reached they are told at once that there is no pass: silence
/// would hold the deployment for an hour, and the pipeline for twenty minutes.
async fn conclude(
    app: &App,
    asked: &Asked,
    judged: Result<Judged, Error>,
    notes: &Notes,
    invocation: &Invocation,
) -> Result<Outcome, Error> {
    let report = match judged {
        Ok(Judged::Verdict(report)) => report,
        Ok(Judged::CallAgain { token }) => {
            let told = effects::call_again(app, asked, &token).await?;
            return Ok(Outcome {
                verdict: None,
                summary: "the job goes on".to_owned(),
                reported: told,
            });
        }
        Err(error) => {
            warn!(cause = %error, "no verdict could be reached");
            let report = Report::broken_off(notes.findings(), error.to_string());
            if notes.holds_nothing_up() {
                Report::of_rollback(report.findings, Inconclusive::Fail)
            } else {
                report
            }
        }
    };
    // Before the verdict, since what follows from it looks for them; for a bounded time, since whoever waits must be
    // told.
    let (kept, ()) = tokio::join!(
        record::keep(app, asked, &report, invocation),
        effects::note(app, asked, notes, invocation),
    );
    let told = effects::report(app, asked, &report).await?;
    info!(verdict = %report.verdict, findings = ?report.findings, reported = ?told, "reported");
    record::settle(app, asked, kept, &report, told, invocation).await;
    // For people who look later, and only of the verdict that stands.
    if told == Told::Accepted {
        publish::publish(app, &report).await;
    }
    Ok(Outcome {
        verdict: Some(report.verdict),
        summary: report.summary(1000),
        reported: told,
    })
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

#[cfg(test)]
mod tests;
