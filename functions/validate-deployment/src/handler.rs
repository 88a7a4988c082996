//! One question (may this version have traffic?), one report: on success, on failure, on a panic, and
//! on running out of time.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use jiff::SignedDuration;
use serde::Serialize;
use serde_json::Value;
use signalbox_bootstrap::Invocation;
use signalbox_decision::validation::{Report, Verdict};
use signalbox_events::job::Asked;
use tracing::{info, warn};

use crate::app::App;
use crate::effects::{self, Told};
use crate::error::Error;
use crate::measure;
use crate::subject::Subject;

/// What was found and reported, as Lambda's answer says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Outcome {
    verdict: Verdict,
    summary: String,
    reported: Told,
}

/// Kept back from the function's time-out, so that a verdict is still reported.
const TO_REPORT: SignedDuration = SignedDuration::from_secs(10);

pub(crate) async fn handle(event: Value, app: &App, invocation: Invocation) -> Result<Outcome, Error> {
    let asked = Asked::parse(event)?;
    let report = match judge(app, &asked, &invocation).await {
        Ok(report) => report,
        // Whoever waits is told at once that there is no pass: silence would hold the deployment for an
        // hour, and the pipeline for twenty minutes.
        Err(error) => {
            warn!(cause = %error, "no verdict could be reached");
            let told = effects::report_failure(app, &asked, &error.to_string()).await?;
            return Ok(Outcome {
                verdict: Verdict::Failed,
                summary: error.to_string(),
                reported: told,
            });
        }
    };
    let told = effects::report(app, &asked, &report, &invocation).await?;
    info!(verdict = %report.verdict, findings = ?report.findings, "reported");
    Ok(Outcome {
        verdict: report.verdict,
        summary: report.summary(1000),
        reported: told,
    })
}

/// Measures and judges, within what is left of the invocation; a panic in a check is an error like any.
async fn judge(app: &App, asked: &Asked, invocation: &Invocation) -> Result<Report, Error> {
    let left = invocation.deadline.duration_since(invocation.now) - TO_REPORT;
    let limit = std::time::Duration::try_from(left).unwrap_or_default();
    let work = AssertUnwindSafe(async {
        let subject = Subject::find(app, asked).await?;
        Ok(Report::of(measure::all(app, &subject).await))
    });
    match tokio::time::timeout(limit, work.catch_unwind()).await {
        Ok(Ok(judged)) => judged,
        Ok(Err(panic)) => Err(Error::Panicked(panic_message(panic.as_ref()))),
        Err(_) => Err(Error::TooSlow(limit.as_secs())),
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}
