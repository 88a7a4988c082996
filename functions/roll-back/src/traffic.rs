//! Whether the bad version still has traffic. A stop is accepted before anything has moved, what somebody else stopped
//! may keep its share, and CodeDeploy's own rollback may fail: it is looked at, not taken for granted.

use aws_sdk_lambda::operation::get_alias::GetAliasOutput;
use signalbox_bootstrap::Invocation;
use signalbox_decision::rollback::Deployment;
use signalbox_decision::text::shown;

use crate::aftermath::After;
use crate::app::App;
use crate::error::Error;
use crate::facts::newest_release;
use crate::waiting::{Trouble, given_up, wait};

/// Waits until the alias has left the version that was stopped; calls a person where it does not.
pub(crate) async fn left(app: &App, after: &After<'_>, invocation: &Invocation) -> Result<(), Error> {
    let undone = after.undone;
    let Deployment {
        id,
        function,
        alias,
        to: bad,
        ..
    } = undone;
    let look = async || match has_left(app, undone).await? {
        true => Ok(Some(())),
        false => Ok(is_released_since(app, after, invocation).await?.then_some(())),
    };
    let what = format!("the traffic of deployment {id} to leave version {bad}");
    let Err(cause) = wait(invocation, &what, look).await else {
        return Ok(());
    };
    let trouble = Trouble {
        kind: "page-traffic",
        deployment: id.as_str(),
        since: after.since,
        title: format!("Needs a person: version {bad} of {function} may still have traffic"),
        body: format!(
            "Deployment {id} of version {bad} was stopped, and the alias {} of {function} is not seen to have left that \
             version: {}.\n\nLook at the alias, and shift its traffic by hand.\n",
            shown(alias, 128),
            shown(&cause.to_string(), 1000),
        ),
    };
    given_up(app, &trouble, cause, invocation).await
}

async fn has_left(app: &App, undone: &Deployment) -> Result<bool, Error> {
    let answer = app
        .functions
        .get_alias()
        .function_name(undone.function.as_str())
        .name(&undone.alias)
        .send()
        .await;
    match answer {
        Ok(alias) => Ok(!serves(&alias, undone.to.as_str())),
        Err(error) => match Error::aws("GetAlias", &error) {
            // Through an alias that is gone no version has traffic.
            Error::Aws { failure, .. } if failure.is("ResourceNotFoundException") => Ok(true),
            error => Err(error),
        },
    }
}

fn serves(alias: &GetAliasOutput, version: &str) -> bool {
    let weights = alias
        .routing_config()
        .and_then(|routing| routing.additional_version_weights());
    alias.function_version() == Some(version)
        || weights.is_some_and(|weights| weights.get(version).is_some_and(|share| *share > 0.0))
}

/// Whoever has released since has decided what the alias names.
async fn is_released_since(app: &App, after: &After<'_>, invocation: &Invocation) -> Result<bool, Error> {
    let newest = newest_release(app, after.group, invocation.now).await?;
    Ok(newest.is_some_and(|newest| newest != after.undone.id.as_str()))
}
