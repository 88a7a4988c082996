//! Which permissions a request to S3 needs.

use http::Method;

use super::needs::Needed;
use crate::gateway::s3::S3Call;

/// Sub-resources of a bucket, with what reading, writing and deleting them needs.
const BUCKET: [(&str, &str, &str, &str); 12] = [
    (
        "notification",
        "GetBucketNotification",
        "PutBucketNotification",
        "PutBucketNotification",
    ),
    (
        "versioning",
        "GetBucketVersioning",
        "PutBucketVersioning",
        "PutBucketVersioning",
    ),
    ("versions", "ListBucketVersions", "", ""),
    ("uploads", "ListBucketMultipartUploads", "", ""),
    ("location", "GetBucketLocation", "", ""),
    (
        "policy",
        "GetBucketPolicy",
        "PutBucketPolicy",
        "DeleteBucketPolicy",
    ),
    ("acl", "GetBucketAcl", "PutBucketAcl", "PutBucketAcl"),
    (
        "tagging",
        "GetBucketTagging",
        "PutBucketTagging",
        "PutBucketTagging",
    ),
    (
        "encryption",
        "GetEncryptionConfiguration",
        "PutEncryptionConfiguration",
        "PutEncryptionConfiguration",
    ),
    (
        "lifecycle",
        "GetLifecycleConfiguration",
        "PutLifecycleConfiguration",
        "PutLifecycleConfiguration",
    ),
    (
        "publicAccessBlock",
        "GetBucketPublicAccessBlock",
        "PutBucketPublicAccessBlock",
        "PutBucketPublicAccessBlock",
    ),
    (
        "logging",
        "GetBucketLogging",
        "PutBucketLogging",
        "PutBucketLogging",
    ),
];

fn need(action: &str, resource: &str) -> Needed {
    Needed::new(&format!("s3:{action}"), resource)
}

/// The permissions; each of them must be allowed.
pub(crate) fn needed(call: &S3Call) -> Vec<Needed> {
    if call.bucket.is_empty() {
        return vec![need("ListAllMyBuckets", "*")];
    }
    let bucket = format!("arn:aws:s3:::{}", call.bucket);
    if call.key.is_empty() {
        on_bucket(call, &bucket)
    } else {
        on_object(call, &bucket)
    }
}

fn on_bucket(call: &S3Call, bucket: &str) -> Vec<Needed> {
    if call.method == Method::POST && call.has("delete") {
        // Which keys stands in the body, which is passed on as a stream: any key of the bucket.
        return vec![need("DeleteObject", &format!("{bucket}/*"))];
    }
    let found = BUCKET.iter().find(|(name, ..)| call.has(name));
    let action = match (&call.method, found) {
        (&Method::GET | &Method::HEAD, Some((_, read, ..))) => read,
        (&Method::PUT, Some((_, _, write, _))) => write,
        (&Method::DELETE, Some((_, _, _, delete))) => delete,
        (&Method::PUT, None) => "CreateBucket",
        (&Method::DELETE, None) => "DeleteBucket",
        (&Method::GET | &Method::HEAD, None) => {
            let mut list = need("ListBucket", bucket);
            if let Some((_, prefix)) = call.query.iter().find(|(name, _)| name == "prefix") {
                list.context.insert("s3:prefix".to_owned(), vec![prefix.clone()]);
            }
            return vec![list];
        }
        _ => "",
    };
    // What is not known needs everything, so that nothing passes by being unknown.
    vec![need(if action.is_empty() { "*" } else { action }, bucket)]
}

fn on_object(call: &S3Call, bucket: &str) -> Vec<Needed> {
    let object = format!("{bucket}/{}", call.key);
    let versioned = |action: &str, version: &str| {
        if call.has("versionId") {
            version.to_owned()
        } else {
            action.to_owned()
        }
    };
    let action = match call.method {
        Method::GET | Method::HEAD if call.has("tagging") => {
            versioned("GetObjectTagging", "GetObjectVersionTagging")
        }
        Method::GET | Method::HEAD if call.has("acl") => versioned("GetObjectAcl", "GetObjectVersionAcl"),
        Method::GET if call.has("uploadId") => "ListMultipartUploadParts".to_owned(),
        Method::GET | Method::HEAD => versioned("GetObject", "GetObjectVersion"),
        Method::PUT if call.has("tagging") => versioned("PutObjectTagging", "PutObjectVersionTagging"),
        Method::PUT if call.has("acl") => versioned("PutObjectAcl", "PutObjectVersionAcl"),
        Method::PUT | Method::POST => "PutObject".to_owned(),
        Method::DELETE if call.has("uploadId") => "AbortMultipartUpload".to_owned(),
        Method::DELETE if call.has("tagging") => {
            versioned("DeleteObjectTagging", "DeleteObjectVersionTagging")
        }
        Method::DELETE => versioned("DeleteObject", "DeleteObjectVersion"),
        _ => "*".to_owned(),
    };
    let mut all = vec![need(&action, &object)];
    if let Some(source) = &call.copy_source {
        all.push(need("GetObject", &format!("arn:aws:s3:::{source}")));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(method: &str, uri: &str) -> Vec<(String, String)> {
        let needed = needed(&S3Call::of(&method.parse().unwrap(), uri, None).unwrap());
        needed
            .into_iter()
            .map(|need| (need.action, need.resources[0].clone()))
            .collect()
    }

    #[test]
    fn a_version_is_a_permission_of_its_own() {
        let object = "arn:aws:s3:::b/source/k.zip".to_owned();
        assert_eq!(
            actions("GET", "/b/source/k.zip"),
            [("s3:GetObject".to_owned(), object.clone())]
        );
        assert_eq!(
            actions("HEAD", "/b/source/k.zip?versionId=1"),
            [("s3:GetObjectVersion".to_owned(), object)]
        );
    }

    #[test]
    fn buckets_are_told_from_objects() {
        assert_eq!(
            actions("GET", "/b?list-type=2&prefix=source/"),
            [("s3:ListBucket".to_owned(), "arn:aws:s3:::b".to_owned())]
        );
        assert_eq!(actions("PUT", "/b?notification")[0].0, "s3:PutBucketNotification");
        assert_eq!(
            actions("GET", "/"),
            [("s3:ListAllMyBuckets".to_owned(), "*".to_owned())]
        );
    }

    #[test]
    fn what_is_not_known_needs_everything() {
        assert_eq!(actions("PUT", "/b?location")[0].0, "s3:*");
    }
}
