//! The validation policy, as Parameter Store has it now.

use aws_sdk_ssm::operation::get_parameter::GetParameterError;
use signalbox_bootstrap::aws_failure;
use signalbox_decision::validation::Report;
use signalbox_decision::validation::policy::Policy;

use crate::app::App;
use crate::error::Error;

/// Reads the policy, anew for every validation. Where there is none, the defaults hold; the inner error is the
/// report of one that is malformed.
pub(crate) async fn policy(app: &App) -> Result<Result<Policy, Report>, Error> {
    let name = &app.config.policy_parameter;
    let answer = app
        .parameters
        .get_parameter()
        .name(name)
        .with_decryption(true)
        .send()
        .await;
    let parameter = match answer {
        Ok(answer) => answer.parameter,
        Err(error) => match error.as_service_error() {
            Some(GetParameterError::ParameterNotFound(_)) => return Ok(Ok(Policy::default())),
            _ => {
                return Err(Error::Aws {
                    call: "GetParameter",
                    failure: aws_failure(&error),
                });
            }
        },
    };
    let value = parameter
        .and_then(|parameter| parameter.value)
        .unwrap_or_default();
    Ok(Policy::parse(&value).map_err(|mistakes| Report::without_policy(name, &mistakes)))
}
