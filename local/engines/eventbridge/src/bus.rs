//! `PutEvents`: from entries to events with their envelope, and on to the rules.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Caller};
use tracing::debug;
use uuid::Uuid;

use crate::rules::Rule;
use crate::{EventBridgeEngine, lock};

/// The most that one request may carry, since January 2026.
const MAX_REQUEST_BYTES: usize = 1_048_576;
/// As who the cloud itself puts the events of AWS's services.
const INTERNAL_PRINCIPAL: &str = "aws.internal";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutEvents {
    entries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    time: Option<f64>,
    source: Option<String>,
    #[serde(default)]
    resources: Vec<String>,
    detail_type: Option<String>,
    detail: Option<String>,
    event_bus_name: Option<String>,
}

/// Why one entry was refused: code and message.
type Refused = (&'static str, String);

impl Entry {
    /// AWS's own way of counting.
    fn size(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let time = if self.time.is_some() { 14 } else { 0 };
        time + text(&self.source)
            + text(&self.detail_type)
            + text(&self.detail)
            + self.resources.iter().map(String::len).sum::<usize>()
    }
}

fn required<'e>(name: &str, value: Option<&'e String>) -> Result<&'e str, Refused> {
    match value {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err((
            "InvalidArgument",
            format!("Parameter {name} is not valid. Reason: {name} is a required argument."),
        )),
    }
}

impl EventBridgeEngine {
    pub(crate) fn put_events(&self, caller: &Caller, input: Value) -> Result<Value, AwsError> {
        let PutEvents { entries } = serde_json::from_value(input)?;
        let from_aws = matches!(caller, Caller::Service { principal, .. } if principal == INTERNAL_PRINCIPAL);
        if entries.iter().map(Entry::size).sum::<usize>() > MAX_REQUEST_BYTES {
            return Err(AwsError::validation(
                "Total size of the entries in the request is over the limit.",
            ));
        }
        let mut failed = 0;
        let results: Vec<Value> = entries
            .iter()
            .map(|entry| match self.envelope(entry, from_aws) {
                Ok(event) => {
                    let id = event["id"].clone();
                    self.publish(&event);
                    json!({"EventId": id})
                }
                Err((code, message)) => {
                    failed += 1;
                    json!({"ErrorCode": code, "ErrorMessage": message})
                }
            })
            .collect();
        Ok(json!({"FailedEntryCount": failed, "Entries": results}))
    }

    fn envelope(&self, entry: &Entry, from_aws: bool) -> Result<Value, Refused> {
        let source = required("Source", entry.source.as_ref())?;
        let detail_type = required("DetailType", entry.detail_type.as_ref())?;
        let detail = required("Detail", entry.detail.as_ref())?;
        if source.starts_with("aws.") && !from_aws {
            return Err((
                "NotAuthorizedForSourceException",
                "Not authorized for the source.".to_owned(),
            ));
        }
        if let Some(bus) = &entry.event_bus_name
            && bus != "default"
            && *bus != self.bus_arn()
        {
            return Err((
                "InvalidArgument",
                format!("Event bus {bus} does not exist; the local cloud has `default`."),
            ));
        }
        let detail: Value = serde_json::from_str(detail)
            .ok()
            .filter(Value::is_object)
            .ok_or_else(|| ("MalformedDetail", "Detail is malformed.".to_owned()))?;
        let time = entry
            .time
            .and_then(from_epoch_seconds)
            .unwrap_or_else(|| self.cloud.clock().now());
        Ok(self.event(source, detail_type, &entry.resources, &detail, time))
    }

    pub(crate) fn event(
        &self,
        source: &str,
        detail_type: &str,
        resources: &[String],
        detail: &Value,
        time: Timestamp,
    ) -> Value {
        let account = self.cloud.account();
        json!({
            "version": "0",
            "id": Uuid::new_v4().to_string(),
            "detail-type": detail_type,
            "source": source,
            "account": account.id,
            "time": iso_seconds(time),
            "region": account.region,
            "resources": resources,
            "detail": detail,
        })
    }

    /// Puts an event on the bus: remembered, then on its way to every target it matches.
    fn publish(&self, event: &Value) {
        let deliveries: Vec<_> = {
            let state = lock(&self.state);
            let matching = state.rules.values().filter(|rule| rule.matches(event));
            matching.flat_map(Rule::deliveries).collect()
        };
        debug!(source = %event["source"], detail_type = %event["detail-type"], targets = deliveries.len(), "event");
        self.remember(event.clone());
        for delivery in deliveries {
            self.deliver(delivery, event);
        }
    }
}

/// As envelopes write the time: to the second, in UTC.
pub(crate) fn iso_seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn from_epoch_seconds(seconds: f64) -> Option<Timestamp> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "time stamps out of range are refused by jiff"
    )]
    let milliseconds = (seconds * 1_000.0).round() as i64;
    Timestamp::from_millisecond(milliseconds).ok()
}
