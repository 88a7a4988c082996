//! One request to the version, and what came of it.

use std::time::Duration;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::LogType;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use signalbox_bootstrap::aws_failure;
use signalbox_decision::names::VersionNumber;
use signalbox_decision::validation::lines::{report_of, request_of};
use signalbox_decision::validation::policy::Policy;
use signalbox_decision::validation::{Answer, Probe, Timed};
use tokio::time::Instant;

use crate::app::App;

/// A probe, and where it went.
pub(crate) struct Sent {
    pub(crate) probe: Probe,
    /// The invocation's request id, by which its lines are found in the log.
    pub(crate) request: Option<String>,
    /// The version that an alias chose.
    pub(crate) version: Option<VersionNumber>,
    /// Whether the environment had to be started for it.
    pub(crate) cold: bool,
}

/// How long an answer is waited for: past the last bound it is too slow anyway, and still measured.
fn patience(policy: &Policy) -> Duration {
    let rules = &policy.performance;
    let longest = rules.p50_ms.max(rules.p95_ms).max(rules.p99_ms);
    Duration::from_secs_f64(longest / 1000.0) + Duration::from_secs(10)
}

/// Invokes a version or an alias.
pub(crate) async fn send(app: &App, policy: &Policy, qualifier: &str, payload: &Value) -> Sent {
    let started = Instant::now();
    let invocation = app
        .prober
        .invoke()
        .function_name(app.config.function.as_str())
        .qualifier(qualifier)
        .log_type(LogType::Tail)
        .payload(Blob::new(payload.to_string()))
        .send();
    let answer = tokio::time::timeout(patience(policy), invocation).await;
    let caller_ms = started.elapsed().as_secs_f64() * 1000.0;
    let nowhere = |answer: Answer| Sent {
        probe: Probe {
            answer,
            took: Timed {
                caller_ms,
                function_ms: None,
            },
        },
        request: None,
        version: None,
        cold: false,
    };
    let answer = match answer {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            let failure = aws_failure(&error);
            return nowhere(if failure.is("TooManyRequestsException") {
                Answer::Throttled
            } else {
                Answer::Unreachable {
                    error: failure.to_string(),
                }
            });
        }
        Err(_) => {
            return nowhere(Answer::Broke {
                error: format!("no answer within {:.0} s", patience(policy).as_secs_f64()),
            });
        }
    };
    let payload = answer.payload().map(Blob::as_ref).unwrap_or_default();
    let body = serde_json::from_slice(payload).unwrap_or_default();
    let tail = answer.log_result().and_then(|tail| STANDARD.decode(tail).ok());
    let tail = String::from_utf8_lossy(tail.as_deref().unwrap_or_default()).into_owned();
    let reported = report_of(&tail);
    Sent {
        probe: Probe {
            answer: match answer.function_error() {
                Some(_) => Answer::Broke {
                    error: error_text(&body),
                },
                None => Answer::Answered(body),
            },
            took: Timed {
                caller_ms,
                function_ms: reported.map(|reported| reported.millis),
            },
        },
        request: request_of(&tail),
        version: answer
            .executed_version()
            .and_then(|version| VersionNumber::new(version).ok()),
        cold: reported.is_some_and(|reported| reported.cold),
    }
}

fn error_text(error: &Value) -> String {
    let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or("unknown");
    format!("{}: {}", part("errorType"), part("errorMessage"))
}
