//! Region and credentials as the AWS CLI finds them, because it is asked for them.
//!
//! Profiles, IAM Identity Center, assumed roles, containers and instances: the AWS CLI knows them all, caches
//! what can be cached, and is what people sign in with. The SDK's own chain would say the same; but its crate
//! turns features of the SDK on, for every function that is built beside this program.

use std::process::Stdio;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::process::Command;

/// Where a browser has to be waited for, `aws sso login` has been forgotten; instance roles answer at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks the AWS CLI whenever the last credentials are about to expire.
#[derive(Debug, Clone)]
pub(super) struct AwsCli {
    profile: Option<String>,
}

impl AwsCli {
    /// Asks for this profile, else for what the environment and the configuration say.
    pub(super) fn new(profile: Option<String>) -> Self {
        Self { profile }
    }

    /// The region that the configuration names.
    pub(super) async fn region(&self) -> Option<String> {
        let answer = self.ask(&["configure", "get", "region"]).await.ok()?;
        let region = String::from_utf8_lossy(&answer).trim().to_owned();
        (!region.is_empty()).then_some(region)
    }

    /// Credentials, or why there are none.
    pub(super) async fn credentials(&self) -> Result<Credentials, String> {
        let answer = self
            .ask(&["configure", "export-credentials", "--format", "process"])
            .await?;
        read(&answer)
    }

    async fn ask(&self, arguments: &[&str]) -> Result<Vec<u8>, String> {
        let mut command = Command::new("aws");
        command.args(arguments);
        if let Some(profile) = &self.profile {
            command.args(["--profile", profile]);
        }
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output()).await;
        let output = output
            .map_err(|_| format!("the AWS CLI did not answer within {} s", PATIENCE.as_secs()))?
            .map_err(|error| format!("the AWS CLI cannot be run: {error}"))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("Invalid choice") {
            return Err("the AWS CLI is older than 2.9, which cannot hand credentials over".to_owned());
        }
        let said = crate::output::line(&said, 300);
        Err(if said.is_empty() {
            "the AWS CLI has none".to_owned()
        } else {
            said
        })
    }
}

impl ProvideCredentials for AwsCli {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let found: provider::Result = self.credentials().await.map_err(CredentialsError::provider_error);
            found
        })
    }
}

/// What `export-credentials --format process` prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Exported {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<Timestamp>,
}

fn read(answer: &[u8]) -> Result<Credentials, String> {
    // The parser's own message may repeat what it read.
    let exported: Exported = serde_json::from_slice(answer)
        .map_err(|_| "the AWS CLI's answer cannot be read; is it version 2.9 or newer?".to_owned())?;
    Ok(Credentials::new(
        exported.access_key_id,
        exported.secret_access_key,
        exported.session_token,
        exported.expiration.map(SystemTime::from),
        "aws-cli",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exported_credentials_are_read_with_their_expiry() {
        let answer = br#"{"Version": 1, "AccessKeyId": "AKIA", "SecretAccessKey": "s", "SessionToken": "t",
            "Expiration": "2026-05-29T15:00:00+00:00"}"#;
        let read = read(answer).unwrap();
        assert_eq!((read.access_key_id(), read.session_token()), ("AKIA", Some("t")));
        let expires: Timestamp = "2026-05-29T15:00:00Z".parse().unwrap();
        assert_eq!(read.expiry(), Some(SystemTime::from(expires)));
    }

    #[test]
    fn what_cannot_be_read_is_not_repeated() {
        let refused = read(br#"{"AccessKeyId": "AKIA", "SecretAccessKey": 7}"#).unwrap_err();
        assert!(
            !refused.contains("AKIA") && refused.contains("version"),
            "{refused}"
        );
    }
}
