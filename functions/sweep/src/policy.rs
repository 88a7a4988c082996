//! The environment's approval policy, read anew when it is older than a minute.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_ssm::operation::get_parameter::GetParameterError;
use jiff::{SignedDuration, Timestamp};
use signalbox_bootstrap::aws_failure;
use signalbox_decision::approval::policy::Policy;

use crate::app::App;
use crate::error::Error;

const FRESH_FOR: SignedDuration = SignedDuration::from_secs(60);

/// What was read last, and when.
#[derive(Debug, Default)]
pub(crate) struct PolicyCache {
    read: Mutex<Option<(Timestamp, Arc<Policy>)>>,
}

impl PolicyCache {
    fn fresh(&self, now: Timestamp) -> Option<Arc<Policy>> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, policy) = read.as_ref()?;
        (now.duration_since(*at) < FRESH_FOR).then(|| Arc::clone(policy))
    }

    fn keep(&self, now: Timestamp, policy: &Arc<Policy>) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        *read = Some((now, Arc::clone(policy)));
    }
}

/// The policy; none where the environment has none, by the function's configuration or in Parameter Store. A malformed one is an error, and never the last good one.
pub(crate) async fn policy(app: &App, now: Timestamp) -> Result<Option<Arc<Policy>>, Error> {
    let Some(name) = &app.config.policy else {
        return Ok(None);
    };
    if let Some(policy) = app.policy.fresh(now) {
        return Ok(Some(policy));
    }
    let answer = app.parameters.get_parameter().name(name).send().await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error)
            if error
                .as_service_error()
                .is_some_and(GetParameterError::is_parameter_not_found) =>
        {
            return Ok(None);
        }
        Err(error) => {
            return Err(Error::Aws {
                call: "GetParameter",
                failure: aws_failure(&error),
            });
        }
    };
    let text = answer.parameter().and_then(|parameter| parameter.value());
    let policy =
        Policy::parse(text.unwrap_or_default()).map_err(|mistakes| Error::Policy(mistakes.to_string()))?;
    let policy = Arc::new(policy);
    app.policy.keep(now, &policy);
    Ok(Some(policy))
}
