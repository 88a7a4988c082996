//! Unreliable delivery, on purpose.

use std::time::Duration;

use serde_json::Value;

/// Judges an event, envelope included.
pub type EventPredicate = dyn Fn(&Value) -> bool + Send + Sync;
/// How long an event's deliveries are held back, as a configured duration (scaled by the clock).
pub type EventDelay = dyn Fn(&Value) -> Duration + Send + Sync;

/// What goes wrong with deliveries. AWS promises at least once at best, and for CodePipeline's and
/// CodeDeploy's events not even that; nothing promises an order. With these a test shows that
/// functions bear it.
///
/// The default delivers every event once and at once.
#[derive(Default)]
pub struct DeliveryFaults {
    /// Every delivery is made twice.
    pub duplicate: bool,
    /// Events that reach no target (they are still in `events_seen`).
    pub drop: Option<Box<EventPredicate>>,
    /// Events that reach their targets late: unequal delays reorder them.
    pub delay: Option<Box<EventDelay>>,
}

impl DeliveryFaults {
    pub(crate) fn loses(&self, event: &Value) -> bool {
        self.drop.as_ref().is_some_and(|drop| drop(event))
    }

    pub(crate) fn times(&self) -> usize {
        if self.duplicate { 2 } else { 1 }
    }

    pub(crate) fn delay(&self, event: &Value) -> Duration {
        self.delay.as_ref().map_or(Duration::ZERO, |delay| delay(event))
    }
}
