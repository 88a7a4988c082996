//! `CloudWatch Alarm State Change`, by EventBridge or straight from the alarm to the function.
//!
//! Only what names the change is read: what the alarm watches, and what state it is in *now*, is asked
//! of CloudWatch again before anything is done. The ready-made types refuse real events (a period of a
//! day, metric math, composite alarms without a suppressor), so none is used.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use signalbox_decision::names::AlarmName;

use crate::envelope::{EventError, read};

/// An alarm changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmChange {
    /// The alarm.
    pub alarm: AlarmName,
    /// When CloudWatch changed the state, if its time stamp could be read.
    pub at: Option<Timestamp>,
    /// The state it changed to: `ALARM`, `OK`, `INSUFFICIENT_DATA`, or what AWS may add.
    pub state: String,
    /// CloudWatch's reason, for people.
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    alarm_name: AlarmName,
    state: State,
}

#[derive(Deserialize)]
struct State {
    value: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    timestamp: Option<String>,
}

impl AlarmChange {
    /// Reads the event: EventBridge's envelope (`detail`), or the alarm's own call (`alarmData`).
    ///
    /// # Errors
    /// The field that is missing or malformed.
    pub fn parse(mut event: Value) -> Result<Self, EventError> {
        const WHAT: &str = "CloudWatch alarm event";
        let (base, detail) = match event.get_mut("alarmData") {
            Some(data) => ("alarmData", rename_direct(data.take())),
            None => match event.get_mut("detail") {
                Some(detail) => ("detail", detail.take()),
                None => return Err(EventError::field(WHAT, "detail", "is missing")),
            },
        };
        let detail: Detail = read(WHAT, base, detail)?;
        Ok(Self {
            alarm: detail.alarm_name,
            at: detail.state.timestamp.as_deref().and_then(timestamp),
            state: detail.state.value,
            reason: detail.state.reason.unwrap_or_default(),
        })
    }
}

/// In the alarm's own call the name is a sibling of `state`, but spelled `alarmName` as well; older
/// payloads spell it `AlarmName`.
fn rename_direct(mut data: Value) -> Value {
    if let Some(object) = data.as_object_mut()
        && let Some(name) = object.remove("AlarmName")
    {
        object.entry("alarmName").or_insert(name);
    }
    data
}

/// CloudWatch writes `2019-10-02T17:04:40.985+0000`, an offset without a colon.
fn timestamp(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse() {
        return Some(at);
    }
    let (stem, offset) = text.split_at_checked(text.len().checked_sub(5)?)?;
    let (hours, minutes) = offset.split_at_checked(3)?;
    format!("{stem}{hours}:{minutes}").parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn example(text: &str) -> AlarmChange {
        AlarmChange::parse(serde_json::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn alarms_whose_configuration_the_ready_made_types_refuse_are_read() {
        let reason = "Threshold Crossed: 1 out of the last 1 datapoints [42.0 (03/02/26 17:03:00)] was greater \
                      than the threshold (5.0).";
        for (text, alarm, state) in [
            (
                // Metric math, over a period of a day.
                include_str!("../../../events/roll-back/metric-math-alarm.json"),
                "lambda-function-production-errors",
                "ALARM",
            ),
            (
                include_str!("../../../events/roll-back/composite-without-suppressor.json"),
                "lambda-function-production-any",
                "ALARM",
            ),
            (
                include_str!("../../../events/roll-back/back-to-ok.json"),
                "lambda-function-production-errors",
                "OK",
            ),
        ] {
            let change = example(text);
            assert_eq!((change.alarm.as_str(), change.state.as_str()), (alarm, state));
            // The new state's time, not that of the state before.
            assert_eq!(
                change.at.unwrap().to_string(),
                "2026-02-03T17:04:40.985Z",
                "{alarm}"
            );
            assert_eq!(change.reason, reason, "{alarm}");
        }
    }

    #[test]
    fn what_comes_straight_from_the_alarm_says_the_same() {
        let straight = example(include_str!(
            "../../../events/roll-back/straight-from-the-alarm.json"
        ));
        let bridged = example(include_str!("../../../events/roll-back/metric-math-alarm.json"));
        assert_eq!(straight.reason, "5 > 1");
        assert_eq!(
            AlarmChange {
                reason: bridged.reason.clone(),
                ..straight
            },
            bridged
        );
    }

    #[test]
    fn an_offset_without_a_colon_is_read() {
        let event = json!({"detail": {"alarmName": "errors", "state": {"value": "ALARM", "reason": "1 > 0",
            "timestamp": "2019-10-02T17:04:40.985+0000"}}});
        let change = AlarmChange::parse(event).unwrap();
        assert_eq!(change.at.unwrap().to_string(), "2019-10-02T17:04:40.985Z");
    }

    #[test]
    fn the_alarms_own_call_is_read() {
        let event = json!({"source": "aws.cloudwatch", "alarmData": {"alarmName": "errors", "state": {"value": "ALARM"}}});
        assert_eq!(AlarmChange::parse(event).unwrap().alarm.as_str(), "errors");
    }

    #[test]
    fn a_missing_detail_is_named() {
        let error = AlarmChange::parse(json!({"source": "aws.cloudwatch"})).unwrap_err();
        assert!(error.to_string().contains("`detail`"), "{error}");
    }

    #[test]
    fn an_unreadable_time_does_not_lose_the_event() {
        let event =
            json!({"detail": {"alarmName": "errors", "state": {"value": "ALARM", "timestamp": "soon"}}});
        assert_eq!(AlarmChange::parse(event).unwrap().at, None);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_time_stamp_panic(text in "\\PC*") {
            let _ = timestamp(&text);
        }
    }
}
