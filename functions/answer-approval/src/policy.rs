//! The approval policy, as Parameter Store has it now.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_ssm::operation::get_parameter::GetParameterError;
use signalbox_bootstrap::aws_failure;
use signalbox_decision::approval::policy::Policy;
use tokio::time::Instant;
use tracing::error;

use crate::error::Error;

/// For how long a policy that was read counts as today's.
const FRESH: Duration = Duration::from_secs(60);

/// Reads the policy when it is older than a minute.
///
/// Fails closed: a parameter that is not there, or that is no valid policy, is no policy, and one that
/// cannot be read is an error; an older one never stands in for it.
#[derive(Debug)]
pub(crate) struct Policies {
    client: aws_sdk_ssm::Client,
    parameter: String,
    cached: Mutex<Option<(Option<Arc<Policy>>, Instant)>>,
}

impl Policies {
    pub(crate) fn new(client: aws_sdk_ssm::Client, parameter: String) -> Self {
        Self {
            client,
            parameter,
            cached: Mutex::new(None),
        }
    }

    /// Today's policy; `None` where there is none that is valid.
    pub(crate) async fn current(&self) -> Result<Option<Arc<Policy>>, Error> {
        let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((policy, read)) = cached
            && read.elapsed() < FRESH
            // What is missing is being mended: it is looked for each time.
            && policy.is_some()
        {
            return Ok(policy);
        }
        let policy = self.fetch().await?.map(Arc::new);
        *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = Some((policy.clone(), Instant::now()));
        Ok(policy)
    }

    async fn fetch(&self) -> Result<Option<Policy>, Error> {
        let answer = self.client.get_parameter().name(&self.parameter).send().await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error)
                if matches!(
                    error.as_service_error(),
                    Some(GetParameterError::ParameterNotFound(_))
                ) =>
            {
                error!(
                    parameter = self.parameter,
                    "there is no approval policy: nobody can decide by link"
                );
                return Ok(None);
            }
            Err(error) => {
                return Err(Error::Aws {
                    call: "GetParameter",
                    failure: aws_failure(&error),
                });
            }
        };
        let text = answer
            .parameter()
            .and_then(|parameter| parameter.value())
            .unwrap_or_default();
        match Policy::parse(text) {
            Ok(policy) => Ok(Some(policy)),
            Err(mistakes) => {
                error!(parameter = self.parameter, %mistakes, "the approval policy is not valid: nobody can decide by link");
                Ok(None)
            }
        }
    }
}
