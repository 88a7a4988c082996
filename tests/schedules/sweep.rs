//! The sweep, step by step.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::json;
use signalbox_decision::approval::Record;
use signalbox_decision::approval::quorum::Vote;
use signalbox_decision::sweep::releases::{Group, RedAlarm, Release, is_behind, unheard};
use signalbox_decision::sweep::{Do, Found, Links, Rules, Run, Waiting, behind, decide};
use signalbox_decision::timeline::{State, Subject, tell};
use signalbox_decision::validation::preflight::Override;
use signalbox_ledger::{ApprovalKey, ClaimKey};

use crate::approvals::{approval_of, asking_name, keys, policy, request_approval};
use crate::aws::{Aws, Event};
use crate::mutant::Mutant;
use crate::releases::{BAKE, alarm_name, group_name};
use crate::runs::{action_id, subject_of_run};
use crate::shell::{Failed, Invocation, REGION, REMEMBERED};

const HANDED_OVER: SignedDuration = SignedDuration::from_hours(1);
const ASKED: &str = "sweep-asked";

pub(crate) fn releases(aws: &Aws) -> Group {
    Group {
        name: group_name(),
        alarms: vec![alarm_name()],
        releases: aws
            .deployments
            .iter()
            .map(|it| Release {
                id: it.id.clone(),
                state: it.state.clone(),
                is_rollback: it.undoes.is_some(),
                overrides: Override::None,
                created: it.created,
                ended: it.ended,
            })
            .collect(),
    }
}

pub(crate) fn red(aws: &Aws) -> Vec<RedAlarm> {
    let red = |since| RedAlarm {
        name: alarm_name(),
        since,
        suppressed: false,
        reason: String::new(),
    };
    aws.red_since.map(red).into_iter().collect()
}

pub(crate) fn seen(aws: &Aws, run: usize) -> Run {
    let it = &aws.runs[run];
    Run {
        state: it.state.clone(),
        // Of a run that has ended only its state is looked at.
        actions: match it.state.is_final() {
            true => BTreeMap::new(),
            false => it
                .actions
                .iter()
                .map(|action| (action_id(run, action.stage), action.state.clone()))
                .collect(),
        },
    }
}

/// Lambda takes an asynchronous invocation for good, so that nothing handed over is lost.
async fn hand_over(cx: &Invocation, name: &str, event: Event, to: &Outbox) -> Result<(), Failed> {
    let send = async || {
        cx.step().await;
        to.borrow_mut().push(event);
        cx.step().await;
        Ok(String::new())
    };
    match cx
        .once(&ClaimKey::new("sweep", name), name, HANDED_OVER, send)
        .await
    {
        Ok(_) | Err(Failed::Busy) => Ok(()),
        Err(failed) => Err(failed),
    }
}

pub(crate) type Outbox = std::rc::Rc<std::cell::RefCell<Vec<Event>>>;

/// One sweep; one step that fails does not keep the others from being done.
pub(crate) async fn sweep(cx: Invocation, handed: Outbox) -> Result<(), Failed> {
    let mut failed = Vec::new();
    if !cx.has(Mutant::SweepBlindToAlarms) {
        failed.extend(alarms(&cx, &handed).await.err());
    }
    let mut known = BTreeMap::new();
    if !cx.has(Mutant::SweepBlindToRuns) {
        let count = cx.call(|aws| aws.runs.len()).await;
        for run in 0..count {
            failed.extend(look_at_run(&cx, run, &handed, &mut known).await.err());
            failed.extend(approval(&cx, run).await.err());
        }
    }
    if !cx.has(Mutant::SweepBlindToDeployments) {
        failed.extend(deployments(&cx, &known, &handed).await.err());
    }
    failed.into_iter().next().map_or(Ok(()), Err)
}

async fn alarms(cx: &Invocation, handed: &Outbox) -> Result<(), Failed> {
    let (group, red) = cx.call(|aws| (releases(aws), red(aws))).await;
    for unheard in unheard(cx.now, BAKE, &[group], &red) {
        for release in unheard.releases {
            cx.step().await;
            if cx.ledger.load_rollback(release.id.as_str()).await?.is_none() {
                let since = unheard.alarm.since;
                handed.borrow_mut().push(Event::AlarmRaised { since });
            }
        }
    }
    Ok(())
}

async fn look_at_run(
    cx: &Invocation,
    run: usize,
    handed: &Outbox,
    deployments: &mut BTreeMap<String, State>,
) -> Result<(), Failed> {
    let (subject, seen) = cx.call(|aws| (subject_of_run(aws, run), seen(aws, run))).await;
    let known = cx.ledger.load_timeline(&subject).await?.timeline;
    for (id, deployment) in &known.deployments {
        deployments.insert(id.clone(), deployment.progress.state.clone());
    }
    if behind(&subject, &known, &seen, REGION).is_some() {
        let name = format!("{run}-{}", seen.digest());
        hand_over(cx, &name, Event::RunChanged { run }, handed).await?;
    }
    Ok(())
}

async fn deployments(
    cx: &Invocation,
    known: &BTreeMap<String, State>,
    handed: &Outbox,
) -> Result<(), Failed> {
    let group = cx.call(|aws| releases(aws)).await;
    for (at, release) in group.releases.iter().enumerate() {
        if !is_behind(release, known.get(release.id.as_str())) {
            continue;
        }
        let subject = Subject::Deployment {
            id: release.id.clone(),
        };
        cx.step().await;
        let own = cx.ledger.load_timeline(&subject).await?.timeline;
        let state = own
            .deployments
            .get(release.id.as_str())
            .map(|own| &own.progress.state);
        if is_behind(release, state) || !tell::due(&subject, &own, REGION).is_empty() {
            let event = Event::DeploymentChanged {
                deployment: at,
                state: release.state.clone(),
                at: release.ended.unwrap_or(release.created),
            };
            hand_over(cx, &format!("{}-{}", release.id, release.state), event, handed).await?;
        }
    }
    Ok(())
}

async fn approval(cx: &Invocation, run: usize) -> Result<(), Failed> {
    let waiting = cx
        .call(|aws| Some((approval_of(aws, run), aws.runs[run].token.clone()?)))
        .await;
    let Some((approval, token)) = waiting else {
        return Ok(());
    };
    let key = ApprovalKey::new(&approval, token.hash());
    let stored = cx.ledger.load_approval(&key).await?;
    let name = asking_name(&approval, token.hash());
    let all_asked = cx.ledger.get_value(ASKED, &name, cx.now).await?.is_some();
    let record: Option<Record> = stored
        .as_ref()
        .map(|it| serde_json::from_value(it.record.clone()).unwrap());
    let votes: Vec<Vote> = stored
        .as_ref()
        .map(|it| serde_json::from_value(json!(it.votes)).unwrap())
        .unwrap_or_default();
    let found = Found::Waiting(Waiting {
        approval: &approval,
        record: record.as_ref(),
        all_asked,
        decided: stored.as_ref().is_some_and(|it| it.decision.is_some()),
        votes: &votes,
        newer_waits: false,
    });
    let (policy, keys) = (policy(), keys());
    let rules = Rules {
        policy: &policy,
        links: Links {
            answer_url: "https://answer.example/",
            keys: &keys,
        },
    };
    for due in decide(cx.now, &found, Some(rules)) {
        match due {
            Do::Repair { .. } => {
                request_approval(cx, run).await?;
                cx.ledger
                    .put_value(ASKED, &name, &json!(true), cx.now, Some(cx.now + REMEMBERED))
                    .await?;
            }
            Do::Tell(telling) => {
                cx.publish("sweep", &telling.name).await?;
            }
        }
    }
    Ok(())
}
