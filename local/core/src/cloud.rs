//! How engines reach each other.

use std::path::Path;

use async_trait::async_trait;
use serde_json::Value;

use crate::{Account, AwsError, Caller, Clock};

/// One AWS service.
#[async_trait]
pub trait Engine: Send + Sync {
    /// The name under which botocore ships the service's model, for example `codepipeline`,
    /// `cloudwatch`, `events`, `lambda`.
    fn service(&self) -> &'static str;

    /// Every operation the engine has, as AWS spells it.
    fn operations(&self) -> &'static [&'static str];

    /// Performs an operation. Time stamps are epoch seconds, blobs are base64 text, both ways;
    /// member names are those of the service's model.
    ///
    /// # Errors
    /// AWS's own error code for what is refused.
    async fn call(&self, caller: &Caller, operation: &str, input: Value) -> Result<Value, AwsError>;

    /// Ends everything the engine started: processes, listeners, tasks. Called once.
    async fn shutdown(&self) {}
}

/// An event on the account's default bus, before the envelope (`id`, `time`, `account`, `region`).
#[derive(Debug, Clone, PartialEq)]
pub struct AwsEvent {
    /// For example `aws.codepipeline`.
    pub source: String,
    /// For example `CodePipeline Pipeline Execution State Change`.
    pub detail_type: String,
    /// ARNs that the event is about.
    pub resources: Vec<String>,
    /// The event's own part.
    pub detail: Value,
}

/// A stored S3 object, read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Set where the bucket is versioned.
    pub version_id: Option<String>,
    /// User metadata (`x-amz-meta-…`), keys in lower case.
    pub metadata: Vec<(String, String)>,
}

/// The cloud as an engine sees it.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// Calls any service, an engine or the emulator, in process. `service` is botocore's name.
    ///
    /// # Errors
    /// What the service answers.
    async fn call(
        &self,
        caller: &Caller,
        service: &str,
        operation: &str,
        input: Value,
    ) -> Result<Value, AwsError>;

    /// Puts an event of an AWS service on the default bus (`PutEvents` refuses sources of AWS's own).
    async fn emit(&self, event: AwsEvent);

    /// Reads an object; the newest version where none is named.
    ///
    /// # Errors
    /// `NoSuchKey`, `NoSuchVersion`, `NoSuchBucket`.
    async fn get_object(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<StoredObject, AwsError>;

    /// Stores an object; answers its version where the bucket is versioned.
    ///
    /// # Errors
    /// `NoSuchBucket`.
    async fn put_object(&self, bucket: &str, key: &str, bytes: Vec<u8>) -> Result<Option<String>, AwsError>;

    /// The clock of all engines.
    fn clock(&self) -> &Clock;

    /// Account and region.
    fn account(&self) -> &Account;

    /// The gateway's base URL, for example `http://127.0.0.1:4750`; what processes get as
    /// `AWS_ENDPOINT_URL`.
    fn endpoint(&self) -> String;

    /// A directory of this cloud's own, removed at its end.
    fn work_dir(&self) -> &Path;

    /// Credentials (access key id, secret access key, session token) for a session of `role_arn`.
    /// Calls made with them are checked against the role's policies.
    fn credentials_for(&self, role_arn: &str, session: &str) -> (String, String, String);
}
