//! roll-back, step by step.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use signalbox_decision::names::{AlarmName, DeploymentGroupName, DeploymentId, FunctionName, VersionNumber};
use signalbox_decision::rollback::good::{Candidate, Standing};
use signalbox_decision::rollback::mapping::Link;
use signalbox_decision::rollback::{
    self, AlarmNow, Begun, Decision, Deployment, Facts, Group, Overtaken, Status,
};
use signalbox_decision::timeline::State;
use signalbox_decision::validation::preflight::Override;
use signalbox_ledger::ClaimKey;

use crate::aws::Aws;
use crate::mutant::Mutant;
use crate::shell::{Failed, Invocation, REMEMBERED};

pub(crate) const BAKE: SignedDuration = SignedDuration::from_mins(30);
const BEGUN: &str = "rollback-begun";

pub(crate) fn group_name() -> DeploymentGroupName {
    DeploymentGroupName::new("app-live").unwrap()
}

pub(crate) fn alarm_name() -> AlarmName {
    AlarmName::new("errors").unwrap()
}

fn deployment(aws: &Aws, at: usize, mutant: bool) -> Deployment {
    let it = &aws.deployments[at];
    let version = |version: usize| VersionNumber::new((version + 1).to_string()).unwrap();
    Deployment {
        id: it.id.clone(),
        status: match it.state {
            State::Succeeded => Status::Succeeded,
            State::Stopped => Status::Stopped,
            State::Failed => Status::Failed,
            _ => Status::InFlight,
        },
        is_rollback: it.undoes.is_some() && !mutant,
        by_stack: false,
        overrides: Override::None,
        created: it.created,
        completed: it.ended,
        function: FunctionName::new("app").unwrap(),
        alias: "live".to_owned(),
        from: Some(version(it.from)),
        to: version(it.to),
    }
}

fn facts(aws: &Aws, begun: Option<Begun>, mutant: Option<Mutant>) -> Facts {
    let unmarked = mutant == Some(Mutant::RollbackUnmarked);
    let newest = aws.deployments.len().checked_sub(1);
    let is_rollback = |at: usize| aws.deployments[at].undoes.is_some() && !unmarked;
    let undone = (0..aws.deployments.len()).rev().find(|at| !is_rollback(*at));
    let since = aws.red_since.or(aws.fired.last().copied());
    let undone = undone.filter(|_| newest.is_some_and(is_rollback));
    let behind = begun
        .as_ref()
        .map(|begun| index(aws, &begun.deployment))
        .filter(|at| Some(*at) != newest && Some(*at) != undone);
    let overtaken = behind.map(|at| Overtaken {
        deployment: deployment(aws, at, unmarked),
        by: (0..aws.deployments.len())
            .find(|by| aws.deployments[*by].undoes == Some(at))
            .map(|by| deployment(aws, by, unmarked))
            .map(|by| (by.id, by.to)),
    });
    let newest = newest.map(|at| deployment(aws, at, unmarked));
    let before = newest.as_ref().and_then(|newest| newest.from.clone());
    Facts {
        link: Some(Link::Listed),
        alarm: Some(AlarmNow {
            in_alarm: aws.red_since.is_some(),
            since: match mutant {
                Some(Mutant::AlarmTimeIgnored) => aws.now,
                _ => since.unwrap_or(aws.now),
            },
            suppressed: false,
            reason: String::new(),
        }),
        group: Group {
            name: group_name(),
            alarms: vec![alarm_name()],
            codedeploy_acts: false,
        },
        undone: undone.map(|at| deployment(aws, at, unmarked)),
        newest,
        candidates: before
            .into_iter()
            .map(|version| Candidate {
                version,
                standing: Standing::Good,
            })
            .collect(),
        begun,
        overtaken,
    }
}

fn index(aws: &Aws, id: &DeploymentId) -> usize {
    aws.deployments.iter().position(|it| it.id == *id).unwrap()
}

/// An alarm has fired, at `since`.
pub(crate) async fn roll_back(cx: Invocation, since: Timestamp) -> Result<(), Failed> {
    let event = format!("errors@{since}");
    let earlier = begun(&cx, &event).await?;
    if earlier.is_empty() {
        return judge(&cx, &event, None).await;
    }
    let mut failed = None;
    for begun in earlier {
        failed = judge(&cx, &event, Some(begun)).await.err().or(failed);
    }
    failed.map_or(Ok(()), Err)
}

async fn begun(cx: &Invocation, event: &str) -> Result<Vec<Begun>, Failed> {
    cx.step().await;
    let begun = cx.ledger.get_value(BEGUN, event, cx.now).await?;
    Ok(begun.map_or_else(Vec::new, |begun| serde_json::from_value(begun).unwrap()))
}

async fn judge(cx: &Invocation, event: &str, begun: Option<Begun>) -> Result<(), Failed> {
    for _ in 0..2 {
        let facts = cx.call(|aws| facts(aws, begun.clone(), cx.mutant)).await;
        let (deployment, action) = match rollback::decide(&alarm_name(), &facts, BAKE, cx.now) {
            Decision::StopDeployment { deployment } => {
                begin(cx, event, &deployment, false).await?;
                let stopped = cx
                    .call(|aws| {
                        let at = index(aws, &deployment.id);
                        aws.stop(at)
                    })
                    .await;
                if !stopped {
                    continue;
                }
                (deployment, "stopped")
            }
            Decision::Redeploy { undone, version } => {
                begin(cx, event, &undone, false).await?;
                let key = ClaimKey::new("redeploy", undone.id.as_str());
                let create = async || {
                    let made = cx.call(|aws| {
                        let to = version.as_str().parse::<usize>().unwrap() - 1;
                        let at = index(aws, &undone.id);
                        aws.redeploy(at, to)
                    });
                    Ok(made.await?.to_string())
                };
                cx.once(&key, version.as_str(), REMEMBERED, create).await?;
                (undone, "redeployed")
            }
            Decision::Finish { deployment, .. } => (deployment, "finished"),
            Decision::ReportOnly { deployment, .. } if deployment.status != Status::Failed => {
                begin(cx, event, &deployment, true).await?;
                (deployment, "reported")
            }
            Decision::ReportOnly { .. } | Decision::Page { .. } | Decision::Nothing { .. } => return Ok(()),
        };
        return aftermath(cx, &deployment, action).await;
    }
    Err(Failed::Busy)
}

async fn begin(cx: &Invocation, event: &str, deployment: &Deployment, is_report: bool) -> Result<(), Failed> {
    let what = Begun {
        deployment: deployment.id.clone(),
        is_report,
        since: Some(cx.now),
    };
    let add = |begun: Option<Value>| {
        let mut begun: Vec<Begun> =
            begun.map_or_else(Vec::new, |begun| serde_json::from_value(begun).unwrap());
        begun.retain(|earlier| earlier.deployment != what.deployment);
        begun.push(what.clone());
        json!(begun)
    };
    cx.step().await;
    let expires = Some(cx.now + REMEMBERED);
    if cx.mutant == Some(Mutant::NoteOverwritten) {
        let alone = json!([what]);
        return Ok(cx.ledger.put_value(BEGUN, event, &alone, cx.now, expires).await?);
    }
    Ok(cx.ledger.change_value(BEGUN, event, add, cx.now, expires).await?)
}

/// The stage is frozen, the ledger remembers, people are told; each once.
async fn aftermath(cx: &Invocation, deployment: &Deployment, action: &str) -> Result<(), Failed> {
    let id = deployment.id.as_str();
    let freeze = async || {
        cx.call(|aws| aws.frozen = true).await;
        Ok(String::new())
    };
    cx.once(&ClaimKey::new("freeze", id), "", REMEMBERED, freeze)
        .await?;
    let tell = async || {
        cx.step().await;
        cx.ledger.record_rollback(id, json!({ "action": action })).await?;
        cx.call(|aws| aws.published.push(format!("rollback/{id}"))).await;
        Ok(action.to_owned())
    };
    cx.once(&ClaimKey::new("rollback", id), "", REMEMBERED, tell)
        .await?;
    Ok(())
}
