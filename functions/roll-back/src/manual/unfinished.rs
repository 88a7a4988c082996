//! A command that broke off between its effect and what follows from that: whoever sends it again finds the version in
//! place, and the freeze, the memory and the notice are made up for.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use signalbox_bootstrap::Invocation;
use signalbox_decision::names::{DeploymentId, VersionNumber};
use signalbox_decision::rollback::command::Person;
use signalbox_decision::rollback::words::Action;
use signalbox_decision::rollback::{Deployment, Status};
use tracing::error;

use super::standing::Found;
use super::{came_to, tell, undone_by};
use crate::app::App;
use crate::error::Error;
use crate::facts::deployment;
use crate::handler::Outcome;
use crate::once::REMEMBERED;

/// The ledger's kind: by group and version.
const KIND: &str = "rollback-by-hand";

/// How far CodeDeploy's clock and this machine's may be apart.
const CLOCKS: SignedDuration = SignedDuration::from_mins(1);

/// What a command set out to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The deployment that brought what goes away, if it is known.
    pub(super) undone: Option<DeploymentId>,
    /// The version that goes away.
    pub(super) from: VersionNumber,
    by: String,
    reason: String,
    at: Timestamp,
    /// Whether all that follows was done.
    finished: bool,
}

impl Note {
    /// Of a command that is about to have its effect.
    pub(super) fn new(
        undone: Option<&Deployment>,
        from: &VersionNumber,
        person: &Person,
        at: Timestamp,
    ) -> Self {
        Self {
            undone: undone.map(|undone| undone.id.clone()),
            from: from.clone(),
            by: person.by.clone(),
            reason: person.reason.clone(),
            at,
            finished: false,
        }
    }

    /// Keeps it, before the effect.
    pub(super) async fn keep(
        &self,
        app: &App,
        found: &Found,
        version: &VersionNumber,
        invocation: &Invocation,
    ) -> Result<(), Error> {
        let value = serde_json::to_value(self).map_err(|error| Error::Unsettled(error.to_string()))?;
        let expires = invocation.now.saturating_add(REMEMBERED).ok();
        app.ledger
            .put_value(KIND, &name(found, version), &value, invocation.now, expires)
            .await?;
        Ok(())
    }

    /// Notes that all that follows was done.
    pub(super) async fn finished(
        mut self,
        app: &App,
        found: &Found,
        version: &VersionNumber,
        invocation: &Invocation,
    ) -> Result<(), Error> {
        self.finished = true;
        self.keep(app, found, version, invocation).await
    }
}

fn name(found: &Found, version: &VersionNumber) -> String {
    format!("{}/{version}", found.group)
}

/// Finishes what an earlier command of the same version began, where it has had its effect; `None` where there is
/// nothing to finish.
pub(super) async fn finish(
    app: &App,
    found: &Found,
    version: &VersionNumber,
    invocation: &Invocation,
) -> Result<Option<Outcome>, Error> {
    let kept = app
        .ledger
        .get_value(KIND, &name(found, version), invocation.now)
        .await?;
    let Some(kept) = kept else {
        return Ok(None);
    };
    let note: Note = match serde_json::from_value(kept) {
        Ok(note) => note,
        Err(problem) => {
            error!(%version, %problem, "the ledger's note of an earlier command cannot be read; taken for none");
            return Ok(None);
        }
    };
    if note.finished {
        return Ok(None);
    }
    let Some((undone, action)) = effect(app, found, version, &note).await? else {
        return Ok(None);
    };
    let person = Person {
        by: note.by.clone(),
        reason: note.reason.clone(),
    };
    tell(app, found, &undone, &action, &person, invocation).await?;
    note.finished(app, found, version, invocation).await?;
    Ok(Some(came_to(&undone, &action)))
}

/// What the earlier command undid, and how, if it did.
async fn effect(
    app: &App,
    found: &Found,
    version: &VersionNumber,
    note: &Note,
) -> Result<Option<(Deployment, Action)>, Error> {
    let undone = match &note.undone {
        Some(id) => Some(deployment(app, id.as_str()).await?),
        None => None,
    };
    if let Some(stopped) = undone.as_ref().filter(|undone| undone.status == Status::Stopped) {
        return Ok(Some((stopped.clone(), Action::Stopped)));
    }
    let taker = found
        .known
        .as_ref()
        .filter(|newest| newest.is_rollback && newest.to == *version && newest.created + CLOCKS >= note.at);
    let Some(taker) = taker else {
        return Ok(None);
    };
    let action = Action::Redeployed {
        by: taker.id.clone(),
        version: version.clone(),
    };
    let undone = undone.unwrap_or_else(|| undone_by(&taker.id, found, &note.from, note.at));
    Ok(Some((undone, action)))
}
