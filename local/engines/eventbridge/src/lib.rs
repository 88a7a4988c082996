//! EventBridge, locally: the account's default bus, its rules, and deliveries to their targets.
//!
//! Events go to every target of every rule whose [`Pattern`] they match, each delivery in a task of its
//! own: as in AWS there is no order between them, and a delivery that fails is tried again with growing
//! pauses until its retry policy is exhausted and the event ends in the target's dead-letter queue.
//! [`DeliveryFaults`] repeats, drops and delays deliveries, so that a test can show that whoever
//! receives events treats them as hints.
//!
//! Not here: buses beside `default`, archives and replays, API destinations, cross-account delivery.

mod bus;
mod delivery;
mod faults;
mod pattern;
mod rules;
mod schedule;
mod target;
mod transform;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use indexmap::IndexMap;
use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Caller, Cloud, Engine};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use faults::{DeliveryFaults, EventDelay, EventPredicate};
pub use pattern::{InvalidPattern, Pattern};
use rules::Rule;

/// How many events are remembered for [`EventBridgeEngine::events_seen`].
const REMEMBERED_EVENTS: usize = 1_000;

/// The engine; see the crate.
pub struct EventBridgeEngine {
    cloud: Arc<dyn Cloud>,
    state: Mutex<State>,
    faults: Mutex<Arc<DeliveryFaults>>,
    tasks: TaskTracker,
    ended: CancellationToken,
    /// Itself, for the tasks it starts.
    this: Weak<Self>,
}

#[derive(Default)]
struct State {
    rules: IndexMap<String, Rule>,
    seen: VecDeque<Value>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl EventBridgeEngine {
    /// An engine with the default bus and no rules.
    #[must_use]
    pub fn new(cloud: Arc<dyn Cloud>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            cloud,
            state: Mutex::default(),
            faults: Mutex::default(),
            tasks: TaskTracker::new(),
            ended: CancellationToken::new(),
            this: this.clone(),
        })
    }

    /// The last 1,000 events on the bus with their envelopes, oldest first, whether or not any rule
    /// matched them.
    #[must_use]
    pub fn events_seen(&self) -> Vec<Value> {
        lock(&self.state).seen.iter().cloned().collect()
    }

    /// Makes deliveries unreliable from now on; [`DeliveryFaults::default`] makes them reliable again.
    pub fn set_faults(&self, faults: DeliveryFaults) {
        *lock(&self.faults) = Arc::new(faults);
    }

    fn faults(&self) -> Arc<DeliveryFaults> {
        Arc::clone(&lock(&self.faults))
    }

    fn remember(&self, event: Value) {
        let mut state = lock(&self.state);
        if state.seen.len() == REMEMBERED_EVENTS {
            state.seen.pop_front();
        }
        state.seen.push_back(event);
    }

    /// Runs in the background until it is done or the engine ends.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if !self.ended.is_cancelled() {
            let ended = self.ended.clone();
            self.tasks.spawn(async move {
                let _ = ended.run_until_cancelled_owned(work).await;
            });
        }
    }

    fn bus_arn(&self) -> String {
        self.cloud.account().arn("events", "event-bus/default")
    }

    /// Refuses every bus but the default one, which may also be named by its ARN.
    fn check_bus(&self, input: &Value, member: &str) -> Result<(), AwsError> {
        match input.get(member).and_then(Value::as_str) {
            None | Some("default") => Ok(()),
            Some(name) if name == self.bus_arn() => Ok(()),
            Some(name) => Err(AwsError::new(
                "ResourceNotFoundException",
                format!("Event bus {name} does not exist."),
            )),
        }
    }

    fn test_event_pattern(input: &Value) -> Result<Value, AwsError> {
        let text = |member: &str| input.get(member).and_then(Value::as_str).unwrap_or_default();
        let pattern = Pattern::parse(text("EventPattern"))?;
        let event: Value = serde_json::from_str(text("Event"))
            .ok()
            .filter(Value::is_object)
            .ok_or_else(|| {
                AwsError::validation("Parameter Event is not valid. Reason: it must be a JSON object.")
            })?;
        Ok(json!({"Result": pattern.matches(&event)}))
    }
}

impl From<InvalidPattern> for AwsError {
    fn from(invalid: InvalidPattern) -> Self {
        Self::new("InvalidEventPatternException", invalid.to_string())
    }
}

#[async_trait]
impl Engine for EventBridgeEngine {
    fn service(&self) -> &'static str {
        "events"
    }

    fn operations(&self) -> &'static [&'static str] {
        &[
            "DeleteRule",
            "DescribeEventBus",
            "DescribeRule",
            "DisableRule",
            "EnableRule",
            "ListEventBuses",
            "ListRuleNamesByTarget",
            "ListRules",
            "ListTagsForResource",
            "ListTargetsByRule",
            "PutEvents",
            "PutRule",
            "PutTargets",
            "RemoveTargets",
            "TagResource",
            "TestEventPattern",
            "UntagResource",
        ]
    }

    async fn call(&self, caller: &Caller, operation: &str, input: Value) -> Result<Value, AwsError> {
        self.check_bus(&input, "EventBusName")?;
        match operation {
            "PutEvents" => self.put_events(caller, input),
            "PutRule" => self.put_rule(input),
            "DeleteRule" => self.delete_rule(&input),
            "DescribeRule" => self.describe_rule(&input),
            "ListRules" => self.list_rules(&input),
            "EnableRule" => self.set_enabled(&input, true),
            "DisableRule" => self.set_enabled(&input, false),
            "PutTargets" => self.put_targets(input),
            "RemoveTargets" => self.remove_targets(&input),
            "ListTargetsByRule" => self.list_targets_by_rule(&input),
            "ListRuleNamesByTarget" => self.list_rule_names_by_target(&input),
            "TestEventPattern" => Self::test_event_pattern(&input),
            "DescribeEventBus" => {
                self.check_bus(&input, "Name")?;
                Ok(json!({"Name": "default", "Arn": self.bus_arn()}))
            }
            "ListEventBuses" => {
                let prefix = input
                    .get("NamePrefix")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let default = json!({"Name": "default", "Arn": self.bus_arn()});
                let buses = if "default".starts_with(prefix) {
                    vec![default]
                } else {
                    Vec::new()
                };
                Ok(json!({"EventBuses": buses}))
            }
            "TagResource" => self.tag_resource(&input),
            "UntagResource" => self.untag_resource(&input),
            "ListTagsForResource" => self.list_tags(&input),
            _ => Err(AwsError::unknown_operation(self.service(), operation)),
        }
    }

    async fn shutdown(&self) {
        self.ended.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
