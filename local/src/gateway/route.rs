//! Which service a request means.

use http::request::Parts;
use percent_encoding::percent_decode_str;

/// What a signature's credential says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credential {
    pub(super) access_key_id: String,
    /// The service's signing name.
    signing_name: String,
}

/// Signing names that are not botocore's names.
const SIGNING_NAMES: [(&str, &str); 4] = [
    ("monitoring", "cloudwatch"),
    ("states", "stepfunctions"),
    ("tagging", "resourcegroupstaggingapi"),
    ("s3express", "s3"),
];

/// What precedes the operation in `X-Amz-Target`, and the CBOR path's service name.
const TARGETS: [(&str, &str); 13] = [
    ("CodePipeline_20150709", "codepipeline"),
    ("CodeBuild_20161006", "codebuild"),
    ("CodeDeploy_20141006", "codedeploy"),
    ("GraniteServiceVersion20100801", "cloudwatch"),
    ("AWSEvents", "events"),
    ("AmazonSQS", "sqs"),
    ("Logs_20140328", "logs"),
    ("DynamoDB_20120810", "dynamodb"),
    ("secretsmanager", "secretsmanager"),
    ("AmazonSSM", "ssm"),
    ("TrentService", "kms"),
    ("AWSStepFunctions", "stepfunctions"),
    ("AmazonSNS", "sns"),
];

/// `Version` of a form, for the services of the `query` protocol.
const VERSIONS: [(&str, &str); 6] = [
    ("2010-05-15", "cloudformation"),
    ("2010-03-31", "sns"),
    ("2010-05-08", "iam"),
    ("2011-06-15", "sts"),
    ("2010-08-01", "cloudwatch"),
    ("2012-11-05", "sqs"),
];

fn known(table: &[(&str, &str)], name: &str) -> Option<String> {
    table
        .iter()
        .find(|(given, _)| *given == name)
        .map(|(_, service)| (*service).to_owned())
}

/// The credential of a signed or presigned request.
pub(super) fn credential(parts: &Parts) -> Option<Credential> {
    let header = parts
        .headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let from_header = header.and_then(|text| {
        let rest = text.split_once("Credential=")?.1;
        rest.split([',', ' ']).next().map(str::to_owned)
    });
    let from_query = || {
        let pair = parts
            .uri
            .query()?
            .split('&')
            .find_map(|pair| pair.strip_prefix("X-Amz-Credential="))?;
        percent_decode_str(pair)
            .decode_utf8()
            .ok()
            .map(std::borrow::Cow::into_owned)
    };
    let scope = from_header.or_else(from_query)?;
    // key/date/region/service/aws4_request; signatures of version 4a have no region.
    let mut pieces = scope.rsplit('/');
    if pieces.next()? != "aws4_request" {
        return None;
    }
    let signing_name = pieces.next()?.to_owned();
    let access_key_id = scope.split('/').next()?.to_owned();
    Some(Credential {
        access_key_id,
        signing_name,
    })
}

/// Botocore's name of the service; `None` where only the body can tell.
pub(super) fn service(parts: &Parts, credential: Option<&Credential>) -> Option<String> {
    if let Some(credential) = credential {
        let name = &credential.signing_name;
        return Some(known(&SIGNING_NAMES, name).unwrap_or_else(|| name.clone()));
    }
    let target = parts
        .headers
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok());
    if let Some((prefix, _)) = target.and_then(|target| target.rsplit_once('.')) {
        return known(&TARGETS, prefix);
    }
    let mut path = parts.uri.path().trim_start_matches('/').split('/');
    let first = path.next().unwrap_or_default();
    if first == "service" && parts.headers.contains_key("smithy-protocol") {
        return known(&TARGETS, path.next().unwrap_or_default());
    }
    // Lambda's paths begin with the date of an API version.
    if first.len() == 10
        && first.starts_with("20")
        && first.as_bytes().get(4) == Some(&b'-')
        && path.next().is_some()
    {
        return Some("lambda".to_owned());
    }
    let form = parts
        .headers
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let by_form = form.starts_with("application/x-www-form-urlencoded")
        || parts
            .uri
            .query()
            .is_some_and(|query| query.split('&').any(|pair| pair.starts_with("Action=")));
    (!by_form).then(|| "s3".to_owned())
}

/// The service of a form without a signature, by its `Version`.
pub(super) fn service_of_form(parts: &Parts, body: &[u8]) -> Option<String> {
    let body = String::from_utf8_lossy(body);
    let mut pairs = parts
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .chain(body.split('&'));
    known(&VERSIONS, pairs.find_map(|pair| pair.strip_prefix("Version="))?)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Parts {
        build(Request::builder()).body(()).unwrap().into_parts().0
    }

    fn service_of(parts: &Parts) -> Option<String> {
        service(parts, credential(parts).as_ref())
    }

    #[test]
    fn the_signature_names_service_and_key() {
        let parts = parts(|it| {
            it.uri("/").header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIA1/20260102/us-east-1/monitoring/aws4_request, SignedHeaders=host, Signature=0",
            )
        });
        assert_eq!(credential(&parts).unwrap().access_key_id, "AKIA1");
        assert_eq!(service_of(&parts).as_deref(), Some("cloudwatch"));
    }

    #[test]
    fn presigned_requests_name_them_too() {
        let parts =
            parts(|it| it.uri("/b/k?X-Amz-Credential=AKIA2%2F20260102%2Fus-east-1%2Fs3%2Faws4_request"));
        assert_eq!(credential(&parts).unwrap().access_key_id, "AKIA2");
        assert_eq!(service_of(&parts).as_deref(), Some("s3"));
    }

    #[test]
    fn unsigned_requests_are_told_by_their_looks() {
        let target = parts(|it| it.uri("/").header("x-amz-target", "AWSEvents.PutEvents"));
        assert_eq!(service_of(&target).as_deref(), Some("events"));
        let path = parts(|it| it.uri("/2015-03-31/functions/"));
        assert_eq!(service_of(&path).as_deref(), Some("lambda"));
        let cbor = parts(|it| {
            it.uri("/service/CodeDeploy_20141006/operation/GetDeployment")
                .header("smithy-protocol", "rpc-v2-cbor")
        });
        assert_eq!(service_of(&cbor).as_deref(), Some("codedeploy"));
        let form = parts(|it| {
            it.uri("/")
                .header("content-type", "application/x-www-form-urlencoded")
        });
        assert_eq!(service_of(&form), None);
        assert_eq!(
            service_of_form(&form, b"Action=Publish&Version=2010-03-31").as_deref(),
            Some("sns")
        );
        assert_eq!(
            service_of(&parts(|it| it.uri("/bucket/key"))).as_deref(),
            Some("s3")
        );
    }
}
