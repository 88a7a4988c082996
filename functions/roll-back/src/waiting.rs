//! Waiting for what somebody else does, and calling a person where it does not come about.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use signalbox_bootstrap::Invocation;
use signalbox_ledger::ClaimKey;
use tokio::time::{Instant, sleep};

use crate::app::App;
use crate::error::Error;
use crate::once::{Claimed, once};
use crate::tell::publish;

/// What is kept of the invocation's time for saying how far it came.
const FAREWELL: SignedDuration = SignedDuration::from_secs(12);
/// Lambda tries an event again after one minute and after two more: past this age there is no further try.
const LAST_TRY: SignedDuration = SignedDuration::from_secs(150);
/// Between two looks at what somebody else is doing.
const PAUSE: Duration = Duration::from_millis(500);

/// Looks again and again until there is something, or this invocation's time is nearly over.
pub(crate) async fn wait<T>(
    invocation: &Invocation,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    let limit = Instant::now() + left(invocation);
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() >= limit {
            return Err(Error::Unsettled(format!("waited in vain for {what}")));
        }
        sleep(PAUSE).await;
    }
}

/// How much of the invocation's time there is for waiting.
fn left(invocation: &Invocation) -> Duration {
    let now = Timestamp::now().max(invocation.now);
    let left = invocation.deadline.duration_since(now) - FAREWELL;
    Duration::try_from(left).unwrap_or_default()
}

/// What a person is called for.
pub(crate) struct Trouble<'a> {
    /// The claim's kind: a person is called once for each kind of trouble with a deployment.
    pub(crate) kind: &'static str,
    /// The deployment that was rolled back.
    pub(crate) deployment: &'a str,
    /// When this function first tried.
    pub(crate) since: Timestamp,
    pub(crate) title: String,
    pub(crate) body: String,
}

/// What is only not settled yet is tried again with the event; of anything else a person is told, once.
pub(crate) async fn given_up(
    app: &App,
    trouble: &Trouble<'_>,
    cause: Error,
    invocation: &Invocation,
) -> Result<(), Error> {
    let may_settle = match &cause {
        // Alarms of one deployment fire together, and one of them is at it.
        Error::Unsettled(_) | Error::Busy(_) => true,
        Error::Ledger(error) => error.is_retryable(),
        Error::Aws { failure, .. } => failure.retryable,
        _ => false,
    };
    if may_settle && invocation.now.duration_since(trouble.since) < LAST_TRY {
        return Err(cause);
    }
    let claimed = Claimed {
        key: ClaimKey::new(trouble.kind, trouble.deployment),
        what: trouble.deployment,
        payload: "",
    };
    once(app, claimed, invocation, async |_| {
        publish(app, &trouble.title, &trouble.body).await?;
        Ok("paged".to_owned())
    })
    .await?;
    Err(cause)
}
