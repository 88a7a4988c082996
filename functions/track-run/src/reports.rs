//! What validate-deployment measured, from the ledger into the timeline.
//!
//! It writes its report after it has told CodeDeploy, so that the deployment's last event may be here first: every event
//! of the run looks again, until the reports are there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use signalbox_decision::timeline::validated::{Hook, Validation};
use signalbox_decision::timeline::{Subject, Timeline};
use signalbox_decision::validation::Report;
use tracing::warn;

use crate::app::App;
use crate::error::Error;
use crate::gather::Observed;

/// The ledger's kind of reports, as validate-deployment keeps them: by deployment and hook.
const REPORT: &str = "validation";
/// A retried run has a deployment for each attempt; an event is about the latest, or comes soon after it.
const MOST_DEPLOYMENTS: usize = 2;

/// A report as it is kept.
#[derive(Deserialize)]
struct Kept {
    at: Timestamp,
    report: Report,
}

/// What was observed, with the reports on the subject's deployments that its timeline has not got yet.
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
    for (deployment, hook) in known.unreported(MOST_DEPLOYMENTS) {
        if let Some(validation) = validation(app, &deployment, hook, now).await? {
            observed.timeline.merge(&Timeline {
                validations: BTreeMap::from([(deployment, BTreeMap::from([(hook, validation)]))]),
                ..Timeline::default()
            });
        }
    }
    Ok(observed)
}

/// What is kept of one hook. A report that cannot be read is none: the run is followed all the same.
async fn validation(
    app: &App,
    deployment: &str,
    hook: Hook,
    now: Timestamp,
) -> Result<Option<Validation>, Error> {
    let name = format!("{deployment}/{}", hook.name());
    let kept = match app.ledger.get_value(REPORT, &name, now).await {
        Ok(Some(kept)) => kept,
        Ok(None) => return Ok(None),
        Err(error) if error.is_retryable() => return Err(error.into()),
        Err(error) => {
            warn!(cause = %error, deployment, hook = hook.name(), "the report cannot be read");
            return Ok(None);
        }
    };
    let Ok(Kept { at, report }) = serde_json::from_value(kept) else {
        // Not the error's own text: it may repeat the report's.
        warn!(
            deployment,
            hook = hook.name(),
            "the report is not of a form that is known"
        );
        return Ok(None);
    };
    Ok(Some(Validation::of(&report, at)))
}
