//! What a handler's error becomes.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use lambda_runtime::Diagnostic;

/// A failed invocation. Its type is stable (`Retryable`, `NonRetryable`), so that a destination's
/// reader, an alarm or a test can tell the two apart without reading prose.
///
/// Lambda retries both kinds of an asynchronous invocation; a repeated permanent failure is cheap, and
/// ends in the dead-letter queue with the message that says what to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    retryable: bool,
    message: String,
}

impl Failure {
    /// Trying again may help: throttled, timed out, a claim held by another invocation.
    #[must_use]
    pub fn retryable(message: impl Into<String>) -> Self {
        Self {
            retryable: true,
            message: message.into(),
        }
    }

    /// Trying again will not help until somebody mends what the message names.
    #[must_use]
    pub fn permanent(message: impl Into<String>) -> Self {
        Self {
            retryable: false,
            message: message.into(),
        }
    }

    /// Whether trying again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// What went wrong, for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        let error_type = if failure.retryable {
            "Retryable"
        } else {
            "NonRetryable"
        };
        Self {
            error_type: error_type.to_owned(),
            error_message: failure.message,
        }
    }
}

/// What is worth knowing of an SDK error. It never holds an input: the `Debug` form of an input may
/// print a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", code.as_deref().map(|code| format!("{code}: ")).unwrap_or_default())]
pub struct AwsFailure {
    /// AWS's error code, where AWS answered.
    pub code: Option<String>,
    /// AWS's message, or what kept the answer from arriving.
    pub message: String,
    /// Whether trying later may help.
    pub retryable: bool,
    /// Whether AWS refused the call, so that it is certain that it had no effect. After a fault of the service,
    /// and without an answer, nobody knows, and whoever holds a claim on the effect keeps it.
    pub refused: bool,
}

impl AwsFailure {
    /// A request that lacks something, and so was never sent: a fault of this program.
    #[must_use]
    pub fn incomplete() -> Self {
        Self {
            code: None,
            message: "the request is incomplete: a fault of this program".to_owned(),
            retryable: false,
            refused: true,
        }
    }

    /// Whether AWS answered with this error code.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

impl From<AwsFailure> for Failure {
    fn from(failure: AwsFailure) -> Self {
        let message = failure.to_string();
        if failure.retryable {
            Self::retryable(message)
        } else {
            Self::permanent(message)
        }
    }
}

/// Codes after which a later attempt may succeed: throttling by its several names, limits that free
/// themselves, conflicts with an operation under way, faults of the service.
const RETRYABLE_CODES: [&str; 16] = [
    "ConcurrentModificationException",
    "ConcurrentPipelineExecutionsLimitExceededException",
    "ConflictException",
    // Another deployment of the group is under way.
    "DeploymentLimitExceededException",
    "InternalFailure",
    "InternalServerError",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttled",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// What AWS answered; `None` where its error says that what was asked about does not exist, or no longer.
///
/// # Errors
/// Any other error, as [`aws_failure`] reads it.
pub fn unless_missing<T, E>(
    answer: Result<T, SdkError<E, HttpResponse>>,
    is_missing: impl FnOnce(&E) -> bool,
) -> Result<Option<T>, AwsFailure>
where
    E: ProvideErrorMetadata,
{
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.as_service_error().is_some_and(is_missing) => Ok(None),
        Err(error) => Err(aws_failure(&error)),
    }
}

/// Reads an SDK error: code, message, whether a later attempt may help.
pub fn aws_failure<E>(error: &SdkError<E, HttpResponse>) -> AwsFailure
where
    E: ProvideErrorMetadata,
{
    match error {
        // The SDK's parsers take what they cannot read for an error of the service's.
        SdkError::ServiceError(answer) if answer.raw().status().is_success() => no_answer(UNREADABLE, true),
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            let code = answer.err().code().map(str::to_owned);
            let message = answer.err().message().unwrap_or("AWS gave no message").to_owned();
            let by_code = code
                .as_deref()
                .is_some_and(|code| RETRYABLE_CODES.contains(&code));
            AwsFailure {
                code,
                message,
                retryable: by_code || status >= 500 || status == 429,
                // 408 says that the request did not arrive in time, not what became of it.
                refused: (400..500).contains(&status) && status != 408,
            }
        }
        SdkError::TimeoutError(_) => no_answer("AWS did not answer in time", true),
        SdkError::DispatchFailure(failure) => {
            let why = failure
                .as_connector_error()
                .map_or_else(String::new, |e| format!(": {e}"));
            no_answer(&format!("AWS could not be reached{why}"), true)
        }
        SdkError::ResponseError(_) => no_answer(UNREADABLE, true),
        SdkError::ConstructionFailure(_) => AwsFailure {
            refused: true,
            ..no_answer(
                "the request could not be built: a value is missing or malformed",
                false,
            )
        },
        _ => no_answer("the call failed for an unknown reason", true),
    }
}

/// Half an answer, or a proxy's.
const UNREADABLE: &str = "AWS answered something that cannot be read";

fn no_answer(message: &str, retryable: bool) -> AwsFailure {
    AwsFailure {
        code: None,
        message: message.to_owned(),
        retryable,
        refused: false,
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    fn answered(status: u16, code: Option<&str>) -> AwsFailure {
        let mut error = ErrorMetadata::builder();
        if let Some(code) = code {
            error = error.code(code);
        }
        let response = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty());
        aws_failure(&SdkError::service_error(error.build(), response))
    }

    #[test]
    fn only_a_refusal_says_that_there_was_no_effect() {
        for (status, code, retryable, refused) in [
            (400, Some("AccessDeniedException"), false, true),
            (400, Some("ThrottlingException"), true, true),
            (429, Some("Throttled"), true, true),
            (408, None, false, false),
            (500, Some("InternalFailure"), true, false),
            (503, Some("ServiceUnavailable"), true, false),
            (502, None, true, false),
        ] {
            let failure = answered(status, code);
            assert_eq!(
                (failure.retryable, failure.refused),
                (retryable, refused),
                "{status} {code:?}"
            );
        }
        let lost = aws_failure::<ErrorMetadata>(&SdkError::timeout_error("no answer"));
        assert!(lost.retryable && !lost.refused);
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_no_refusal() {
        let failure = answered(200, None);
        assert!(failure.retryable && !failure.refused, "{failure:?}");
        assert!(failure.to_string().contains("cannot be read"), "{failure}");
    }
}
