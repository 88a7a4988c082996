//! The environment's approval policy, as Parameter Store has it now.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_ssm::operation::get_parameter::GetParameterError;
use signalbox_bootstrap::aws_failure;
use signalbox_decision::approval::policy::{Policy, PolicyMistakes};
use tokio::time::Instant;

use crate::Error;

/// Why there is no policy, as a sentence: then nobody can decide by link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPolicy {
    /// The function knows of no parameter.
    #[error("no approval policy is configured.")]
    NotConfigured,
    /// The parameter does not exist.
    #[error("the approval policy {0} does not exist.")]
    Missing(String),
    /// It is not valid.
    #[error("the approval policy {parameter} is not valid: {mistakes}")]
    Malformed {
        /// The parameter's name.
        parameter: String,
        /// All of its mistakes.
        mistakes: PolicyMistakes,
    },
}

/// Reads the policy when the last reading is older than `fresh_for`.
///
/// Fails closed: a parameter that is not there, or that is no valid policy, is no policy, and one that
/// cannot be read is an error; an older one never stands in for it. What is missing is being mended, and so
/// is looked for each time.
#[derive(Debug)]
pub struct Policies {
    client: aws_sdk_ssm::Client,
    parameter: Option<String>,
    fresh_for: Duration,
    cached: Mutex<Option<(Arc<Policy>, Instant)>>,
}

impl Policies {
    /// Of a parameter; `None`: there is no policy.
    #[must_use]
    pub fn new(client: aws_sdk_ssm::Client, parameter: Option<String>, fresh_for: Duration) -> Self {
        Self {
            client,
            parameter,
            fresh_for,
            cached: Mutex::new(None),
        }
    }

    /// Today's policy, or why there is none.
    ///
    /// # Errors
    /// If Parameter Store does not tell.
    pub async fn current(&self) -> Result<Result<Arc<Policy>, NoPolicy>, Error> {
        let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((policy, read)) = cached
            && read.elapsed() < self.fresh_for
        {
            return Ok(Ok(policy));
        }
        let policy = self.read().await?.map(Arc::new);
        if let Ok(policy) = &policy {
            *self.cached.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((Arc::clone(policy), Instant::now()));
        }
        Ok(policy)
    }

    async fn read(&self) -> Result<Result<Policy, NoPolicy>, Error> {
        let Some(name) = &self.parameter else {
            return Ok(Err(NoPolicy::NotConfigured));
        };
        let answer = match self.client.get_parameter().name(name).send().await {
            Ok(answer) => answer,
            Err(error)
                if matches!(
                    error.as_service_error(),
                    Some(GetParameterError::ParameterNotFound(_))
                ) =>
            {
                return Ok(Err(NoPolicy::Missing(name.clone())));
            }
            Err(error) => {
                return Err(Error::Aws {
                    call: "GetParameter",
                    failure: aws_failure(&error),
                });
            }
        };
        let text = answer.parameter().and_then(|parameter| parameter.value());
        Ok(
            Policy::parse(text.unwrap_or_default()).map_err(|mistakes| NoPolicy::Malformed {
                parameter: name.clone(),
                mistakes,
            }),
        )
    }
}
