//! `DescribeAlarmHistory`.

use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Clock};

use crate::alarm::Standing;
use crate::input::{optional, page, texts, whole, with_next};
use crate::{CloudWatchEngine, State};

const REMEMBERED: usize = 2_000;
const PAGE: usize = 100;

fn side(standing: &Standing) -> Value {
    let mut side = json!({"stateValue": standing.value.as_str(), "stateReason": standing.reason});
    if let Some(data) = standing
        .reason_data
        .as_deref()
        .and_then(|data| serde_json::from_str::<Value>(data).ok())
    {
        side["stateReasonData"] = data;
    }
    side
}

impl State {
    fn remember(&mut self, alarm: &str, kind: &str, item: &str, summary: &str, data: &Value, at: Timestamp) {
        if self.history.len() == REMEMBERED {
            self.history.pop_front();
        }
        self.history.push_back(json!({
            "AlarmName": alarm,
            "AlarmType": kind,
            "Timestamp": Clock::to_epoch_seconds(at),
            "HistoryItemType": item,
            "HistorySummary": summary,
            "HistoryData": data.to_string(),
        }));
    }

    pub(crate) fn remember_state(&mut self, alarm: &str, kind: &str, old: &Standing, new: &Standing) {
        let summary = format!(
            "Alarm updated from {} to {}",
            old.value.as_str(),
            new.value.as_str()
        );
        let data = json!({"version": "1.0", "oldState": side(old), "newState": side(new)});
        self.remember(alarm, kind, "StateUpdate", &summary, &data, new.updated);
    }

    pub(crate) fn remember_configuration(&mut self, alarm: &str, kind: &str, what: &str, at: Timestamp) {
        let data = json!({"version": "1.0", "type": what});
        self.remember(
            alarm,
            kind,
            "ConfigurationUpdate",
            &format!("Alarm \"{alarm}\" {what}d"),
            &data,
            at,
        );
    }

    pub(crate) fn remember_action(
        &mut self,
        alarm: &str,
        action: &str,
        error: Option<&AwsError>,
        at: Timestamp,
    ) {
        let Some(kind) = self.alarms.get(alarm).map(crate::alarm::Alarm::type_name) else {
            return;
        };
        let summary = match error {
            None => format!("Successfully executed action {action}"),
            Some(error) => format!(
                "Failed to execute action {action}. Received error: \"{}\"",
                error.message
            ),
        };
        let state = if error.is_none() { "Succeeded" } else { "Failed" };
        let data = json!({"version": "1.0", "actionState": state, "notificationResource": action});
        self.remember(alarm, kind, "Action", &summary, &data, at);
    }
}

impl CloudWatchEngine {
    pub(crate) fn describe_alarm_history(&self, input: &Value) -> Result<Value, AwsError> {
        let bound = |member: &str| input.get(member).and_then(Value::as_f64);
        let (start, end) = (
            bound("StartDate").unwrap_or(f64::MIN),
            bound("EndDate").unwrap_or(f64::MAX),
        );
        let types = texts(input, "AlarmTypes");
        let same = |member: &str, item: &Value| {
            optional(input, member).is_none_or(|wanted| optional(item, member) == Some(wanted))
        };
        let state = self.state();
        let mut items: Vec<&Value> = state
            .history
            .iter()
            .filter(|item| same("AlarmName", item) && same("HistoryItemType", item))
            .filter(|item| {
                types.is_empty() || optional(item, "AlarmType").is_some_and(|kind| types.contains(&kind))
            })
            .filter(|item| {
                item.get("Timestamp")
                    .and_then(Value::as_f64)
                    .is_some_and(|at| (start..=end).contains(&at))
            })
            .collect();
        if optional(input, "ScanBy") != Some("TimestampAscending") {
            items.reverse();
        }
        let size = whole(input, "MaxRecords")
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(PAGE);
        let range = page(input, items.len(), size)?;
        Ok(with_next(
            json!({"AlarmHistoryItems": items[range.clone()]}),
            &range,
            items.len(),
        ))
    }
}
