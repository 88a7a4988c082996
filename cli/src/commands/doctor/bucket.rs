//! The source bucket: it keeps versions, and tells EventBridge.

use aws_sdk_s3::types::BucketVersioningStatus;
use signalbox_bootstrap::aws_failure;

use super::Patient;
use super::check::Check;
use super::finding::Finding;

const VERSIONS: Check = Check::BucketVersions;
const EVENTS: Check = Check::BucketEvents;

pub(super) async fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let (s3, bucket) = (patient.cloud.s3(), patient.bucket.as_str());
    let (versioning, notifications) = tokio::join!(
        s3.get_bucket_versioning().bucket(bucket).send(),
        s3.get_bucket_notification_configuration().bucket(bucket).send(),
    );
    let fix = "Make it, or give the stack's parameter SourceBucketName the right name.";
    let versioning = match versioning {
        Ok(answer) => of_versioning(bucket, answer.status()),
        Err(error) => Finding::failed(VERSIONS, bucket, &aws_failure(&error), fix),
    };
    let events = match notifications {
        Ok(answer) => of_events(bucket, answer.event_bridge_configuration().is_some()),
        Err(error) => Finding::failed(EVENTS, bucket, &aws_failure(&error), fix),
    };
    vec![versioning, events]
}

fn of_versioning(bucket: &str, status: Option<&BucketVersioningStatus>) -> Finding {
    if status == Some(&BucketVersioningStatus::Enabled) {
        return Finding::sound(VERSIONS, bucket, "it keeps versions");
    }
    Finding::wrong(
        VERSIONS,
        bucket,
        "it keeps no versions, so that every upload is rejected: a run is pinned to a version",
        format!(
            "aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled, and upload \
             again."
        ),
    )
}

fn of_events(bucket: &str, goes_to_eventbridge: bool) -> Finding {
    if goes_to_eventbridge {
        return Finding::sound(EVENTS, bucket, "it sends its events to EventBridge");
    }
    Finding::wrong(
        EVENTS,
        bucket,
        "it does not send its events to EventBridge, so that no upload starts anything",
        format!(
            "aws s3api put-bucket-notification-configuration --bucket {bucket} --notification-configuration \
             '{{\"EventBridgeConfiguration\":{{}}}}' (it replaces what the bucket has: add to it what \
             get-bucket-notification-configuration answers)."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_bucket_keeps_versions_and_tells_eventbridge() {
        let verdict = |status| of_versioning("b", status).verdict;
        assert_eq!(verdict(Some(&BucketVersioningStatus::Enabled)), Verdict::Sound);
        assert_eq!(verdict(Some(&BucketVersioningStatus::Suspended)), Verdict::Wrong);
        assert_eq!(verdict(None), Verdict::Wrong);
        assert_eq!(of_events("b", true).verdict, Verdict::Sound);
        assert_eq!(of_events("b", false).verdict, Verdict::Wrong);
    }
}
