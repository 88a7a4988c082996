//! `DescribeAlarms`.

use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use crate::CloudWatchEngine;
use crate::alarm::{Alarm, Kind, StateValue};
use crate::input::{optional, page, texts, whole, with_next};

const PAGE: usize = 100;

impl CloudWatchEngine {
    pub(crate) fn describe_alarms(&self, input: &Value) -> Result<Value, AwsError> {
        let types = texts(input, "AlarmTypes");
        // Without types only metric alarms are meant, as in AWS.
        let of_type = |alarm: &Alarm| {
            if types.is_empty() {
                !alarm.is_composite()
            } else {
                types.contains(&alarm.type_name())
            }
        };
        let names = texts(input, "AlarmNames");
        let prefix = optional(input, "AlarmNamePrefix").unwrap_or_default();
        let value = optional(input, "StateValue").and_then(StateValue::parse);
        let action_prefix = optional(input, "ActionPrefix");
        let state = self.state();
        let children: Option<Vec<String>> = optional(input, "ChildrenOfAlarmName").map(|parent| match state
            .find(parent)
            .map(|alarm| &alarm.kind)
        {
            Some(Kind::Composite(composite)) => composite
                .rule
                .alarms()
                .into_iter()
                .filter_map(|child| state.find(child))
                .map(|child| child.name.clone())
                .collect(),
            _ => Vec::new(),
        });
        let parents_of = optional(input, "ParentsOfAlarmName");
        let is_parent = |alarm: &Alarm, child: &str| match &alarm.kind {
            Kind::Composite(composite) => composite
                .rule
                .alarms()
                .into_iter()
                .filter_map(|named| state.find(named))
                .any(|named| named.name == child),
            Kind::Metric(_) => false,
        };
        let acts = |alarm: &Alarm, prefix: &str| {
            [StateValue::Ok, StateValue::Alarm, StateValue::InsufficientData]
                .into_iter()
                .any(|value| {
                    alarm
                        .actions(value)
                        .iter()
                        .any(|action| action.starts_with(prefix))
                })
        };
        let mut found: Vec<&Alarm> = state
            .alarms
            .values()
            .filter(|alarm| match (&children, parents_of) {
                (Some(children), _) => children.contains(&alarm.name),
                (None, Some(child)) => is_parent(alarm, child),
                (None, None) => of_type(alarm),
            })
            .filter(|alarm| names.is_empty() || names.contains(&alarm.name.as_str()))
            .filter(|alarm| alarm.name.starts_with(prefix))
            .filter(|alarm| value.is_none_or(|value| alarm.standing.value == value))
            .filter(|alarm| action_prefix.is_none_or(|prefix| acts(alarm, prefix)))
            .collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        let size = whole(input, "MaxRecords")
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(PAGE);
        let range = page(input, found.len(), size)?;
        let (composite, metric): (Vec<&Alarm>, Vec<&Alarm>) = found[range.clone()]
            .iter()
            .partition(|alarm| alarm.is_composite());
        let described = |alarms: Vec<&Alarm>| alarms.into_iter().map(Alarm::describe).collect::<Vec<_>>();
        let answer = json!({"MetricAlarms": described(metric), "CompositeAlarms": described(composite)});
        Ok(with_next(answer, &range, found.len()))
    }
}
