//! A job of the pipeline: checks at once, then a watch, over as many invocations as it takes.

use jiff::{SignedDuration, Timestamp};
use signalbox_bootstrap::Invocation;
use signalbox_decision::validation::job::{Next, Parameters, State};
use signalbox_decision::validation::policy::Policy;
use signalbox_decision::validation::{Check, Finding, Report, Verdict};
use tracing::warn;

use crate::app::App;
use crate::error::Error;
use crate::handler::Judged;
use crate::measure::{Notes, Target, invoke, make, read_logs};

/// The ledger's kind of a job's state.
const STATE: &str = "validation-job";
/// CodePipeline forgets a job sooner.
const KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What CodePipeline handed over.
pub(crate) struct Job<'a> {
    pub(crate) id: &'a str,
    pub(crate) parameters: Option<&'a str>,
    pub(crate) continuation: Option<&'a str>,
}

pub(crate) async fn judge(
    app: &App,
    policy: &Policy,
    job: &Job<'_>,
    notes: &Notes,
    invocation: &Invocation,
) -> Result<Judged, Error> {
    if job.continuation.is_none() && has_begun(app, job.id, invocation.now).await {
        // An earlier try came as far as the watch and may not have told so. What it found is kept.
        return Ok(Judged::CallAgain {
            token: job.id.to_owned(),
        });
    }
    let (token, mut state) = match job.continuation {
        None => (job.id, begin(app, policy, job, notes, invocation).await?),
        Some(token) => (token, go_on(app, policy, token, notes, invocation).await?),
    };
    let report = Report::of(notes.findings(), policy.inconclusive);
    if report.verdict == Verdict::Failed || !report.passes {
        return Ok(Judged::Verdict(report));
    }
    match state.next(Timestamp::now()) {
        Next::TooLate => Err(Error::TooLate),
        Next::Report => Ok(Judged::Verdict(report)),
        Next::CallAgain => {
            state.findings = notes.findings();
            state.excused = notes.excused();
            let value = serde_json::to_value(&state).map_err(|error| Error::Foreign(error.to_string()))?;
            let expires = invocation.now.saturating_add(KEPT).ok();
            app.ledger
                .put_value(STATE, token, &value, invocation.now, expires)
                .await?;
            Ok(Judged::CallAgain {
                token: token.to_owned(),
            })
        }
    }
}

/// Whether the job's checks were made, and its watch has begun. Where the ledger cannot tell, they are made again.
async fn has_begun(app: &App, id: &str, now: Timestamp) -> bool {
    match app.ledger.get_value(STATE, id, now).await {
        Ok(state) => state.is_some(),
        Err(error) => {
            warn!(cause = %error, "it is not known whether the job has begun");
            false
        }
    }
}

async fn begin(
    app: &App,
    policy: &Policy,
    job: &Job<'_>,
    notes: &Notes,
    invocation: &Invocation,
) -> Result<State, Error> {
    let parameters = Parameters::parse(job.parameters, &app.config.alias).map_err(Error::Foreign)?;
    let version = make(
        app,
        policy,
        &target(app, invocation.now, None),
        &parameters.checks,
        notes,
    )
    .await;
    Ok(State {
        began: invocation.now,
        watching_since: Timestamp::now(),
        parameters,
        version,
        findings: Vec::new(),
        excused: Vec::new(),
    })
}

fn target(app: &App, since: Timestamp, version: Option<signalbox_decision::names::VersionNumber>) -> Target {
    Target {
        qualifier: app.config.alias.clone(),
        version,
        live: None,
        since,
    }
}

/// Looks again: one request, and the log since the beginning.
async fn go_on(
    app: &App,
    policy: &Policy,
    token: &str,
    notes: &Notes,
    invocation: &Invocation,
) -> Result<State, Error> {
    let found = app.ledger.get_value(STATE, token, invocation.now).await?;
    let state: Option<State> = found.and_then(|found| serde_json::from_value(found).ok());
    let state = state.ok_or_else(|| {
        Error::Foreign("nothing is known of the job that this one continues; retry the action".to_owned())
    })?;
    notes.excuse(state.excused.iter().cloned());
    let earlier = state
        .findings
        .iter()
        .filter(|finding| finding.check != Check::Watch);
    for finding in earlier {
        notes.add(finding.clone());
    }
    if state.next(invocation.now) == Next::TooLate {
        return Err(Error::TooLate);
    }
    let target = target(app, state.began, state.version.clone());
    let watched = Notes::default();
    watched.excuse(notes.excused());
    // Nothing is warmed up again: a burst at every look would be load, not a watch.
    watched.add(invoke(app, policy, &target).await.0);
    watched.add(read_logs(app, policy, &target, state.version.as_ref(), &watched).await);
    let report = Report::of(watched.findings(), policy.inconclusive);
    let seconds = invocation.now.duration_since(state.watching_since).as_secs();
    let evidence = format!("after {seconds} s: {}", report.summary(500));
    notes.add(Finding::new(Check::Watch, report.verdict, evidence));
    Ok(state)
}
