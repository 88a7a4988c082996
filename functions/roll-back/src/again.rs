//! Asking again where AWS does not answer.

use std::time::Duration;

use tracing::info;

use crate::error::Error;

/// Between two attempts, each of them the SDK's own retries already. No longer in all: a bad version may have users
/// meanwhile, and people wait to hear what was done.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// Asks for something that can be asked twice; the last answer stands, whatever it is.
pub(crate) async fn again<T>(mut ask: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    for pause in PAUSES {
        match ask().await {
            Err(Error::Aws { call, failure }) if failure.retryable => {
                info!(call, %failure, "asking again");
                tokio::time::sleep(pause).await;
            }
            answer => return answer,
        }
    }
    ask().await
}
