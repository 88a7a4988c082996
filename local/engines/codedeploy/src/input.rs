//! Reading inputs that were already checked against the service's model, and paging answers.

use serde_json::{Value, json};
use signalbox_local_core::AwsError;

/// CodeDeploy lets callers choose no page size; this is its own.
const PAGE: usize = 100;

pub(crate) fn optional<'v>(input: &'v Value, member: &str) -> Option<&'v str> {
    input
        .get(member)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

/// The member's text, or AWS's error for its absence.
pub(crate) fn required<'v>(input: &'v Value, member: &str, error: &str) -> Result<&'v str, AwsError> {
    optional(input, member).ok_or_else(|| AwsError::new(error, format!("{member} must be specified.")))
}

pub(crate) fn texts<'v>(input: &'v Value, member: &str) -> Vec<&'v str> {
    input
        .get(member)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// A page of a list: its `nextToken` is the place where the next one begins.
pub(crate) fn page(input: &Value, member: &str, all: &[Value]) -> Result<Value, AwsError> {
    let start = match optional(input, "nextToken") {
        None => 0,
        Some(token) => token
            .parse::<usize>()
            .ok()
            .filter(|start| *start <= all.len())
            .ok_or_else(|| {
                AwsError::new(
                    "InvalidNextTokenException",
                    "The next token was specified in an invalid format.",
                )
            })?,
    };
    let end = all.len().min(start + PAGE);
    let mut answer = json!({ member: all[start..end] });
    if end < all.len() {
        answer["nextToken"] = Value::from(end.to_string());
    }
    Ok(answer)
}

/// Refuses lists longer than the batch operations take.
pub(crate) fn within(limit: usize, count: usize) -> Result<(), AwsError> {
    if count > limit {
        return Err(AwsError::new(
            "BatchLimitExceededException",
            format!("The maximum number of names or IDs allowed for this request ({limit}) was exceeded."),
        ));
    }
    Ok(())
}
