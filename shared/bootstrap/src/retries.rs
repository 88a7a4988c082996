//! Retries that the SDK's standard classifiers leave out.

use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};

/// Retries throttling that arrives as status 429 with an unlisted code (SNS answers `Throttled`), and
/// CodePipeline's `ConflictException`, which means that another change of the pipeline is under way.
/// The SDK gives each of them a single attempt.
#[derive(Debug, Clone, Copy)]
pub struct MoreRetries;

impl ClassifyRetry for MoreRetries {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(response) = context.response() else {
            return RetryAction::NoActionIndicated;
        };
        if response.status().as_u16() == 429 {
            return RetryAction::throttling_error();
        }
        if response.status().is_success() {
            return RetryAction::NoActionIndicated;
        }
        #[derive(serde::Deserialize)]
        struct Answer {
            #[serde(rename = "__type")]
            code: String,
        }
        let answer = response
            .body()
            .bytes()
            .and_then(|body| serde_json::from_slice::<Answer>(body).ok());
        match answer {
            Some(Answer { code }) if code.ends_with("ConflictException") => RetryAction::transient_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "signalbox: 429 and ConflictException"
    }
}

/// For a call that has no idempotency token, such as CodeDeploy's `CreateDeployment`: only what AWS has refused (a status
/// of 400 to 499, throttling included) is sent again. After a reset, a time-out or a fault of AWS's own nobody knows
/// whether it had its effect, and whoever called has to look first.
///
/// Whatever other classifiers say, one that forbids a retry has the last word.
#[derive(Debug, Clone, Copy)]
pub struct OnlyRefused;

impl ClassifyRetry for OnlyRefused {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let status = context.response().map(|response| response.status().as_u16());
        match status {
            Some(400..=499) => RetryAction::NoActionIndicated,
            _ => RetryAction::RetryForbidden,
        }
    }

    fn name(&self) -> &'static str {
        "signalbox: only what was refused"
    }
}
