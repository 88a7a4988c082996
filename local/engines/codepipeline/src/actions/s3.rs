//! Source actions: the object's pinned version, else its newest, becomes the output artifact.

use std::collections::BTreeMap;
use std::sync::Arc;

use md5::{Digest, Md5};

use super::artifacts::bucket_failure;
use crate::engine::Inner;
use crate::state::Revision;
use crate::task::{ActionTask, Failure, Outcome, Success};

/// Object metadata that says what a revision is about, as AWS documents it for S3 sources.
const SUMMARY: &str = "codepipeline-artifact-revision-summary";

pub(super) async fn run(
    inner: &Arc<Inner>,
    task: &ActionTask,
    configuration: &BTreeMap<String, String>,
) -> Outcome {
    let bucket = configuration.get("S3Bucket").map_or("", String::as_str);
    let configured = configuration.get("S3ObjectKey").map_or("", String::as_str);
    let key = task.pin.key.as_deref().unwrap_or(configured);
    let object = inner.cloud.get_object(bucket, key, task.pin.version.as_deref()).await.map_err(|error| {
        let version = task.pin.version.as_deref().map(|id| format!(" with version {id}")).unwrap_or_default();
        Failure::configuration(format!(
            "The object with key '{key}'{version} could not be read from the Amazon S3 bucket '{bucket}': {}",
            error.message
        ))
    })?;
    let Some(version) = object.version_id else {
        return Err(Failure::configuration(format!(
            "The Amazon S3 bucket '{bucket}' is not versioned: turn versioning on, since a source action names the \
             version that it took"
        )));
    };
    let Some(output) = task.outputs.first() else {
        return Err(Failure::configuration("The source action has no output artifact"));
    };
    let etag = hex::encode(Md5::digest(&object.bytes));
    inner
        .cloud
        .put_object(&output.bucket, &output.key, object.bytes)
        .await
        .map_err(|error| bucket_failure(output, &error))?;
    let summary = object
        .metadata
        .iter()
        .find(|(name, _)| name == SUMMARY)
        .map_or_else(
            || format!("Amazon S3 version id: {version}"),
            |(_, text)| text.clone(),
        );
    let url = format!("https://console.aws.amazon.com/s3/object/{bucket}?prefix={key}&versionId={version}");
    let variables = [
        ("BucketName", bucket),
        ("ObjectKey", key),
        ("VersionId", &version),
        ("ETag", &etag),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    Ok(Success {
        summary: Some(summary.clone()),
        external_id: Some(version.clone()),
        external_url: Some(url.clone()),
        variables,
        revision: Some(Revision {
            action: task.action.clone(),
            artifact: output.name.clone(),
            id: version,
            summary,
            url,
            created: inner.cloud.clock().now(),
        }),
    })
}
