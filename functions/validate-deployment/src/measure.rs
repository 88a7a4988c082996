//! The checks of a hook, in an order that fails fast: what needs no request first, then one request, then many.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use jiff::Timestamp;
use signalbox_bootstrap::Invocation;
use signalbox_decision::names::VersionNumber;
use signalbox_decision::validation::policy::Policy;
use signalbox_decision::validation::{self, Check, Finding, Probe, Verdict};
use tracing::info;

use crate::app::{App, Hook};
use crate::error::Error;
use crate::logs::Logs;
use crate::probe::{Sent, send};
use crate::subject::Subject;
use crate::{alarms, canary, effects};

/// What was noted so far: kept outside of the checks, so that it outlives one that panics or takes too long.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    findings: Vec<Finding>,
    excused: Vec<String>,
    is_rollback: bool,
}

impl Notes {
    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a finding; answers whether it goes on after it.
    pub(crate) fn add(&self, finding: Finding) -> bool {
        let goes_on = finding.verdict != Verdict::Failed;
        self.lock().findings.push(finding);
        goes_on
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        self.lock().findings.clone()
    }

    /// What is validated is a rollback: whatever ends its validation, it goes on once it was invoked.
    pub(crate) fn hold_nothing_up(&self) {
        self.lock().is_rollback = true;
    }

    pub(crate) fn holds_nothing_up(&self) -> bool {
        self.lock().is_rollback
    }

    /// Notes what a check found; answers whether it goes on after it. On a rollback it always does, and a check
    /// that could not be made is a finding like any.
    fn judge(&self, check: Check, found: Result<Finding, Error>) -> Result<bool, Error> {
        let is_rollback = self.holds_nothing_up();
        let finding = match found {
            Err(error) if is_rollback => Finding::new(check, Verdict::Inconclusive, error.to_string()),
            found => found?,
        };
        Ok(self.add(finding) || is_rollback)
    }

    /// Requests whose lines in the log do not count.
    pub(crate) fn excuse(&self, requests: impl IntoIterator<Item = String>) {
        self.lock().excused.extend(requests);
    }

    pub(crate) fn excused(&self) -> Vec<String> {
        self.lock().excused.clone()
    }
}

/// All checks of this function's hook. What fails before the version has been asked much ends them: there is
/// no use in more. A rollback is asked in any case.
pub(crate) async fn all(
    app: &App,
    policy: &Policy,
    subject: &Subject,
    notes: &Notes,
    invocation: &Invocation,
) -> Result<(), Error> {
    let checks = [
        Check::Invocation,
        Check::ErrorHandling,
        Check::Performance,
        Check::Load,
        Check::Logs,
    ];
    let version = subject.new_version().clone();
    if app.config.hook == Hook::AfterAllowTraffic {
        // Before any request of our own: what is compared is traffic.
        let before = match effects::before(app, &subject.deployment.id, invocation.now).await {
            Err(error) => {
                notes.judge(Check::Validation, Err(error))?;
                effects::Before::default()
            }
            Ok(before) => before,
        };
        notes.excuse(before.excused);
        if subject.all_at_once {
            info!("all traffic moved at once: the versions never served side by side, and are not compared");
        } else {
            let since = before.ended.unwrap_or(subject.since);
            let compared = canary::check(app, policy, subject, since).await;
            if !notes.judge(Check::Canary, Ok(compared))? {
                return Ok(());
            }
        }
        let target = Target {
            qualifier: subject.deployment.alias.clone(),
            version: Some(version),
            live: None,
            since: subject.since,
        };
        make(app, policy, &target, &checks, notes).await;
        return Ok(());
    }
    let can_see = notes.judge(Check::Preflight, alarms::check(app, policy, subject).await)?;
    let is_new = notes.judge(
        Check::KnownBad,
        alarms::check_code(app, subject, invocation.now).await,
    )?;
    if can_see && is_new {
        let target = Target {
            qualifier: version.to_string(),
            version: Some(version),
            live: subject.old.clone(),
            since: subject.since,
        };
        make(app, policy, &target, &checks, notes).await;
    }
    Ok(())
}

/// Whom the checks ask.
///
/// Only the plain request goes through the alias. The alarms of the deployment group watch what comes through
/// it: requests that are meant to be refused, or to be too many, would count against a good version there.
pub(crate) struct Target {
    /// Who gets the plain request: the version itself before traffic, the alias afterwards.
    pub(crate) qualifier: String,
    /// The version that all other requests ask by its number, and whose log lines count; the one that answers
    /// first, where it is not known.
    pub(crate) version: Option<VersionNumber>,
    /// The version that is live, to compare with.
    pub(crate) live: Option<VersionNumber>,
    /// Since when log lines count.
    pub(crate) since: Timestamp,
}

/// Makes the checks, and answers the version that was asked.
pub(crate) async fn make(
    app: &App,
    policy: &Policy,
    target: &Target,
    checks: &[Check],
    notes: &Notes,
) -> Option<VersionNumber> {
    let mut version = target.version.clone();
    if version.is_none() && !checks.contains(&Check::Invocation) {
        let sent = send(app, policy, &target.qualifier, &policy.sound()).await;
        version = sent.version;
    }
    for check in checks {
        let finding = match check {
            Check::Invocation => {
                let (finding, answered_first) = invoke(app, policy, target).await;
                version = version.or(answered_first);
                if let Some(version) = &version
                    && finding.verdict != Verdict::Failed
                {
                    warm_up(app, policy, version).await;
                }
                finding
            }
            Check::ErrorHandling | Check::Performance | Check::Load => match &version {
                None => Finding::new(
                    *check,
                    Verdict::Inconclusive,
                    "no answer told which version it came from, so that none can be asked by its number",
                ),
                Some(version) if *check == Check::ErrorHandling => refuse(app, policy, version, notes).await,
                Some(version) if *check == Check::Performance => {
                    perform(app, policy, version, target.live.as_ref()).await
                }
                Some(version) => load(app, policy, version).await,
            },
            Check::Logs => read_logs(app, policy, target, version.as_ref(), notes).await,
            _ => continue,
        };
        // A version that does not even answer says nothing under load.
        if !notes.add(finding) && *check == Check::Invocation {
            break;
        }
    }
    version
}

/// The plain requests, and the version that answered first.
pub(crate) async fn invoke(app: &App, policy: &Policy, target: &Target) -> (Finding, Option<VersionNumber>) {
    let mut probes = Vec::with_capacity(policy.invocation.len());
    let mut version = None;
    for request in &policy.invocation {
        let sent = send(app, policy, &target.qualifier, &request.payload).await;
        version = version.or(sent.version);
        probes.push((request.clone(), sent.probe));
    }
    (validation::invocation(&probes), version)
}

/// Requests at the same time go to environments of their own: afterwards so many are warm, and the first users
/// meet no start.
async fn warm_up(app: &App, policy: &Policy, version: &VersionNumber) {
    let sound = policy.sound();
    let requests = (0..policy.warm_up_requests).map(|_| send(app, policy, version.as_str(), &sound));
    let sent = futures::future::join_all(requests).await;
    let cold = sent.iter().filter(|sent| sent.cold).count();
    info!(requests = sent.len(), started = cold, "warmed up");
}

async fn refuse(app: &App, policy: &Policy, version: &VersionNumber, notes: &Notes) -> Finding {
    let mut refused = Vec::with_capacity(policy.error_handling.len());
    for bad in &policy.error_handling {
        let sent = send(app, policy, version.as_str(), &bad.payload).await;
        notes.excuse(sent.request);
        refused.push((bad.clone(), sent.probe));
    }
    validation::error_handling(&refused)
}

/// One request after the other, to either version by turns: what disturbs the one disturbs the other.
async fn perform(
    app: &App,
    policy: &Policy,
    version: &VersionNumber,
    live: Option<&VersionNumber>,
) -> Finding {
    let sound = policy.sound();
    let live = live.filter(|_| policy.performance.compare_with_live);
    // The live version may have no warm environment left to measure.
    if let Some(live) = live {
        let _ = send(app, policy, live.as_str(), &sound).await;
    }
    let (mut of_new, mut of_live) = (Vec::new(), Vec::new());
    for _ in 0..policy.performance.requests {
        of_new.push(send(app, policy, version.as_str(), &sound).await.probe);
        if let Some(live) = live {
            of_live.push(send(app, policy, live.as_str(), &sound).await.probe);
        }
    }
    let of_live = live.map(|_| of_live.as_slice());
    validation::performance(&of_new, of_live, &policy.performance, policy.canary.alpha)
}

/// The ramp's steps, as shares of the concurrency: what breaks at a few at a time need not be asked of many.
const STEPS: u32 = 4;

async fn load(app: &App, policy: &Policy, version: &VersionNumber) -> Finding {
    let sound = policy.sound();
    let rules = &policy.load;
    let mut probes: Vec<Probe> = Vec::new();
    for step in 1..=STEPS {
        // Rounded so that the last step is the whole concurrency, and all steps together make all requests.
        let concurrency = (rules.concurrency * step).div_ceil(STEPS);
        let requests = rules.requests * step / STEPS - rules.requests * (step - 1) / STEPS;
        let made: Vec<Sent> = futures::stream::iter(0..requests)
            .map(|_| send(app, policy, version.as_str(), &sound))
            .buffer_unordered(usize::try_from(concurrency).unwrap_or(1).max(1))
            .collect()
            .await;
        probes.extend(made.into_iter().map(|sent| sent.probe));
    }
    validation::load(&probes, rules)
}

pub(crate) async fn read_logs(
    app: &App,
    policy: &Policy,
    target: &Target,
    version: Option<&VersionNumber>,
    notes: &Notes,
) -> Finding {
    // One request more, whose lines prove that what was logged before it has arrived.
    let last = Timestamp::now();
    let qualifier = version.map_or(target.qualifier.as_str(), VersionNumber::as_str);
    let _ = send(app, policy, qualifier, &policy.sound()).await;
    let logs = Logs::of(app, version);
    let facts = logs
        .check(&policy.logs, target.since, last, &notes.excused())
        .await;
    validation::logs(facts.as_ref().map_err(String::as_str))
}
