//! Asking again where AWS does not answer.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::info;

use crate::error::Error;

/// Between two attempts, each of them the SDK's own retries already.
const PAUSE: Duration = Duration::from_secs(1);
/// Then no further attempt begins: a bad version may have users meanwhile, and people wait to hear what was done.
const PATIENCE: Duration = Duration::from_secs(8);

/// Asks for something that can be asked twice; the last answer stands, whatever it is.
pub(crate) async fn again<T>(mut ask: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    let (mut pause, end) = (PAUSE, Instant::now() + PATIENCE);
    loop {
        match ask().await {
            Err(Error::Aws { call, failure }) if failure.retryable && Instant::now() + pause < end => {
                info!(call, %failure, "asking again");
                sleep(pause).await;
                pause *= 2;
            }
            answer => return answer,
        }
    }
}
