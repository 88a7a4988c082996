//! A job's first event, once. CodePipeline hands each over at least once: a second delivery must not ask the application
//! everything anew, nor begin a watch again that goes on.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use signalbox_bootstrap::Invocation;
use signalbox_ledger::{Claim, ClaimKey, ClaimOutcome};
use tokio::time::Instant;
use tracing::warn;

use crate::app::App;
use crate::error::Error;

/// CodePipeline forgets a job sooner.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Between two looks at what another invocation does.
const STEP: Duration = Duration::from_secs(2);

/// What checks need at least of an invocation's time. One that has waited longer leaves the job to its own retry, which
/// has a whole time-out again.
const ENOUGH: SignedDuration = SignedDuration::from_secs(60);

/// Whose turn it is.
pub(crate) enum Turn {
    /// This invocation's, from this time on; without a claim where the ledger cannot tell.
    Ours(Option<Claim>, Timestamp),
    /// Nobody's: the event was answered, with this.
    Over(String),
}

/// Claims a job's first event. Where another invocation is at it, this one waits: should that one have died, nobody else would
/// tell CodePipeline anything, and its claim lasts until its deadline.
pub(crate) async fn turn(app: &App, job: &str, invocation: &Invocation) -> Result<Turn, Error> {
    let key = ClaimKey::new("validate-job", job);
    let began = Instant::now();
    loop {
        let now = invocation
            .now
            .saturating_add(began.elapsed())
            .unwrap_or(invocation.now);
        let left = invocation.deadline.duration_since(now);
        let claim = app
            .ledger
            .claim(&key, &invocation.request_id, now, left, REMEMBERED, job);
        match claim.await {
            Ok(ClaimOutcome::Won(claim)) => return Ok(Turn::Ours(Some(claim), now)),
            Ok(ClaimOutcome::Done(answer)) => return Ok(Turn::Over(answer)),
            Ok(ClaimOutcome::InProgress { .. }) if left > ENOUGH => tokio::time::sleep(STEP).await,
            Ok(ClaimOutcome::InProgress { .. }) => return Err(Error::Busy(job.to_owned())),
            // Cannot be: what is claimed derives from the key. If it were, a job that nobody answers would be worse.
            Ok(ClaimOutcome::Conflict) => return Ok(Turn::Ours(None, now)),
            // As with the verdict: what the ledger cannot tell is judged again, and AWS keeps the first answer.
            Err(error) => {
                warn!(cause = %error, job, "it is not known whether another invocation is at the job");
                return Ok(Turn::Ours(None, now));
            }
        }
    }
}

/// Ends the turn, with the answer that was given. Without one nobody is at the job any more, and a retry need not wait
/// for the claim's deadline: AWS refuses a second answer where the first did arrive.
pub(crate) async fn end(app: &App, claim: Option<Claim>, answer: Option<&str>, now: Timestamp) {
    let Some(claim) = claim else { return };
    let ended = match answer {
        Some(answer) => app.ledger.complete(claim, answer, now).await,
        None => app.ledger.release(claim, now).await,
    };
    if let Err(error) = ended {
        warn!(cause = %error, "the claim of the job could not be ended; it ends at its deadline");
    }
}
