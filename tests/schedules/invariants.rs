//! What must hold, whatever the schedule was.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use signalbox_decision::approval::Verdict;
use signalbox_decision::sweep::behind;
use signalbox_decision::sweep::releases::unheard;
use signalbox_decision::timeline::tell::Message;
use signalbox_decision::timeline::{State, Subject, Timeline, tell};
use signalbox_ledger::Ledger;

use crate::approvals::{APPROVERS, QUORUM, author};
use crate::aws::{Aws, Undone};
use crate::releases::BAKE;
use crate::runs::subject_of_run;
use crate::shell::REGION;
use crate::sweep::{red, releases, seen};

/// What people did: who approved which run by a link of theirs.
pub(crate) type Approvals = BTreeMap<usize, BTreeSet<String>>;

/// What went wrong on the way.
pub(crate) struct Faults {
    /// How often somebody died, perhaps over a notice.
    pub(crate) crashes: usize,
    /// How many events were given up after three tries: they wait in a dead-letter queue, for a person.
    pub(crate) dead: usize,
}

type Verdicts = Result<(), String>;

/// Those that hold at every moment.
pub(crate) fn always(aws: &Aws, approvals: &Approvals) -> Verdicts {
    let mut versions = BTreeSet::new();
    for run in &aws.runs {
        if !versions.insert(run.version) {
            return Err(format!("no run starts twice: version {} has two", run.version));
        }
    }
    for (at, run) in aws.runs.iter().enumerate() {
        if matches!(run.answer, Some((Verdict::Approved, _))) {
            let by = approvals.get(&at).into_iter().flatten();
            let count = by
                .filter(|person| APPROVERS.contains(&person.as_str()) && **person != author(run.version))
                .count();
            if count < QUORUM {
                return Err(format!(
                    "nothing is approved without a valid decision: run {at} has {count} of {QUORUM}"
                ));
            }
        }
    }
    let spoken_of = |undone: &Undone| {
        let created = aws.deployments[undone.deployment].created;
        // What AWS answers about an alarm may be a millisecond early (`rollback::moments`): one of the very millisecond
        // before counts as of the deployment.
        let earliest = created - SignedDuration::from_millis(1);
        undone.red_since.iter().any(|since| *since >= earliest)
    };
    for undone in aws.stopped.iter().chain(&aws.redeployed) {
        let id = &aws.deployments[undone.deployment].id;
        if aws.deployments[undone.deployment].undoes.is_some() {
            return Err(format!("no rollback is rolled back: {id} was"));
        }
        if !spoken_of(undone) {
            return Err(format!(
                "no deployment but the alarm's is stopped: the alarm had not fired since {id} began"
            ));
        }
    }
    let mut undone = BTreeSet::new();
    for it in aws.stopped.iter().chain(&aws.redeployed) {
        if !undone.insert(it.deployment) {
            return Err(format!(
                "a deployment is rolled back once: {} was twice",
                aws.deployments[it.deployment].id
            ));
        }
    }
    Ok(())
}

/// Those that hold once the faults have ended and two sweeps have passed.
pub(crate) async fn in_the_end(aws: &Aws, ledger: &Ledger, faults: &Faults) -> Verdicts {
    let mut timelines: Vec<(Subject, Timeline)> = Vec::new();
    for run in 0..aws.runs.len() {
        let subject = subject_of_run(aws, run);
        timelines.push((subject.clone(), load(ledger, &subject).await));
    }
    for deployment in &aws.deployments {
        let subject = Subject::Deployment {
            id: deployment.id.clone(),
        };
        timelines.push((subject.clone(), load(ledger, &subject).await));
    }
    agreement(aws, &timelines)?;
    rollbacks(aws, ledger, faults.dead).await?;
    notices(aws, &timelines, faults.crashes)
}

async fn load(ledger: &Ledger, subject: &Subject) -> Timeline {
    ledger.load_timeline(subject).await.unwrap().timeline
}

fn agreement(aws: &Aws, timelines: &[(Subject, Timeline)]) -> Verdicts {
    const NAME: &str = "after two sweeps the ledger agrees with AWS";
    for (run, (subject, timeline)) in (0..aws.runs.len()).zip(timelines) {
        if let Some(why) = behind(subject, timeline, &seen(aws, run), REGION) {
            return Err(format!("{NAME}: {why} ({run})"));
        }
    }
    for deployment in &aws.deployments {
        let known: Option<State> = timelines
            .iter()
            .filter_map(|(_, timeline)| timeline.deployments.get(deployment.id.as_str()))
            .map(|it| it.progress.state.clone())
            .max();
        if known.as_ref() != Some(&deployment.state) {
            return Err(format!(
                "{NAME}: it has {} as {known:?}, AWS as {}",
                deployment.id, deployment.state
            ));
        }
    }
    Ok(())
}

async fn rollbacks(aws: &Aws, ledger: &Ledger, dead: usize) -> Verdicts {
    const NAME: &str = "after two sweeps the ledger agrees with AWS";
    for unheard in unheard(aws.now, BAKE, &[releases(aws)], &red(aws)) {
        for release in unheard.releases {
            if ledger.load_rollback(release.id.as_str()).await.unwrap().is_none() {
                return Err(format!(
                    "{NAME}: the alarm is red, and nobody has rolled {} back",
                    release.id
                ));
            }
        }
    }
    // An alarm that has calmed down is not the sweep's any more, but the dead-letter queue's.
    let all = aws.stopped.iter().chain(&aws.redeployed);
    for undone in all.filter(|_| dead == 0) {
        let id = aws.deployments[undone.deployment].id.as_str();
        // The alarm may have calmed down before whoever crashed could finish: then its event's retry does.
        if ledger.load_rollback(id).await.unwrap().is_none() {
            return Err(format!(
                "{NAME}: {id} was rolled back, and no rollback is recorded"
            ));
        }
        if !aws.published.contains(&format!("rollback/{id}")) {
            return Err(format!(
                "every notice goes out: nobody was told of the rollback of {id}"
            ));
        }
    }
    Ok(())
}

fn notices(aws: &Aws, timelines: &[(Subject, Timeline)], crashes: usize) -> Verdicts {
    const NAME: &str = "every notice goes out at least once and is shown once";
    let mut sent: BTreeMap<&str, usize> = BTreeMap::new();
    for id in &aws.published {
        *sent.entry(id).or_default() += 1;
    }
    // One id is one notice to its readers. It goes out twice only where somebody died over it.
    let repeated: usize = sent.values().map(|count| count - 1).sum();
    if repeated > crashes {
        return Err(format!(
            "{NAME}: {repeated} were repeated after {crashes} crashes"
        ));
    }
    for (subject, timeline) in timelines {
        let untold = Timeline {
            told: BTreeSet::new(),
            ..timeline.clone()
        };
        for due in tell::due(subject, &untold, REGION) {
            let id = format!("track-run/{}", due.claim_key(subject));
            if matches!(due.message, Message::Notice(_)) && !sent.contains_key(id.as_str()) {
                return Err(format!("{NAME}: {} was never told", due.key));
            }
        }
    }
    Ok(())
}
