//! The upload itself: at once where it is small, in parts with progress where it is not.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use aws_smithy_types::timeout::TimeoutConfig;
use futures::stream::{self, StreamExt, TryStreamExt};
use signalbox_decision::package::Rejection;

use super::Report;
use super::origin::ascii;
use super::render::place;
use crate::access::{CONNECT_TIMEOUT, Cloud};
use crate::console::Console;
use crate::error::Error;

/// Bytes of a part; S3 takes parts from 5 MiB on.
const PART: usize = 8 * 1024 * 1024;
/// Parts on their way at the same time.
const AT_ONCE: usize = 4;
/// For one attempt at sending content: [`AT_ONCE`] parts of [`PART`] bytes share an uplink of 0.3 Mbit/s. What
/// does not move at all ends by this as well: to the SDK's protection against stalled streams, content that is in
/// memory is sent as soon as the connection has taken it.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Uploads a package; answers the object's version.
pub(super) async fn upload(
    cloud: &Cloud,
    report: &Report,
    package: Vec<u8>,
    console: &Console,
) -> Result<String, Error> {
    let s3 = cloud.s3();
    console.uploading(report.bytes);
    let version = if package.len() <= PART {
        at_once(&s3, report, package).await
    } else {
        in_parts(&s3, report, package, console).await
    };
    console.still();
    version?.filter(|version| version != "null").ok_or_else(|| {
        Error::Rejected(format!(
            "{}: {}. {}",
            place(report),
            Rejection::Unversioned,
            Rejection::Unversioned.mend()
        ))
    })
}

/// What start-run and CodePipeline read of the object.
fn metadata(report: &Report) -> Vec<(&'static str, String)> {
    let mut all = vec![("branch", report.branch.clone())];
    all.extend(
        report
            .origin
            .author
            .as_ref()
            .map(|who| ("author", ascii(who, 200))),
    );
    all.extend(report.origin.commit.clone().map(|commit| ("commit", commit)));
    let summary = report.origin.summary();
    all.extend(summary.map(|text| ("codepipeline-artifact-revision-summary", text)));
    all
}

/// What a call that sends content overrides: a slow uplink is no reason to give up.
fn unhurried() -> aws_sdk_s3::config::Builder {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    aws_sdk_s3::config::Builder::new().timeout_config(timeouts)
}

async fn at_once(s3: &Client, report: &Report, package: Vec<u8>) -> Result<Option<String>, Error> {
    let mut request = s3
        .put_object()
        .set_bucket(report.bucket.clone())
        .key(&report.key)
        .content_type("application/zip")
        .body(ByteStream::from(package));
    for (name, value) in metadata(report) {
        request = request.metadata(name, value);
    }
    let request = request.customize().config_override(unhurried());
    let answer = request.send().await.map_err(Error::aws(place(report)))?;
    Ok(answer.version_id().map(str::to_owned))
}

/// Parts that fail are tried again by themselves; when one fails for good, nothing of the upload is left.
async fn in_parts(
    s3: &Client,
    report: &Report,
    package: Vec<u8>,
    console: &Console,
) -> Result<Option<String>, Error> {
    let mut request = s3
        .create_multipart_upload()
        .set_bucket(report.bucket.clone())
        .key(&report.key)
        .content_type("application/zip");
    for (name, value) in metadata(report) {
        request = request.metadata(name, value);
    }
    let begun = request.send().await.map_err(Error::aws(place(report)))?;
    let id = begun.upload_id().unwrap_or_default();
    let numbered = (1..).zip(package.chunks(PART));
    let parts: Result<Vec<CompletedPart>, Error> = stream::iter(numbered)
        .map(|(number, content)| part(s3, report, id, number, content.to_vec(), console))
        .buffered(AT_ONCE)
        .try_collect()
        .await;
    let parts = match parts {
        Ok(parts) => parts,
        Err(error) => {
            let abort = s3
                .abort_multipart_upload()
                .set_bucket(report.bucket.clone())
                .key(&report.key);
            // What S3 could not abort, it lists; the first error is what matters.
            let _ = abort.upload_id(id).send().await;
            return Err(error);
        }
    };
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let request = s3
        .complete_multipart_upload()
        .set_bucket(report.bucket.clone())
        .key(&report.key)
        .upload_id(id)
        .multipart_upload(parts);
    let answer = request.send().await.map_err(Error::aws(place(report)))?;
    Ok(answer.version_id().map(str::to_owned))
}

async fn part(
    s3: &Client,
    report: &Report,
    id: &str,
    number: i32,
    content: Vec<u8>,
    console: &Console,
) -> Result<CompletedPart, Error> {
    let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
    let request = s3
        .upload_part()
        .set_bucket(report.bucket.clone())
        .key(&report.key)
        .upload_id(id)
        .part_number(number)
        .body(ByteStream::from(content))
        .customize()
        .config_override(unhurried());
    let answer = request.send().await;
    let answer = answer.map_err(Error::aws(format!("part {number} of {}", place(report))))?;
    console.arrived(size);
    Ok(CompletedPart::builder()
        .part_number(number)
        .set_e_tag(answer.e_tag().map(str::to_owned))
        .set_checksum_crc32(answer.checksum_crc32().map(str::to_owned))
        .build())
}
