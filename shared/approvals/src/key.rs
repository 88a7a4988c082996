//! The signing key, as Secrets Manager has it.

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use signalbox_bootstrap::aws_failure;
use signalbox_decision::approval::keys::{Key, Keys};

use crate::Error;

/// Which version of the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The one that signs (`AWSCURRENT`).
    Current,
    /// The one before, whose links still open (`AWSPREVIOUS`).
    Previous,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Current => "AWSCURRENT",
            Self::Previous => "AWSPREVIOUS",
        }
    }
}

/// One version's key; `None` where there is no such version.
///
/// # Errors
/// If Secrets Manager does not tell, or what it has is no key of ours.
pub async fn signing_key(secrets: &Client, secret: &str, stage: Stage) -> Result<Option<Key>, Error> {
    let stage = stage.name();
    let answer = secrets
        .get_secret_value()
        .secret_id(secret)
        .version_stage(stage)
        .send()
        .await;
    let value = match answer {
        Ok(value) => value,
        Err(SdkError::ServiceError(error))
            if matches!(error.err(), GetSecretValueError::ResourceNotFoundException(_)) =>
        {
            return Ok(None);
        }
        Err(error) => {
            return Err(Error::Aws {
                call: "GetSecretValue",
                failure: aws_failure(&error),
            });
        }
    };
    // The parser's own message may repeat what it read.
    let key = serde_json::from_str(value.secret_string().unwrap_or_default()).map_err(|_| {
        Error::Secret(format!(
            "its version {stage} is not {{\"id\": …, \"key\": …}} with a key of 32 bytes or more"
        ))
    })?;
    Ok(Some(key))
}

/// The key that signs, for functions that only make links: the previous one is of no use to them.
///
/// # Errors
/// If there is none.
pub async fn signing_keys(secrets: &Client, secret: &str) -> Result<Keys, Error> {
    let current = signing_key(secrets, secret, Stage::Current).await?;
    let current = current.ok_or_else(|| Error::Secret("it has no current version".to_owned()))?;
    Ok(Keys::new(current, None))
}
