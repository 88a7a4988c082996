//! One event on its way to one target: attempts, pauses, and the dead-letter queue.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use signalbox_local_core::{AwsError, Caller, Cloud};
use tracing::{info, warn};

use crate::EventBridgeEngine;
use crate::bus::iso_seconds;
use crate::target::{Target, queue_url};
use crate::transform::Context;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// With this longest pause, AWS's 185 retries take about AWS's 24 hours.
const LONGEST_PAUSE: Duration = Duration::from_mins(8);

/// A rule's target, taken when the event matched.
pub(crate) struct Delivery {
    pub(crate) rule_arn: String,
    pub(crate) rule_name: String,
    pub(crate) target: Target,
}

/// Why it was given up.
struct GivenUp {
    error: AwsError,
    /// The part of the retry policy that ended it; nothing where trying again was pointless.
    exhausted: Option<&'static str>,
    retries: u32,
}

impl EventBridgeEngine {
    /// Sends it on its way; returns at once.
    pub(crate) fn deliver(&self, delivery: Delivery, event: &Value) {
        let faults = self.faults();
        if faults.loses(event) {
            return;
        }
        let delivery = Arc::new(delivery);
        for _ in 0..faults.times() {
            let (cloud, delivery, event) = (Arc::clone(&self.cloud), Arc::clone(&delivery), event.clone());
            let delay = faults.delay(&event);
            self.spawn(async move {
                if !delay.is_zero() {
                    cloud.clock().sleep(delay).await;
                }
                if let Err(given_up) = delivery.attempt(cloud.as_ref(), &event).await {
                    delivery.bury(cloud.as_ref(), &event, &given_up).await;
                }
            });
        }
    }
}

impl Delivery {
    async fn attempt(&self, cloud: &dyn Cloud, event: &Value) -> Result<(), GivenUp> {
        let ingestion_time = iso_seconds(cloud.clock().now());
        let context = Context {
            rule_arn: &self.rule_arn,
            rule_name: &self.rule_name,
            ingestion_time: &ingestion_time,
        };
        let payload = self.target.input.payload(event, &context);
        let mut pause = FIRST_PAUSE;
        let mut age = Duration::ZERO;
        let mut retries = 0;
        loop {
            let Err(error) = self.target.hand_over(cloud, &self.rule_arn, &payload).await else {
                return Ok(());
            };
            let exhausted = if !is_retryable(&error) {
                None
            } else if retries >= self.target.max_attempts {
                Some("MaximumRetryAttempts")
            } else if age + pause > self.target.max_age {
                Some("MaximumEventAgeInSeconds")
            } else {
                cloud.clock().sleep(pause).await;
                age += pause;
                pause = (pause * 2).min(LONGEST_PAUSE);
                retries += 1;
                continue;
            };
            return Err(GivenUp {
                error,
                exhausted,
                retries,
            });
        }
    }

    /// Into the target's dead-letter queue, or, without one, into the log: never silently.
    async fn bury(&self, cloud: &dyn Cloud, event: &Value, given_up: &GivenUp) {
        let Some(queue) = &self.target.dead_letter_arn else {
            warn!(
                rule = %self.rule_name, target = %self.target.arn, event.id = %event["id"], error = %given_up.error,
                "an event was given up, and its target has no dead-letter queue"
            );
            return;
        };
        let mut attributes = Map::new();
        let mut put = |name: &str, kind: &str, value: &str| {
            // SQS refuses empty attribute values.
            if !value.is_empty() {
                attributes.insert(name.to_owned(), json!({"DataType": kind, "StringValue": value}));
            }
        };
        put("RULE_ARN", "String", &self.rule_arn);
        put("TARGET_ARN", "String", &self.target.arn);
        put("ERROR_CODE", "String", error_code(&given_up.error));
        put("ERROR_MESSAGE", "String", &given_up.error.message);
        put(
            "EXHAUSTED_RETRY_CONDITION",
            "String",
            given_up.exhausted.unwrap_or_default(),
        );
        put("RETRY_ATTEMPTS", "Number", &given_up.retries.to_string());
        let input = json!({
            "QueueUrl": queue_url(cloud, queue), "MessageBody": event.to_string(), "MessageAttributes": attributes
        });
        let caller = Caller::service_for("events.amazonaws.com", &self.rule_arn);
        match cloud.call(&caller, "sqs", "SendMessage", input).await {
            Ok(_) => {
                info!(rule = %self.rule_name, target = %self.target.arn, queue, "an event went to its dead-letter queue");
            }
            Err(error) => warn!(
                rule = %self.rule_name, target = %self.target.arn, queue, %error,
                "an event was given up, and its dead-letter queue refused it"
            ),
        }
    }
}

/// What EventBridge does not try again: what only a change of the configuration can mend.
fn is_retryable(error: &AwsError) -> bool {
    !matches!(
        error_code(error),
        "NO_PERMISSIONS" | "NO_RESOURCE" | "INVALID_JSON" | "INVALID_PARAMETER"
    )
}

/// EventBridge's own code for what the target answered.
fn error_code(error: &AwsError) -> &'static str {
    let code = error.code.as_str();
    let is = |part: &str| code.contains(part);
    if is("AccessDenied") || is("NotAuthorized") || is("AuthorizationError") {
        "NO_PERMISSIONS"
    } else if is("NotFound") || is("DoesNotExist") || is("NonExistentQueue") {
        "NO_RESOURCE"
    } else if is("Throttl") || is("TooManyRequests") || is("LimitExceeded") {
        "THROTTLING"
    } else if is("Timeout") || is("TimedOut") {
        "TIMEOUT"
    } else if is("InvalidJson") {
        "INVALID_JSON"
    } else if is("Validation") || is("InvalidParameter") || is("SerializationException") {
        "INVALID_PARAMETER"
    } else if error.status >= 500 {
        "ERROR_FROM_TARGET"
    } else {
        "UNKNOWN"
    }
}
