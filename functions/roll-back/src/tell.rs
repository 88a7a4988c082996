//! Tells people what was done, or that somebody must do it.

use signalbox_bootstrap::Invocation;
use signalbox_decision::text::{shown, subject};
use signalbox_events::alarm::AlarmChange;
use signalbox_ledger::ClaimKey;

use crate::app::App;
use crate::error::Error;
use crate::once::{Claimed, once};

/// Calls a person, once for each kind of trouble with a deployment, however often the alarm flutters.
pub(crate) async fn page(
    app: &App,
    change: &AlarmChange,
    kind: &str,
    deployment: &str,
    reason: &str,
    invocation: &Invocation,
) -> Result<(), Error> {
    let claimed = Claimed {
        key: ClaimKey::new(kind, deployment),
        what: deployment,
        payload: "",
    };
    once(app, claimed, invocation, async |_| {
        let body = format!(
            "Alarm {} fired, and nothing was rolled back: {}. A person must decide.\n",
            shown(change.alarm.as_str(), 255),
            shown(reason, 1000)
        );
        publish(app, &format!("Needs a person: alarm {}", change.alarm), &body).await?;
        Ok("paged".to_owned())
    })
    .await
    .map(drop)
}

pub(crate) async fn publish(app: &App, title: &str, body: &str) -> Result<(), Error> {
    app.topics
        .publish()
        .topic_arn(&app.config.notice_topic)
        .subject(subject(title))
        .message(body)
        .send()
        .await
        .map(drop)
        .map_err(|error| Error::aws("Publish", &error))
}
