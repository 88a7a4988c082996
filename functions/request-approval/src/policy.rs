//! The approval policy, as Parameter Store has it now.

use aws_sdk_ssm::operation::get_parameter::GetParameterError;
use signalbox_bootstrap::aws_failure;
use signalbox_decision::approval::policy::Policy;

use crate::app::App;
use crate::error::Error;

/// Reads the policy, anew for every request: they are few, and each is to follow the rules of its day.
/// The inner error says, as a sentence, why there is none; then nobody can be asked.
pub(crate) async fn policy(app: &App) -> Result<Result<Policy, String>, Error> {
    let Some(name) = &app.config.policy_parameter else {
        return Ok(Err("no approval policy is configured.".to_owned()));
    };
    let answer = app
        .parameters
        .get_parameter()
        .name(name)
        .with_decryption(true)
        .send()
        .await;
    let value = match answer {
        Ok(answer) => answer
            .parameter
            .and_then(|parameter| parameter.value)
            .unwrap_or_default(),
        Err(error) => match error.as_service_error() {
            Some(GetParameterError::ParameterNotFound(_)) => {
                return Ok(Err(format!("the approval policy {name} does not exist.")));
            }
            _ => {
                return Err(Error::Aws {
                    call: "GetParameter",
                    failure: aws_failure(&error),
                });
            }
        },
    };
    Ok(Policy::parse(&value)
        .map_err(|mistakes| format!("the approval policy {name} is not valid: {mistakes}")))
}
