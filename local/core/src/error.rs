//! What AWS answers when it refuses.

use thiserror::Error;

/// An AWS error: a code and a message, as the service's model names them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{code}: {message}")]
pub struct AwsError {
    /// The error's code, for example `PipelineNotFoundException`.
    pub code: String,
    /// The message for people.
    pub message: String,
    /// The HTTP status. Most JSON services answer 400 for every client error.
    pub status: u16,
}

impl AwsError {
    /// A client error with status 400.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            status: 400,
        }
    }

    /// The same error with another HTTP status (REST services such as Lambda use 404, 409, 429).
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// `ValidationException`: the input breaks a rule of the service's model.
    #[must_use]
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    /// `AccessDeniedException`, worded as AWS words it.
    #[must_use]
    pub fn access_denied(caller_arn: &str, action: &str, resource: &str) -> Self {
        Self::new(
            "AccessDeniedException",
            format!(
                "User: {caller_arn} is not authorized to perform: {action} on resource: {resource} because no \
                 identity-based policy allows the {action} action"
            ),
        )
    }

    /// The engine itself failed: a fault of the local cloud, never of the caller.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new("InternalFailure", message).with_status(500)
    }

    /// An operation that the engine does not have.
    #[must_use]
    pub fn unknown_operation(service: &str, operation: &str) -> Self {
        Self::new(
            "UnknownOperationException",
            format!("the local cloud's {service} engine does not have the operation {operation}"),
        )
    }
}

impl From<serde_json::Error> for AwsError {
    /// Inputs were already checked against the model, so what fails here is named as the wire's fault.
    fn from(error: serde_json::Error) -> Self {
        Self::new("SerializationException", error.to_string())
    }
}
