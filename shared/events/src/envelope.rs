//! What all events have in common: the EventBridge envelope, and the error that names a field.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use signalbox_decision::text::shown;
use thiserror::Error;

/// An event that cannot be acted on, with the field that is wrong. It never repeats the payload: an
/// event may carry a token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EventError {
    /// A field is missing, or is not what it should be.
    #[error("{what}: field `{path}`: {problem}")]
    Field {
        /// The kind of event.
        what: &'static str,
        /// The field, such as `detail.bucket.name`; `.` is the whole event.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Text that should be JSON and is not; nesting deeper than 128 counts as that.
    #[error("{what}: not valid JSON: {problem}")]
    Json {
        /// Where the text was found.
        what: &'static str,
        /// What the parser said.
        problem: String,
    },
    /// An event that this function has no use for: its rule or subscription is too wide.
    #[error(
        "no event that is handled here: source `{source_name}`, detail-type `{detail_type}`; \
         narrow the rule that sends it"
    )]
    Foreign {
        /// The event's source.
        source_name: String,
        /// The event's detail type.
        detail_type: String,
    },
}

impl EventError {
    /// The error for a field at hand.
    pub(crate) fn field(
        what: &'static str,
        path: impl Into<String>,
        problem: impl std::fmt::Display,
    ) -> Self {
        Self::Field {
            what,
            path: path.into(),
            problem: shown(&problem.to_string(), 200),
        }
    }
}

/// Reads `value` as `T`; an error names the path below `base` and the problem.
pub(crate) fn read<T: DeserializeOwned>(
    what: &'static str,
    base: &str,
    value: Value,
) -> Result<T, EventError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let below = error.path().to_string();
        let path = match (base, below.as_str()) {
            ("", _) => below,
            (_, ".") => base.to_owned(),
            _ => format!("{base}.{below}"),
        };
        EventError::field(what, shown(&path, 200), error.into_inner())
    })
}

/// Reads JSON text found within an event (an SNS message, an SQS body).
pub(crate) fn read_text(what: &'static str, text: &str) -> Result<Value, EventError> {
    serde_json::from_str(text).map_err(|error| EventError::Json {
        what,
        problem: shown(&error.to_string(), 200),
    })
}

/// An event as EventBridge delivers it.
///
/// Only what decisions use is typed; the `detail` is read by the module of its source.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Envelope {
    /// The event's id: the same for every delivery of it.
    #[serde(default)]
    pub id: String,
    /// Who sent it, such as `aws.s3`.
    pub source: String,
    /// Its kind, such as `Object Created`.
    #[serde(rename = "detail-type")]
    pub detail_type: String,
    /// The account it happened in.
    #[serde(default)]
    pub account: Option<String>,
    /// The region it happened in.
    #[serde(default)]
    pub region: Option<String>,
    /// When it happened, to the second; absent where AWS's text cannot be read.
    #[serde(default, deserialize_with = "loose_time")]
    pub time: Option<Timestamp>,
    /// The ARNs it concerns.
    #[serde(default)]
    pub resources: Vec<String>,
    /// What the source says.
    pub detail: Value,
}

impl Envelope {
    /// Reads the envelope.
    ///
    /// # Errors
    /// The field that is missing or malformed; a missing `detail` is one.
    pub fn parse(event: Value) -> Result<Self, EventError> {
        read("EventBridge event", "", event)
    }

    /// Reads the detail as the source's own type.
    ///
    /// # Errors
    /// The field below `detail` that is missing or malformed.
    pub fn detail<T: DeserializeOwned>(&self) -> Result<T, EventError> {
        read("EventBridge event", "detail", self.detail.clone())
    }

    /// The error for an event from elsewhere than the rule should let through.
    pub(crate) fn foreign(&self) -> EventError {
        EventError::Foreign {
            source_name: shown(&self.source, 100),
            detail_type: shown(&self.detail_type, 100),
        }
    }
}

/// A time in RFC 3339; anything else (another format, a number) is `None`, since no decision hangs on
/// it alone.
pub(crate) fn loose_time<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Timestamp>, D::Error> {
    let value = Option::<Value>::deserialize(input)?;
    Ok(value
        .as_ref()
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok()))
}

/// A whole number that AWS writes as `3`, `3.0` or `"3"`; anything else is `None`.
pub(crate) fn loose_number<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u32>, D::Error> {
    let value = Option::<Value>::deserialize(input)?;
    let number = match value {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    // Within 0..=1e9 the cast is exact.
    Ok(number
        .filter(|number| number.fract() == 0.0 && (0.0..=1e9).contains(number))
        .map(|number| number as u32))
}

/// Text, or nothing where AWS sends another type: for what is only shown.
pub(crate) fn loose_text<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    Ok(match Option::<Value>::deserialize(input)? {
        Some(Value::String(text)) => Some(text),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_missing_detail_is_named() {
        let error =
            Envelope::parse(json!({"source": "aws.s3", "detail-type": "Object Created"})).unwrap_err();
        assert!(error.to_string().contains("missing field `detail`"), "{error}");
    }

    #[test]
    fn a_field_of_another_type_is_named_by_its_path() {
        let error = Envelope::parse(json!({"source": 7, "detail-type": "x", "detail": {}})).unwrap_err();
        assert!(error.to_string().contains("`source`"), "{error}");
    }

    #[test]
    fn an_error_shows_no_control_characters() {
        let error = Envelope::parse(json!({"source": ["\u{1b}[31m\r\n"], "detail-type": "x", "detail": {}}))
            .unwrap_err();
        assert!(!error.to_string().contains(['\u{1b}', '\r', '\n']));
    }

    #[test]
    fn versions_come_as_anything() {
        #[derive(Deserialize)]
        struct Versioned {
            #[serde(default, deserialize_with = "loose_number")]
            version: Option<u32>,
        }
        for (given, expected) in [
            (json!({"version": 3.0}), Some(3)),
            (json!({"version": 6}), Some(6)),
            (json!({"version": "1"}), Some(1)),
            (json!({"version": "one"}), None),
            (json!({"version": -1}), None),
            (json!({"version": null}), None),
            (json!({}), None),
        ] {
            assert_eq!(
                serde_json::from_value::<Versioned>(given).unwrap().version,
                expected
            );
        }
    }

    #[test]
    fn an_unreadable_time_is_absent_rather_than_an_error() {
        let event = json!({"source": "s", "detail-type": "d", "time": "yesterday", "detail": {}});
        assert_eq!(Envelope::parse(event).unwrap().time, None);
    }
}
