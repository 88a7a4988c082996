//! Putting, deleting and setting alarms.

use serde_json::{Value, json};
use signalbox_local_core::{AwsError, AwsEvent};

use crate::alarm::{Alarm, CompositeAlarm, Kind, MetricAlarm, Standing, StateValue, Verdict};
use crate::input::{invalid, list, optional, texts};
use crate::{CloudWatchEngine, State, tags};

/// AWS: at most five actions for a state.
const MOST_ACTIONS: usize = 5;

fn not_found(names: &[&str]) -> AwsError {
    AwsError::new(
        "ResourceNotFound",
        format!("Unknown alarms: {}", names.join(", ")),
    )
    .with_status(404)
}

fn check_actions(input: &Value) -> Result<(), AwsError> {
    for state in [StateValue::Ok, StateValue::Alarm, StateValue::InsufficientData] {
        let member = state.actions_member();
        if list(input, member).len() > MOST_ACTIONS {
            return Err(invalid(format!(
                "The collection {member} must not have a size greater than {MOST_ACTIONS}."
            )));
        }
        if let Some(wrong) = texts(input, member)
            .into_iter()
            .find(|action| !action.starts_with("arn:"))
        {
            return Err(invalid(format!("Invalid arn syntax: {wrong}")));
        }
    }
    Ok(())
}

impl State {
    /// A composite may name only alarms that exist, and not itself.
    fn check_children(&self, name: &str, composite: &CompositeAlarm) -> Result<(), AwsError> {
        let named = composite
            .rule
            .alarms()
            .into_iter()
            .chain(composite.suppressor.as_deref());
        let unknown: Vec<&str> = named
            .filter(|child| self.find(child).is_none_or(|child| child.name == name))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        Err(invalid(format!(
            "Could not save the composite alarm as alarms [{}] in the alarm rule do not exist",
            unknown.join(", ")
        )))
    }
}

impl CloudWatchEngine {
    pub(crate) async fn put_metric_alarm(&self, input: &Value) -> Result<Value, AwsError> {
        let alarm = MetricAlarm::parse(input)?;
        self.put_alarm(input, Kind::Metric(Box::new(alarm))).await
    }

    pub(crate) async fn put_composite_alarm(&self, input: &Value) -> Result<Value, AwsError> {
        let alarm = CompositeAlarm::parse(input)?;
        self.state()
            .check_children(optional(input, "AlarmName").unwrap_or_default(), &alarm)?;
        self.put_alarm(input, Kind::Composite(alarm)).await
    }

    async fn put_alarm(&self, input: &Value, kind: Kind) -> Result<Value, AwsError> {
        check_actions(input)?;
        let name = optional(input, "AlarmName").unwrap_or_default().to_owned();
        let mut kept = input.clone();
        if let Some(members) = kept.as_object_mut() {
            members.remove("Tags");
        }
        let (event, notices) = {
            let context = self.context();
            let mut state = self.state();
            let previous = state.alarms.get(&name);
            if previous.is_some_and(|previous| previous.is_composite() != matches!(kind, Kind::Composite(_)))
            {
                return Err(invalid(format!(
                    "An alarm of another type is already named {name}."
                )));
            }
            // An alarm that is put again keeps its state.
            let previous_configuration = previous.map(Alarm::configuration_view);
            let (standing, acted, suppression, kept_tags) = match previous {
                Some(alarm) => (
                    alarm.standing.clone(),
                    alarm.acted,
                    alarm.suppression,
                    alarm.tags.clone(),
                ),
                None => {
                    let initial = Standing {
                        value: StateValue::InsufficientData,
                        reason: "Unchecked: Initial alarm creation".to_owned(),
                        reason_data: None,
                        updated: context.now,
                    };
                    (initial, StateValue::InsufficientData, None, tags::parse(input))
                }
            };
            let alarm = Alarm {
                arn: context.account.arn("cloudwatch", &format!("alarm:{name}")),
                input: kept,
                kind,
                actions_enabled: input
                    .get("ActionsEnabled")
                    .and_then(Value::as_bool)
                    .unwrap_or(true),
                configured: context.now,
                standing,
                suppression,
                acted,
                tags: kept_tags,
                name: name.clone(),
            };
            let operation = if previous_configuration.is_some() {
                "update"
            } else {
                "create"
            };
            let event = configuration_change(&alarm, operation, previous_configuration);
            state.remember_configuration(&name, alarm.type_name(), operation, context.now);
            state.alarms.insert(name, alarm);
            (event, state.evaluate_composites(&context))
        };
        self.cloud.emit(event).await;
        self.tell(notices).await;
        self.start_evaluating();
        Ok(json!({}))
    }

    pub(crate) async fn delete_alarms(&self, input: &Value) -> Result<Value, AwsError> {
        let names = texts(input, "AlarmNames");
        let (events, notices) = {
            let context = self.context();
            let mut state = self.state();
            let unknown: Vec<&str> = names
                .iter()
                .filter(|name| !state.alarms.contains_key(**name))
                .copied()
                .collect();
            if !unknown.is_empty() {
                return Err(not_found(&unknown));
            }
            let mut events = Vec::new();
            for name in names {
                if let Some(alarm) = state.alarms.shift_remove(name) {
                    state.remember_configuration(name, alarm.type_name(), "delete", context.now);
                    events.push(configuration_change(&alarm, "delete", None));
                }
            }
            (events, state.evaluate_composites(&context))
        };
        for event in events {
            self.cloud.emit(event).await;
        }
        self.tell(notices).await;
        Ok(json!({}))
    }

    /// For tests of what an alarm does: the next evaluation puts it back.
    pub(crate) async fn set_alarm_state(&self, input: &Value) -> Result<Value, AwsError> {
        let name = optional(input, "AlarmName").unwrap_or_default();
        let value = optional(input, "StateValue")
            .and_then(StateValue::parse)
            .ok_or_else(|| invalid("StateValue must be OK, ALARM or INSUFFICIENT_DATA."))?;
        let reason_data = match optional(input, "StateReasonData") {
            None => None,
            Some(text) => Some(serde_json::from_str(text).map_err(|_| {
                AwsError::new(
                    "InvalidFormat",
                    "StateReasonData was not syntactically valid JSON.",
                )
            })?),
        };
        let reason = optional(input, "StateReason").unwrap_or_default().to_owned();
        let notices = {
            let context = self.context();
            let mut state = self.state();
            if !state.alarms.contains_key(name) {
                return Err(not_found(&[name]));
            }
            let changed = state.transition(
                name,
                Verdict {
                    value,
                    reason,
                    reason_data,
                },
                &context,
            );
            let mut notices: Vec<_> = changed.into_iter().collect();
            // What the composite itself was set to stays until the next evaluation.
            if !state.alarms.get(name).is_some_and(Alarm::is_composite) {
                notices.extend(state.evaluate_composites(&context));
            }
            notices
        };
        self.tell(notices).await;
        Ok(json!({}))
    }

    pub(crate) fn set_actions_enabled(&self, input: &Value, enabled: bool) -> Result<Value, AwsError> {
        let mut state = self.state();
        for name in texts(input, "AlarmNames") {
            if let Some(alarm) = state.alarms.get_mut(name) {
                alarm.actions_enabled = enabled;
            }
        }
        Ok(json!({}))
    }
}

/// `CloudWatch Alarm Configuration Change`.
fn configuration_change(alarm: &Alarm, operation: &str, previous: Option<Value>) -> AwsEvent {
    let mut configuration = alarm.configuration_view();
    configuration["alarmName"] = json!(alarm.name);
    configuration["actionsEnabled"] = json!(alarm.actions_enabled);
    configuration["timestamp"] = json!(crate::text::event_time(alarm.configured));
    let mut detail = json!({
        "alarmName": alarm.name,
        "operation": operation,
        "state": {"value": alarm.standing.value.as_str(), "timestamp": crate::text::event_time(alarm.standing.updated)},
        "configuration": configuration,
    });
    if let Some(previous) = previous {
        detail["previousConfiguration"] = previous;
    }
    AwsEvent {
        source: "aws.cloudwatch".to_owned(),
        detail_type: "CloudWatch Alarm Configuration Change".to_owned(),
        resources: vec![alarm.arn.clone()],
        detail,
    }
}
