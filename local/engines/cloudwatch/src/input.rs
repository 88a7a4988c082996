//! Reading inputs that were already checked against the service's model, refusing, and paging.

use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

pub(crate) fn optional<'v>(input: &'v Value, member: &str) -> Option<&'v str> {
    input.get(member).and_then(Value::as_str)
}

pub(crate) fn list<'v>(input: &'v Value, member: &str) -> &'v [Value] {
    input
        .get(member)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

pub(crate) fn texts<'v>(input: &'v Value, member: &str) -> Vec<&'v str> {
    list(input, member).iter().filter_map(Value::as_str).collect()
}

pub(crate) fn whole(input: &Value, member: &str) -> Option<u32> {
    input
        .get(member)
        .and_then(Value::as_u64)
        .and_then(|number| u32::try_from(number).ok())
}

/// A point in time, to the millisecond.
pub(crate) fn time(input: &Value, member: &str) -> Option<Timestamp> {
    let seconds = input.get(member)?.as_f64()?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "time stamps out of range are refused by jiff"
    )]
    let milliseconds = (seconds * 1_000.0).round() as i64;
    Timestamp::from_millisecond(milliseconds).ok()
}

/// `ValidationError`, with which alarms and queries are refused.
pub(crate) fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new("ValidationError", message)
}

pub(crate) fn invalid_value(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidParameterValue", message)
}

pub(crate) fn invalid_combination(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidParameterCombination", message)
}

/// Where a page begins and ends, of a list of `length`.
pub(crate) fn page(input: &Value, length: usize, size: usize) -> Result<std::ops::Range<usize>, AwsError> {
    let start = match optional(input, "NextToken") {
        None => 0,
        Some(token) => token
            .parse::<usize>()
            .ok()
            .filter(|start| *start <= length)
            .ok_or_else(|| AwsError::new("InvalidNextToken", "The next token specified is invalid."))?,
    };
    Ok(start..length.min(start.saturating_add(size)))
}

/// The answer with the token of what follows the page.
pub(crate) fn with_next(mut answer: Value, page: &std::ops::Range<usize>, length: usize) -> Value {
    if page.end < length {
        answer["NextToken"] = json!(page.end.to_string());
    }
    answer
}
