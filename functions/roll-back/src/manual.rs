//! A person's command: parse, note, gather, decide, execute, note what it came to.
//!
//! Whoever may invoke the function may command. The audit has what they say of themselves; who they are to
//! AWS, CloudTrail has.

mod standing;
mod unfinished;

use aws_sdk_codepipeline::types::StageTransitionType;
use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_bootstrap::Invocation;
use signalbox_decision::names::{DeploymentGroupName, DeploymentId, StageName, VersionNumber};
use signalbox_decision::rollback::command::{Command, Person, Request};
use signalbox_decision::rollback::manual::{Decision, decide};
use signalbox_decision::rollback::words::{Action, Cause, transition_reason};
use signalbox_decision::rollback::{Deployment, Status};
use signalbox_decision::validation::preflight::Override;
use signalbox_ledger::{Allowed, ClaimKey};
use tracing::info;

use crate::aftermath::{After, follow, freeze, note_freeze};
use crate::app::App;
use crate::effects::{Way, create, deployment_id, stop};
use crate::error::Error;
use crate::handler::{Outcome, ROUNDS};
use crate::once::{Claimed, once};
use crate::versions::code_sha256;
use standing::{Found, find, status};
use unfinished::{Note, finish};

pub(crate) async fn handle(event: Value, app: &App, invocation: &Invocation) -> Result<Outcome, Error> {
    let command = Command::parse(event)?;
    if command.request == Request::Status {
        return status(app, invocation.now).await;
    }
    // What cannot be recorded is not done.
    note(app, &command, None, invocation).await?;
    let outcome = carry_out(app, &command, invocation).await;
    let came_to = match &outcome {
        Ok(outcome) => json!(outcome),
        Err(error) => json!({ "error": error.to_string() }),
    };
    note(app, &command, Some(came_to), invocation).await?;
    outcome
}

async fn note(
    app: &App,
    command: &Command,
    came_to: Option<Value>,
    invocation: &Invocation,
) -> Result<(), Error> {
    let (name, target, person) = match &command.request {
        Request::RollBack {
            version,
            group,
            person,
        } => ("roll-back", json!([version, group]), Some(person)),
        Request::AllowVersion {
            version,
            group,
            person,
        } => ("allow-version", json!([version, group]), Some(person)),
        Request::Freeze { stage, person } => ("freeze", json!([stage]), Some(person)),
        Request::Unfreeze { stage, person } => ("unfreeze", json!([stage]), Some(person)),
        Request::Status => ("status", Value::Null, None),
    };
    let line = json!({
        "command": name, "target": target, "by": person.map(|person| &person.by),
        "reason": person.map(|person| &person.reason), "dry_run": command.dry_run,
        "at": invocation.now, "came_to": came_to,
    });
    let pipeline = app.config.pipeline.as_str();
    app.ledger
        .record_command(pipeline, &invocation.request_id, line, invocation.now)
        .await?;
    Ok(())
}

async fn carry_out(app: &App, command: &Command, invocation: &Invocation) -> Result<Outcome, Error> {
    let dry_run = command.dry_run;
    let own_group =
        |group: &Option<DeploymentGroupName>| group.clone().unwrap_or_else(|| app.config.group.clone());
    let release =
        |stage: &Option<StageName>| stage.clone().unwrap_or_else(|| app.config.release_stage.clone());
    match &command.request {
        Request::RollBack {
            version,
            group,
            person,
        } => roll_back(app, version, &own_group(group), person, dry_run, invocation).await,
        Request::AllowVersion {
            version,
            group,
            person,
        } => allow(app, version, &own_group(group), person, dry_run, invocation.now).await,
        Request::Freeze { stage, person } => {
            set_transition(app, &release(stage), person, true, dry_run, invocation.now).await
        }
        Request::Unfreeze { stage, person } => {
            set_transition(app, &release(stage), person, false, dry_run, invocation.now).await
        }
        Request::Status => status(app, invocation.now).await,
    }
}

async fn roll_back(
    app: &App,
    version: &VersionNumber,
    group: &DeploymentGroupName,
    person: &Person,
    dry_run: bool,
    invocation: &Invocation,
) -> Result<Outcome, Error> {
    for _ in 0..ROUNDS {
        let found = match find(app, group, Some(version), invocation.now).await? {
            Ok(found) => found,
            Err(reason) => return Ok(Outcome::Refused { reason }),
        };
        let decision = decide(version, &found.facts);
        info!(%group, %version, ?decision, "decided on a command");
        match decision {
            Decision::Refuse { reason } => return Ok(Outcome::Refused { reason }),
            Decision::Nothing { reason } if dry_run => return Ok(Outcome::Ignored { reason }),
            Decision::Nothing { reason } => {
                let finished = finish(app, &found, version, invocation).await?;
                return Ok(finished.unwrap_or(Outcome::Ignored { reason }));
            }
            Decision::StopDeployment { deployment } if dry_run => {
                return Ok(Outcome::Would {
                    action: format!("stop deployment {}", deployment.id),
                });
            }
            Decision::StopDeployment { deployment } => {
                let note = Note::new(Some(&deployment), &deployment.to, person, invocation.now);
                note.keep(app, &found, version, invocation).await?;
                if stop(app, &deployment.id).await? {
                    tell(app, &found, &deployment, &Action::Stopped, person, invocation).await?;
                    note.finished(app, &found, version, invocation).await?;
                    return Ok(came_to(&deployment, &Action::Stopped));
                }
                info!(deployment = %deployment.id, "it finished first; deciding again");
            }
            Decision::Redeploy { from, .. } if dry_run => {
                return Ok(Outcome::Would {
                    action: format!("deploy version {version} in the place of version {from}, all at once"),
                });
            }
            Decision::Redeploy { undone, from } => {
                let undone = undone.map(|undone| *undone);
                return redeploy(app, &found, undone, (&from, version), person, invocation).await;
            }
        }
    }
    Err(Error::Unsettled(format!(
        "deployment group {group} kept changing while its deployment was being stopped"
    )))
}

async fn redeploy(
    app: &App,
    found: &Found,
    undone: Option<Deployment>,
    (from, to): (&VersionNumber, &VersionNumber),
    person: &Person,
    invocation: &Invocation,
) -> Result<Outcome, Error> {
    let facts = &found.facts;
    let newest = found.known.as_ref().map_or("none", |newest| newest.id.as_str());
    // The same command sent twice finds the same newest deployment; one sent after another release, a newer one.
    let claimed = Claimed {
        key: ClaimKey::new("redeploy-by-hand", format!("{}/{newest}/{to}", found.group)),
        what: found.group.as_str(),
        payload: to.as_str(),
    };
    let way = Way {
        group: &found.group,
        function: &facts.function,
        alias: &facts.alias,
        from,
        to,
        why: format!("version {from}: {}: {}", person.by, person.reason),
    };
    // It may have been released long ago.
    let brought = |known: &Deployment| known.status == Status::Succeeded && known.to == *from;
    let undone = undone.or_else(|| found.known.clone().filter(brought));
    let note = Note::new(undone.as_ref(), from, person, invocation.now);
    note.keep(app, found, to, invocation).await?;
    let made = once(app, claimed, invocation, async |_| create(app, &way).await).await?;
    let by = deployment_id(&made)?;
    let undone = undone.unwrap_or_else(|| undone_by(&by, found, from, invocation.now));
    let action = Action::Redeployed {
        by,
        version: to.clone(),
    };
    tell(app, found, &undone, &action, person, invocation).await?;
    note.finished(app, found, to, invocation).await?;
    Ok(came_to(&undone, &action))
}

/// Where nobody knows which deployment brought what goes away, what follows is kept under the one that takes it away;
/// and a stack, if there is one, is asked about.
fn undone_by(by: &DeploymentId, found: &Found, from: &VersionNumber, at: Timestamp) -> Deployment {
    Deployment {
        id: by.clone(),
        status: Status::Succeeded,
        is_rollback: false,
        by_stack: true,
        overrides: Override::None,
        created: at,
        completed: None,
        function: found.facts.function.clone(),
        alias: found.facts.alias.clone(),
        from: None,
        to: from.clone(),
    }
}

fn came_to(undone: &Deployment, action: &Action) -> Outcome {
    let id = undone.id.to_string();
    match action {
        Action::Redeployed { by, .. } => Outcome::Redeployed {
            undone: id,
            deployment: by.to_string(),
        },
        Action::Stopped | Action::Reported => Outcome::Stopped { deployment: id },
    }
}

/// All that follows from a command that has had its effect.
async fn tell(
    app: &App,
    found: &Found,
    undone: &Deployment,
    action: &Action,
    person: &Person,
    invocation: &Invocation,
) -> Result<(), Error> {
    let cause = Cause::Person {
        by: person.by.clone(),
        reason: person.reason.clone(),
    };
    let after = After {
        group: &found.group,
        undone,
        action,
        cause: &cause,
        cause_at: Some(invocation.now),
        run: &found.run,
        // Nobody sends the command again by itself: what does not come about now, a person is told.
        since: Timestamp::UNIX_EPOCH,
    };
    follow(app, &after, invocation).await
}

async fn allow(
    app: &App,
    version: &VersionNumber,
    group: &DeploymentGroupName,
    person: &Person,
    dry_run: bool,
    now: Timestamp,
) -> Result<Outcome, Error> {
    let found = match find(app, group, None, now).await? {
        Ok(found) => found,
        Err(reason) => return Ok(Outcome::Refused { reason }),
    };
    let function = &found.facts.function;
    let Some(code) = code_sha256(app, function, version).await? else {
        return Ok(Outcome::Refused {
            reason: format!("version {version} of {function} does not exist"),
        });
    };
    let held = app.ledger.bad_version(function, &code).await?;
    let Some(held) = held.filter(|bad| bad.allowed.is_none()) else {
        return Ok(Outcome::Ignored {
            reason: format!("nothing is held against version {version} of {function}"),
        });
    };
    if dry_run {
        return Ok(Outcome::Would {
            action: format!(
                "allow the code of version {version} of {function}, which was rolled back for {}",
                held.alarm
            ),
        });
    }
    let allowed = Allowed {
        by: person.by.clone(),
        reason: person.reason.clone(),
        at: now,
    };
    app.ledger.allow_bad_version(function, &code, &allowed).await?;
    Ok(Outcome::Allowed {
        function: function.to_string(),
        version: version.to_string(),
        code_sha256: code,
    })
}

async fn set_transition(
    app: &App,
    stage: &StageName,
    person: &Person,
    frozen: bool,
    dry_run: bool,
    now: Timestamp,
) -> Result<Outcome, Error> {
    let pipeline = &app.config.pipeline;
    if dry_run {
        let verb = if frozen { "disable" } else { "enable" };
        return Ok(Outcome::Would {
            action: format!("{verb} the inbound transition of stage {stage} of pipeline {pipeline}"),
        });
    }
    let changed = if frozen {
        let reason = transition_reason(&format!("Frozen by {} - {}", person.by, person.reason));
        freeze(app, stage, &reason).await
    } else {
        app.pipelines
            .enable_stage_transition()
            .pipeline_name(pipeline.as_str())
            .stage_name(stage.as_str())
            .transition_type(StageTransitionType::Inbound)
            .send()
            .await
            .map(drop)
            .map_err(|error| Error::aws("EnableStageTransition", &error))
    };
    match changed {
        Ok(()) => {}
        Err(Error::Aws { failure, .. }) if failure.is("StageNotFoundException") => {
            return Ok(Outcome::Refused {
                reason: format!("pipeline {pipeline} has no stage {stage}"),
            });
        }
        Err(error) => return Err(error),
    }
    let value = json!({ "frozen": frozen, "by": person.by, "reason": person.reason, "at": now });
    note_freeze(app, stage, value, now).await?;
    let stage = stage.to_string();
    Ok(if frozen {
        Outcome::Frozen { stage }
    } else {
        Outcome::Unfrozen { stage }
    })
}
