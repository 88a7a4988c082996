//! The start of a function, and the way of an event to its handler.

use std::fmt::Debug;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::Value;
use tracing::{Level, error, info};

use crate::{Aws, ConfigErrors, Failure, ProcessEnvironment, Reader};

/// What is known of one invocation beside its event.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// When the invocation began.
    pub now: Timestamp,
    /// When Lambda ends it, by the function's time-out.
    pub deadline: Timestamp,
    /// Lambda's request id; the same for every retry of one event.
    pub request_id: String,
}

/// Runs a function: configuration and clients once, by `start`; then each event, by `handle`.
///
/// Ends only when Lambda ends the process, or with a failure code where the configuration is wrong:
/// every mistake is in the log, and Lambda reports the failed init.
#[expect(
    clippy::needless_pass_by_value,
    reason = "a function's `main` hands both over for good"
)]
pub fn run<A, O, E>(
    start: impl AsyncFnOnce(Reader, Aws) -> Result<A, ConfigErrors>,
    handle: impl AsyncFn(Value, &A, Invocation) -> Result<O, E>,
) -> ExitCode
where
    O: Serialize + Debug,
    E: Into<Failure>,
{
    let mut env = Reader::new(ProcessEnvironment);
    let level = env.or("LOG_LEVEL", Level::INFO, "one of error, warn, info, debug, trace");
    crate::telemetry::start(level.unwrap_or(Level::INFO));
    let aws = Aws::read(&mut env);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => {
            error!(%cause, "the async runtime could not start");
            return ExitCode::FAILURE;
        }
    };
    let served = runtime.block_on(async {
        let app = start(env, aws.unwrap_or_else(Aws::unusable))
            .await
            .map_err(|mistakes| mistakes.to_string())?;
        let (app, handle) = (&app, &handle);
        lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
            serve(event, app, handle).await
        }))
        .await
        .map_err(|error| error.to_string())
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            error!(%cause, "the function cannot start");
            ExitCode::FAILURE
        }
    }
}

async fn serve<A, O, E>(
    event: LambdaEvent<Value>,
    app: &A,
    handle: &impl AsyncFn(Value, &A, Invocation) -> Result<O, E>,
) -> Result<Value, Diagnostic>
where
    O: Serialize + Debug,
    E: Into<Failure>,
{
    let invocation = Invocation {
        now: Timestamp::now(),
        deadline: timestamp(event.context.deadline()),
        request_id: event.context.request_id.clone(),
    };
    let request_id = invocation.request_id.clone();
    // A failure is logged here, once, at the boundary where it is handled.
    let failed = |failure: Failure| {
        let kind = if failure.is_retryable() {
            "Retryable"
        } else {
            "NonRetryable"
        };
        error!(
            request_id,
            kind,
            cause = failure.message(),
            "the event was not handled"
        );
        Diagnostic::from(failure)
    };
    let limit = limit(&invocation);
    let outcome = tokio::time::timeout(limit, handle(event.payload, app, invocation))
        .await
        .map_err(|_| {
            let seconds = limit.as_secs_f64();
            failed(Failure::retryable(format!(
                "not done within {seconds:.1} s, just before the function's time-out"
            )))
        })?
        .map_err(|error| failed(error.into()))?;
    info!(request_id, ?outcome, "handled");
    serde_json::to_value(&outcome).map_err(|error| {
        failed(Failure::permanent(format!(
            "the outcome cannot be written as JSON: {error}"
        )))
    })
}

/// Kept back from the function's time-out: a failure that is said beats a process that is killed.
const TO_REPORT: jiff::SignedDuration = jiff::SignedDuration::from_millis(500);

/// How long the handler may take. Without a deadline to go by, as long as Lambda lets any function run.
fn limit(invocation: &Invocation) -> Duration {
    const LONGEST: Duration = Duration::from_secs(15 * 60);
    let left = invocation.deadline.duration_since(invocation.now);
    if left.is_positive() {
        Duration::try_from(left - TO_REPORT).unwrap_or_default()
    } else {
        LONGEST
    }
}

fn timestamp(at: SystemTime) -> Timestamp {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::UNIX_EPOCH
        .saturating_add(jiff::SignedDuration::try_from(since).unwrap_or_default())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn served(left: jiff::SignedDuration, takes: Duration) -> Result<Value, Diagnostic> {
        let mut event = LambdaEvent::new(json!({}), lambda_runtime::Context::default());
        let deadline = Timestamp::now() + left;
        event.context.deadline = u64::try_from(deadline.as_millisecond()).unwrap();
        serve(event, &takes, &async |_, takes: &Duration, _| {
            tokio::time::sleep(*takes).await;
            Ok::<_, Failure>("done")
        })
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_is_reported_before_lambda_kills_the_process() {
        let minute = jiff::SignedDuration::from_secs(60);
        let failure = served(minute, Duration::from_secs(61)).await.unwrap_err();
        assert_eq!(failure.error_type, "Retryable");
        assert!(
            failure.error_message.contains("time-out"),
            "{}",
            failure.error_message
        );
        assert_eq!(
            served(minute, Duration::from_secs(58)).await.unwrap(),
            json!("done")
        );
    }
}
