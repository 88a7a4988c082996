//! Asynchronous invocations: accepted at once, retried, and never lost silently.
//!
//! A function error is retried after one and then two minutes of the clock; throttling is waited out with
//! growing pauses until the event is too old. What remains goes to the dead-letter queue and the on-failure
//! destination. Each event is delivered by a task of its own: Lambda promises no order either.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::configs::Delivery;
use crate::destinations::{self, DeadLetter, Sender};
use crate::errors;
use crate::functions::Version;
use crate::invoke::{Invocation, Outcome, Service};
use crate::reference::{LATEST, qualified_arn};

/// Lambda's pauses before the first and the second retry of a function error.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_mins(1), Duration::from_mins(2)];
/// Lambda's pauses after throttling: from one second, doubled, up to five minutes.
const THROTTLE_PAUSE: Duration = Duration::from_secs(1);
const THROTTLE_PAUSE_LIMIT: Duration = Duration::from_mins(5);

/// Why an event is given up, as destination records name it.
const RETRIES_EXHAUSTED: &str = "RetriesExhausted";
const EVENT_AGE_EXCEEDED: &str = "EventAgeExceeded";

/// An event on its way.
struct Event {
    invocation: Invocation,
    received: Instant,
    /// Invocations so far, refused ones not counted.
    attempts: u32,
    last: Option<Outcome>,
}

impl Service {
    /// Takes an event for delivery.
    pub(crate) fn enqueue(self: &Arc<Self>, invocation: Invocation) {
        self.metrics
            .count(&invocation.reference.name, "AsyncEventsReceived");
        let service = self.clone();
        let event = Event {
            invocation,
            received: Instant::now(),
            attempts: 0,
            last: None,
        };
        self.host.tasks.spawn(async move {
            service
                .stop
                .run_until_cancelled(Box::pin(service.deliver(event)))
                .await;
        });
    }

    async fn deliver(self: &Arc<Self>, mut event: Event) {
        let clock = self.host.cloud.clock().clone();
        let mut throttle_pause = THROTTLE_PAUSE;
        let mut first = true;
        loop {
            // Read anew for each attempt: changed settings hold for events that wait, as in Lambda.
            let (delivery, reserved) = {
                let registry = self.registry();
                let Ok(function) = registry.get(&event.invocation.reference) else {
                    break;
                };
                (
                    function.delivery(event.invocation.reference.qualifier.as_deref()),
                    function.reserved,
                )
            };
            let age_limit = Duration::from_secs(u64::from(delivery.age_seconds));
            if !first && event.received.elapsed() >= clock.scaled(age_limit) {
                return self.give_up(&event, &delivery, EVENT_AGE_EXCEEDED).await;
            }
            first = false;
            match self.run(event.invocation.clone()).await {
                Ok(outcome) => {
                    event.attempts += 1;
                    let failed = outcome.failed;
                    event.last = Some(outcome);
                    if !failed {
                        return self.succeeded(&event, &delivery).await;
                    }
                    if event.attempts > delivery.retries {
                        return self.give_up(&event, &delivery, RETRIES_EXHAUSTED).await;
                    }
                    let pause = RETRY_PAUSES
                        .get(event.attempts as usize - 1)
                        .unwrap_or(&RETRY_PAUSES[1]);
                    clock.sleep(*pause).await;
                }
                Err(error) if error.code == errors::THROTTLED => {
                    // A function whose concurrency is reserved to zero is switched off: nothing to wait for.
                    if reserved == Some(0) {
                        return self.give_up(&event, &delivery, RETRIES_EXHAUSTED).await;
                    }
                    clock.sleep(throttle_pause).await;
                    throttle_pause = (throttle_pause * 2).min(THROTTLE_PAUSE_LIMIT);
                }
                Err(error) => {
                    tracing::warn!(%error, function = %event.invocation.reference.name, "an event was not delivered");
                    break;
                }
            }
        }
        self.metrics
            .count(&event.invocation.reference.name, "AsyncEventsDropped");
    }

    async fn succeeded(&self, event: &Event, delivery: &Delivery) {
        if let Some(destination) = &delivery.on_success {
            self.send_record(event, destination, "Success").await;
        }
    }

    async fn give_up(&self, event: &Event, delivery: &Delivery, condition: &str) {
        let name = &event.invocation.reference.name;
        self.metrics.count(name, "AsyncEventsDropped");
        if let Some(version) = self.executed(event)
            && let Some(target) = &version.settings.dead_letter
        {
            let letter = DeadLetter {
                request_id: &event.invocation.request_id,
                payload: &String::from_utf8_lossy(&event.invocation.payload),
                error_code: if event.last.is_some() { 200 } else { 429 },
                error_message: &error_message(event.last.as_ref(), condition),
            };
            if let Err(error) = self.sender(&version).dead_letter(target, &letter).await {
                self.metrics.count(name, "DeadLetterErrors");
                tracing::warn!(%error, function = %name, %target, "an event did not reach the dead-letter queue");
            }
        }
        match &delivery.on_failure {
            Some(destination) => self.send_record(event, destination, condition).await,
            None => tracing::info!(function = %name, condition, "an event was given up"),
        }
    }

    async fn send_record(&self, event: &Event, destination: &str, condition: &str) {
        let Some(version) = self.executed(event) else {
            return;
        };
        let name = &event.invocation.reference.name;
        let record = self.record_of(event, condition);
        if let Err(error) = self
            .sender(&version)
            .record(destination, &record, condition == "Success")
            .await
        {
            self.metrics.count(name, "DestinationDeliveryFailures");
            tracing::warn!(%error, function = %name, %destination, "a record did not reach its destination");
        }
    }

    /// The version that was last executed, or would be.
    fn executed(&self, event: &Event) -> Option<Arc<Version>> {
        let registry = self.registry();
        let function = registry.get(&event.invocation.reference).ok()?;
        let executed = event
            .last
            .as_ref()
            .and_then(|outcome| function.version(&outcome.version));
        match executed {
            Some(version) => Some(version.clone()),
            None => registry.version(&event.invocation.reference).ok().cloned(),
        }
    }

    fn sender<'a>(&'a self, version: &'a Version) -> Sender<'a> {
        Sender {
            cloud: self.host.cloud.as_ref(),
            role: &version.settings.role,
            function: &version.function,
        }
    }

    /// The record that AWS documents for destinations.
    fn record_of(&self, event: &Event, condition: &str) -> Value {
        let reference = &event.invocation.reference;
        let qualifier = reference.qualifier.as_deref().unwrap_or(LATEST);
        let mut record = json!({
            "version": "1.0",
            "timestamp": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
            "requestContext": {
                "requestId": event.invocation.request_id,
                "functionArn": qualified_arn(self.account(), &reference.name, qualifier),
                "condition": condition,
                "approximateInvokeCount": event.attempts,
            },
            "requestPayload": destinations::value(&event.invocation.payload),
        });
        if let Some(outcome) = &event.last {
            record["responseContext"] = json!({ "statusCode": 200, "executedVersion": outcome.version });
            if outcome.failed {
                record["responseContext"]["functionError"] = json!("Unhandled");
            }
            record["responsePayload"] = destinations::value(&outcome.payload);
        }
        record
    }
}

fn error_message(last: Option<&Outcome>, condition: &str) -> String {
    let Some(outcome) = last else {
        return if condition == EVENT_AGE_EXCEEDED {
            "Event age exceeded"
        } else {
            "Rate Exceeded."
        }
        .to_owned();
    };
    let payload = destinations::value(&outcome.payload);
    payload["errorMessage"]
        .as_str()
        .map_or_else(|| payload.to_string(), str::to_owned)
}
