//! Lambda's refusals, with its own codes, statuses and words.

use signalbox_local_core::AwsError;

pub(crate) fn not_found(message: impl Into<String>) -> AwsError {
    AwsError::new("ResourceNotFoundException", message).with_status(404)
}

pub(crate) fn function_not_found(arn: &str) -> AwsError {
    not_found(format!("Function not found: {arn}"))
}

pub(crate) fn conflict(message: impl Into<String>) -> AwsError {
    AwsError::new("ResourceConflictException", message).with_status(409)
}

pub(crate) fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new("InvalidParameterValueException", message)
}

pub(crate) fn stale_revision(read_with: &str) -> AwsError {
    AwsError::new(
        "PreconditionFailedException",
        format!(
            "The Revision Id provided does not match the latest Revision Id. Call the {read_with} API to retrieve \
             the latest Revision Id"
        ),
    )
    .with_status(412)
}

/// Lambda's code for a throttled invocation; asynchronous delivery looks for it.
pub(crate) const THROTTLED: &str = "TooManyRequestsException";

/// AWS puts the reason into a member of its own; errors here carry a message only, so it stands there.
pub(crate) fn throttled(reason: &str) -> AwsError {
    AwsError::new(THROTTLED, format!("Rate Exceeded. (Reason: {reason})")).with_status(429)
}

pub(crate) fn too_large(limit: usize) -> AwsError {
    AwsError::new(
        "RequestTooLargeException",
        format!("Request must be smaller than {limit} bytes for the InvokeFunction operation"),
    )
    .with_status(413)
}

pub(crate) fn not_json(reason: &str) -> AwsError {
    AwsError::new(
        "InvalidRequestContentException",
        format!("Could not parse request body into json: {reason}"),
    )
}

/// No statement of the function's resource policy allows what a service asks for.
pub(crate) fn not_allowed(principal: &str, action: &str, resource: &str) -> AwsError {
    AwsError::new(
        "AccessDeniedException",
        format!(
            "User: {principal} is not authorized to perform: {action} on resource: {resource} because no \
             resource-based policy allows the {action} action"
        ),
    )
    .with_status(403)
}
