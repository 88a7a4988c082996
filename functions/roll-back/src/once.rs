//! One effect, once: the ledger's claims as this function uses them.

use jiff::SignedDuration;
use signalbox_bootstrap::Invocation;
use signalbox_ledger::{Claim, ClaimKey, ClaimOutcome};

use crate::app::App;
use crate::error::Error;

/// How long a claim on a finished effect is remembered: far longer than any event is redelivered.
pub(crate) const REMEMBERED: SignedDuration = SignedDuration::from_hours(90 * 24);

/// How long a second alarm's invocation waits for the first one's to be done with the same effect.
const PATIENCE: SignedDuration = SignedDuration::from_secs(5);

/// An effect that must happen once.
pub(crate) struct Claimed<'a> {
    pub(crate) key: ClaimKey,
    /// The deployment that it is about.
    pub(crate) what: &'a str,
    pub(crate) payload: &'a str,
}

/// Performs an effect under its claim; answers what it came to, now or when it was performed before. An
/// error where another invocation is at it and does not finish soon: alarms of one function fire together.
pub(crate) async fn once(
    app: &App,
    claimed: Claimed<'_>,
    invocation: &Invocation,
    effect: impl AsyncFnOnce(&Claim) -> Result<String, Error>,
) -> Result<String, Error> {
    let outcome = app
        .ledger
        .claim_patiently(
            &claimed.key,
            &invocation.request_id,
            invocation.now,
            invocation.deadline.duration_since(invocation.now),
            REMEMBERED,
            claimed.payload,
            PATIENCE,
        )
        .await?;
    let claim = match outcome {
        ClaimOutcome::Won(claim) => claim,
        ClaimOutcome::Done(result) => return Ok(result),
        ClaimOutcome::InProgress { .. } => return Err(Error::Busy(claimed.what.to_owned())),
        ClaimOutcome::Conflict => {
            return Err(Error::Deployment {
                deployment: claimed.what.to_owned(),
                problem: "the ledger holds the same rollback with another version".to_owned(),
            });
        }
    };
    match effect(&claim).await {
        Ok(result) => {
            app.ledger.complete(claim, &result, invocation.now).await?;
            Ok(result)
        }
        Err(error) => {
            // AWS refused: there was no effect, and nobody need wait for the deadline. After a fault of AWS's
            // own nobody knows.
            if matches!(&error, Error::Aws { failure, .. } if failure.refused) {
                app.ledger.release(claim, invocation.now).await?;
            }
            Err(error)
        }
    }
}
