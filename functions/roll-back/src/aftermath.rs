//! What follows a rollback, whoever did it: the stage is frozen, since the pipeline still holds the bad
//! revision; the bad code is remembered; the run is marked; the ledger keeps a record; people are told; and
//! the stack follows where it would part from the alias.
//! Each once: whoever enables the transition again has decided, and the alarm's next flutter must not undo
//! that.

use aws_sdk_codepipeline::types::StageTransitionType;
use jiff::Timestamp;
use serde_json::json;
use signalbox_bootstrap::Invocation;
use signalbox_decision::names::{DeploymentGroupName, StageName};
use signalbox_decision::rollback::Deployment;
use signalbox_decision::rollback::stack::StackBack;
use signalbox_decision::rollback::words::{Action, Cause, Done, Told, freeze_reason};
use signalbox_decision::timeline::RolledBack;
use signalbox_ledger::{BadVersion, ClaimKey};
use tracing::warn;

use crate::again::again;
use crate::app::App;
use crate::error::Error;
use crate::once::{Claimed, once};
use crate::run::{self, Attributed};
use crate::stack::{self, Back};
use crate::tell;
use crate::traffic;
use crate::versions::code_sha256;

/// What was rolled back.
pub(crate) struct After<'a> {
    pub(crate) group: &'a DeploymentGroupName,
    pub(crate) undone: &'a Deployment,
    pub(crate) action: &'a Action,
    pub(crate) cause: &'a Cause,
    /// Since when the cause was there.
    pub(crate) cause_at: Option<Timestamp>,
    pub(crate) run: &'a Attributed,
    /// When this function first tried: how long what does not come about is waited for depends on it.
    pub(crate) since: Timestamp,
}

/// Does all that follows. What has to be waited for comes last: people are told first.
pub(crate) async fn follow(app: &App, after: &After<'_>, invocation: &Invocation) -> Result<(), Error> {
    let back = after.back();
    let plan = match &back {
        Some(back) => match again(async || stack::plan(app, back).await).await {
            // The alias is back. People are told that the stack is not, and why.
            Err(Error::Aws { call, failure }) => {
                warn!(call, %failure, "the stack does not follow by itself");
                StackBack::ByHand {
                    reason: format!("{call}: {failure}"),
                }
            }
            plan => plan?,
        },
        None => StackBack::NotNeeded,
    };
    let words = back.as_ref().and_then(|back| stack::in_words(back, &plan));
    close_behind(app, after, words.as_deref(), invocation).await?;
    match &back {
        Some(back) => stack::follow(app, back, &plan, invocation).await,
        None => traffic::left(app, after, invocation).await,
    }
}

impl<'a> After<'a> {
    /// Where the bad version had all the traffic, its stack has to follow it back.
    fn back(&self) -> Option<Back<'a>> {
        let Action::Redeployed { by, version } = self.action else {
            return None;
        };
        Some(Back {
            group: self.group,
            undone: self.undone,
            run: self.run,
            by,
            good: version,
            since: self.since,
        })
    }
}

async fn close_behind(
    app: &App,
    after: &After<'_>,
    stack: Option<&str>,
    invocation: &Invocation,
) -> Result<(), Error> {
    let id = after.undone.id.as_str();
    let claimed = |kind| Claimed {
        key: ClaimKey::new(kind, id),
        what: id,
        payload: "",
    };
    let frozen = once(app, claimed("freeze"), invocation, async |_| {
        freeze(
            app,
            &app.config.release_stage,
            &freeze_reason(after.cause, after.undone),
        )
        .await?;
        let value = json!({
            "frozen": true, "by": "Signalbox", "reason": after.cause.in_short(),
            "at": invocation.now, "deployment": after.undone.id,
        });
        note_freeze(app, &app.config.release_stage, value, invocation.now).await?;
        Ok("frozen".to_owned())
    })
    .await;
    let remembered = remember(app, after, invocation.now).await;
    // That the stage could not be frozen, or the code not remembered, is one thing more to tell people, and
    // no reason to tell nothing.
    let (frozen_done, remembered_done) = (done(&frozen), done(&remembered));
    let (Some(frozen_done), Some(remembered_done)) = (frozen_done, remembered_done) else {
        frozen?;
        return remembered.map(drop);
    };
    let not_remembered = match &remembered {
        Ok(Memory::NotRemembered(why)) => Err(why.clone()),
        _ => remembered_done,
    };
    once(app, claimed("rollback"), invocation, async |_| {
        close(app, after, &frozen_done, &not_remembered, stack, invocation.now).await?;
        Ok(after.action.verb().to_owned())
    })
    .await?;
    frozen?;
    remembered.map(drop)
}

/// What a step came to, as people are told; `None` where everything has to be tried again.
fn done<T>(step: &Result<T, Error>) -> Option<Done> {
    match step {
        Ok(_) => Some(Ok(())),
        Err(Error::Aws { failure, .. }) => Some(Err(failure.to_string())),
        Err(_) => None,
    }
}

/// Marks the run, records the rollback and tells people.
async fn close(
    app: &App,
    after: &After<'_>,
    frozen: &Done,
    remembered: &Done,
    stack: Option<&str>,
    now: Timestamp,
) -> Result<(), Error> {
    let undone = after.undone;
    let acted_at = match after.action {
        Action::Stopped | Action::Reported => undone.completed,
        Action::Redeployed { .. } => None,
    };
    let acted_at = acted_at.unwrap_or_else(Timestamp::now);
    let run = match after.run {
        Ok(run) => {
            let rolled_back = RolledBack {
                at: acted_at,
                action: after.action.verb().to_owned(),
                cause: after.cause.in_short(),
            };
            run::mark(app, run, undone.id.as_str(), &rolled_back, now).await?;
            Ok(run::with_people(app, run.clone()).await?)
        }
        Err(none) => Err(none.why.as_str()),
    };
    let run = run.as_ref().map_err(|why| *why);
    let (alarm, by) = match after.cause {
        Cause::Alarm { alarm, .. } => (Some(alarm), None),
        Cause::Person { by, .. } => (None, Some(by)),
    };
    let reason = match after.cause {
        Cause::Alarm { reason, .. } | Cause::Person { reason, .. } => reason,
    };
    let record = json!({
        "deployment": undone.id, "group": after.group, "alarm": alarm, "alarm_at": after.cause_at,
        "by": by, "reason": reason,
        "stopped_at": acted_at, "action": after.action.verb(),
        "function": undone.function, "alias": undone.alias,
        "from_version": undone.to, "to_version": after.action.good(undone),
        "frozen_stage": frozen.is_ok().then_some(&app.config.release_stage),
        "remembered": remembered.is_ok(),
        "stack": stack,
        "run": run.ok().map(|run| &run.execution),
        "author": run.ok().and_then(|run| run.author.as_ref()),
        "approvers": run.ok().map(|run| &run.approvers),
    });
    app.ledger.record_rollback(undone.id.as_str(), record).await?;
    let told = Told {
        undone,
        action: after.action,
        cause: after.cause,
        run,
        pipeline: &app.config.pipeline,
        stage: &app.config.release_stage,
        roll_back: &app.config.own_name,
        frozen,
        remembered,
        stack,
    };
    tell::publish(app, &told.subject(), &told.body()).await
}

enum Memory {
    Remembered,
    /// Why not.
    NotRemembered(String),
}

/// Remembers the code that was rolled back, so that it is not released again under another number.
async fn remember(app: &App, after: &After<'_>, now: Timestamp) -> Result<Memory, Error> {
    let undone = after.undone;
    let Some(code) = code_sha256(app, &undone.function, &undone.to).await? else {
        return Ok(Memory::NotRemembered(format!(
            "version {} no longer exists",
            undone.to
        )));
    };
    if let Some(good) = after.action.good(undone)
        && code_sha256(app, &undone.function, good).await? == Some(code.clone())
    {
        return Ok(Memory::NotRemembered(format!(
            "it is the same code as that of version {good}, to which the traffic went back; what differs is the \
             function's configuration"
        )));
    }
    let bad = BadVersion {
        function: undone.function.clone(),
        code_sha256: code,
        version: undone.to.clone(),
        deployment: undone.id.clone(),
        alarm: after.cause.in_short(),
        at: now,
        allowed: None,
    };
    app.ledger.remember_bad_version(&bad).await?;
    Ok(Memory::Remembered)
}

/// Disables the way into a stage.
pub(crate) async fn freeze(app: &App, stage: &StageName, reason: &str) -> Result<(), Error> {
    app.pipelines
        .disable_stage_transition()
        .pipeline_name(app.config.pipeline.as_str())
        .stage_name(stage.as_str())
        .transition_type(StageTransitionType::Inbound)
        .reason(reason)
        .send()
        .await
        .map(drop)
        .map_err(|error| Error::aws("DisableStageTransition", &error))
}

/// Notes who froze or unfroze a stage, and why: of a freeze AWS keeps a short reason, of its end nothing.
pub(crate) async fn note_freeze(
    app: &App,
    stage: &StageName,
    value: serde_json::Value,
    now: Timestamp,
) -> Result<(), Error> {
    let name = format!("{}/{stage}", app.config.pipeline);
    app.ledger.put_value("freeze", &name, &value, now, None).await?;
    Ok(())
}
