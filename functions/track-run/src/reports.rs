//! What validate-deployment measured, from the ledger into the timeline: in the hooks of deployments, and in jobs of the
//! pipeline.
//!
//! It writes its report before it tells AWS, and what the telling came to afterwards. An event may come in between, or before
//! CodePipeline lists what a job has told it: every event of the run looks again, until the reports are there.

use jiff::Timestamp;
use serde::Deserialize;
use signalbox_decision::timeline::Subject;
use signalbox_decision::timeline::validated::{Unreported, Validation};
use signalbox_decision::validation::Report;
use tracing::warn;

use crate::app::App;
use crate::error::Error;
use crate::gather::Observed;

/// The ledger's kind of reports, as validate-deployment keeps them.
const REPORT: &str = "validation";
/// A retried run has a deployment and a job for each attempt; an event is about the latest, or comes soon after it.
const MOST: usize = 3;

/// A report as it is kept.
#[derive(Deserialize)]
struct Kept {
    at: Timestamp,
    report: Report,
    #[serde(default)]
    told: Option<Told>,
}

/// What AWS answered to it.
#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Told {
    Accepted,
    TooLate,
}

/// What was observed, with the reports that the subject's timeline has not got yet.
pub(crate) async fn with_reports(
    app: &App,
    mut observed: Observed,
    now: Timestamp,
) -> Result<Observed, Error> {
    if matches!(observed.subject, Subject::Build { .. }) {
        return Ok(observed);
    }
    let mut known = app.ledger.load_timeline(&observed.subject).await?.timeline;
    known.merge(&observed.timeline);
    for unreported in known.unreported(MOST) {
        if let Some(validation) = validation(app, &unreported, now).await? {
            observed.timeline.merge(&unreported.place.holding(validation));
        }
    }
    Ok(observed)
}

/// What is kept of one hook or job. A report that cannot be read is none: the run is followed all the same.
async fn validation(app: &App, of: &Unreported, now: Timestamp) -> Result<Option<Validation>, Error> {
    let name = of.place.name();
    let kept = match app.ledger.get_value(REPORT, &name, now).await {
        Ok(Some(kept)) => kept,
        Ok(None) => return Ok(None),
        Err(error) if error.is_retryable() => return Err(error.into()),
        Err(error) => {
            warn!(cause = %error, of = name, "the report cannot be read");
            return Ok(None);
        }
    };
    let Ok(Kept { at, report, told }) = serde_json::from_value(kept) else {
        // Not the error's own text: it may repeat the report's.
        warn!(of = name, "the report is not of a form that is known");
        return Ok(None);
    };
    let stands = match told {
        Some(told) => told == Told::Accepted,
        // It is being told, or whoever told it died since. As long as AWS still waits it may be replaced.
        None => of.is_over,
    };
    Ok(stands.then(|| Validation::of(&report, at)))
}
