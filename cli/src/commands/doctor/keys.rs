//! The keys that encrypt packages and messages: on, and granted to the functions, or to CloudWatch, which sends the
//! alerts itself.

use aws_sdk_s3::types::ServerSideEncryption;
use serde_json::Value;
use signalbox_bootstrap::{AwsFailure, aws_failure};

use super::Patient;
use super::check::Check;
use super::finding::Finding;
use super::stack::Standing;

const CHECK: Check = Check::Keys;

/// The service that publishes what alarms say.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html>
const CLOUDWATCH: &str = "cloudwatch.amazonaws.com";

/// What a publisher needs of a topic's key.
const TO_PUBLISH: [&str; 2] = ["kms:Decrypt", "kms:GenerateDataKey"];

/// A key, and who has to be able to use it.
#[derive(Debug)]
struct Use {
    key: String,
    /// What it encrypts.
    of: String,
    by: By,
}

#[derive(Debug, Clone, Copy)]
enum By {
    /// The functions' roles; the stack's parameter of this name grants it to them.
    Functions(&'static str),
    /// CloudWatch, by the key's own policy.
    CloudWatch,
}

pub(super) async fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let standing = Standing::read(patient).await;
    let (bucket, topics, alerts) = tokio::join!(
        of_bucket(patient),
        of_topics(patient),
        of_alerts(patient, standing.as_ref().ok())
    );
    let mut findings = Vec::new();
    let mut uses = Vec::new();
    for found in [bucket, topics, alerts] {
        match found {
            Ok(found) => uses.extend(found),
            Err(finding) => findings.push(finding),
        }
    }
    if uses.is_empty() && findings.is_empty() {
        let text = "packages and messages are encrypted with keys that AWS manages, which need no grant";
        findings.push(Finding::sound(CHECK, patient.bucket.as_str(), text));
    }
    for one in uses {
        if let By::Functions(parameter) = one.by {
            findings.push(granted(patient, &one, parameter, standing.as_ref()));
        }
        findings.push(state(patient, &one).await);
    }
    findings
}

async fn of_bucket(patient: &Patient<'_>) -> Result<Vec<Use>, Finding> {
    let bucket = patient.bucket.as_str();
    let answer = patient
        .cloud
        .s3()
        .get_bucket_encryption()
        .bucket(bucket)
        .send()
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let failure = aws_failure(&error);
            return if failure.is("ServerSideEncryptionConfigurationNotFoundError")
                || failure.is("NoSuchBucket")
            {
                Ok(Vec::new())
            } else {
                Err(Finding::unknown(CHECK, bucket, failure.to_string()))
            };
        }
    };
    let rules = answer.server_side_encryption_configuration().map(|it| it.rules());
    let keys = rules.into_iter().flatten().filter_map(|rule| {
        let by = rule.apply_server_side_encryption_by_default()?;
        let is_kms = matches!(
            by.sse_algorithm(),
            ServerSideEncryption::AwsKms | ServerSideEncryption::AwsKmsDsse
        );
        own_key(by.kms_master_key_id().filter(|_| is_kms)?)
    });
    Ok(keys
        .map(|key| Use {
            key,
            of: format!("bucket {bucket}"),
            by: By::Functions("SourceKeyArn"),
        })
        .collect())
}

async fn of_topics(patient: &Patient<'_>) -> Result<Vec<Use>, Finding> {
    let mut uses = Vec::new();
    for (function, variable) in [
        ("start-run", "NOTICE_TOPIC_ARN"),
        ("request-approval", "APPROVAL_TOPIC_ARN"),
    ] {
        let Some(topic) = patient.deployed.variable(function, variable) else {
            continue;
        };
        let key = of_topic(patient, &topic).await?;
        uses.extend(key.and_then(|key| own_key(&key)).map(|key| Use {
            key,
            of: format!("topic {topic}"),
            by: By::Functions("TopicKeyArn"),
        }));
    }
    Ok(uses)
}

/// The alerts' topic. Where its ARN is not known, whoever looks at its subscriptions says so.
async fn of_alerts(patient: &Patient<'_>, standing: Option<&Standing>) -> Result<Vec<Use>, Finding> {
    let Some(topic) = standing.and_then(Standing::alert_topic) else {
        return Ok(Vec::new());
    };
    let Some(key) = of_topic(patient, topic).await? else {
        return Ok(Vec::new());
    };
    let Some(own) = own_key(&key) else {
        return Err(Finding::wrong(
            CHECK,
            topic,
            format!("{key} encrypts it, which CloudWatch may not use, so that no alert reaches anybody"),
            format!(
                "aws sns set-topic-attributes --topic-arn {topic} --attribute-name KmsMasterKeyId --attribute-value '' (or \
                 the ARN of a key of your own, whose policy lets {CLOUDWATCH} use it)"
            ),
        ));
    };
    Ok(vec![Use {
        key: own,
        of: format!("topic {topic}"),
        by: By::CloudWatch,
    }])
}

/// The key that a topic has, if any.
async fn of_topic(patient: &Patient<'_>, topic: &str) -> Result<Option<String>, Finding> {
    let sns = aws_sdk_sns::Client::new(patient.cloud.sdk());
    let answer = sns.get_topic_attributes().topic_arn(topic).send().await;
    let answer = answer.map_err(|error| {
        let fix = "Deploy the stack again: it makes the topic.";
        Finding::failed(CHECK, topic, &aws_failure(&error), fix)
    })?;
    let key = answer.attributes().and_then(|all| all.get("KmsMasterKeyId"));
    Ok(key.filter(|key| !key.is_empty()).cloned())
}

/// A key of the account's own: AWS's managed ones need no grant.
fn own_key(key: &str) -> Option<String> {
    (!key.is_empty() && !key.contains("alias/aws/")).then(|| key.to_owned())
}

/// Whether the functions' roles may use the key: the stack grants it where its parameter names it.
fn granted(
    patient: &Patient<'_>,
    of: &Use,
    parameter: &str,
    standing: Result<&Standing, &AwsFailure>,
) -> Finding {
    let subject = of.key.as_str();
    let given = match standing {
        Ok(standing) => standing.parameters.get(parameter),
        Err(failure) => return Finding::unknown(CHECK, subject, failure.to_string()),
    };
    if given.is_some_and(|given| is_same(given, &of.key)) {
        let text = format!("the functions may use it for {}", of.of);
        return Finding::sound(CHECK, subject, text);
    }
    Finding::wrong(
        CHECK,
        subject,
        format!("it encrypts {}, and the functions may not use it", of.of),
        format!(
            "Deploy the stack {} again with {parameter}={}",
            patient.place.stack(),
            of.key
        ),
    )
}

/// A key may be named by its ARN or by its id.
fn is_same(one: &str, other: &str) -> bool {
    let id = |key: &str| key.rsplit('/').next().unwrap_or(key).to_owned();
    !one.is_empty() && id(one) == id(other)
}

/// Whether the key is on, and its policy is what its users need.
async fn state(patient: &Patient<'_>, of: &Use) -> Finding {
    let (client, key) = (aws_sdk_kms::Client::new(patient.cloud.sdk()), of.key.as_str());
    let (described, policy) = tokio::join!(
        client.describe_key().key_id(key).send(),
        client.get_key_policy().key_id(key).policy_name("default").send(),
    );
    let described = match described {
        Ok(described) => described,
        Err(error) => {
            let fix = format!("Give {} a key that is there.", of.of);
            return Finding::failed(CHECK, key, &aws_failure(&error), fix);
        }
    };
    if described.key_metadata().is_some_and(|it| !it.enabled()) {
        return Finding::wrong(
            CHECK,
            key,
            format!(
                "it is switched off or about to be deleted, and it encrypts {}",
                of.of
            ),
            format!(
                "aws kms enable-key --key-id {key} (after cancel-key-deletion, where it is to be deleted)"
            ),
        );
    }
    match policy {
        Ok(answer) => {
            let policy = serde_json::from_str(answer.policy().unwrap_or_default()).unwrap_or_default();
            match of.by {
                By::Functions(_) => of_policy(key, &policy),
                By::CloudWatch => lets_cloudwatch(of, &policy),
            }
        }
        Err(error) => Finding::unknown(CHECK, key, aws_failure(&error).to_string()),
    }
}

/// A role's own permission counts only where the key's policy lets the account decide by IAM.
fn of_policy(key: &str, policy: &Value) -> Finding {
    let statements = policy.get("Statement").and_then(Value::as_array);
    let leaves_it_to_iam = statements.into_iter().flatten().any(|statement| {
        let principals = statement.pointer("/Principal/AWS").map(Value::to_string);
        let actions = statement.get("Action").map(Value::to_string).unwrap_or_default();
        statement.get("Effect").and_then(Value::as_str) == Some("Allow")
            && principals.is_some_and(|it| it.contains(":root\"") || it == "\"*\"")
            && (actions.contains("kms:*") || actions.contains("kms:Decrypt"))
    });
    if leaves_it_to_iam {
        return Finding::sound(
            CHECK,
            key,
            "it is on, and the account's policies decide who may use it",
        );
    }
    Finding::doubtful(
        CHECK,
        key,
        "its policy does not leave it to IAM who may use it, so that it has to name the functions' roles itself",
        "Let the policy allow the account's root kms:*, or the functions' roles kms:Decrypt and kms:GenerateDataKey.",
    )
}

/// CloudWatch has no role here: only the key's own policy can let it use the key. Conditions are not judged.
fn lets_cloudwatch(of: &Use, policy: &Value) -> Finding {
    let statements = policy.get("Statement").and_then(Value::as_array);
    let allowed: Vec<&str> = statements
        .into_iter()
        .flatten()
        .filter(|statement| statement.get("Effect").and_then(Value::as_str) == Some("Allow"))
        .filter(|statement| texts(statement.pointer("/Principal/Service")).contains(&CLOUDWATCH))
        .flat_map(|statement| texts(statement.get("Action")))
        .collect();
    let lacks = TO_PUBLISH
        .into_iter()
        .filter(|action| !allowed.iter().any(|pattern| covers(pattern, action)));
    let lacks: Vec<&str> = lacks.collect();
    let (key, of) = (of.key.as_str(), &of.of);
    if lacks.is_empty() {
        return Finding::sound(
            CHECK,
            key,
            format!("it is on, and CloudWatch may use it for {of}"),
        );
    }
    Finding::wrong(
        CHECK,
        key,
        format!(
            "it encrypts {of}, and its policy does not let {CLOUDWATCH} {}, so that no alert reaches anybody",
            lacks.join(" and ")
        ),
        format!(
            "Add to its policy (aws kms put-key-policy --key-id {key} --policy-name default): {{\"Effect\":\"Allow\",\
             \"Principal\":{{\"Service\":\"{CLOUDWATCH}\"}},\"Action\":[\"{}\"],\"Resource\":\"*\"}}",
            TO_PUBLISH.join("\",\"")
        ),
    )
}

/// One text, or a list of them, as policies have it.
fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        other => other.and_then(Value::as_str).into_iter().collect(),
    }
}

/// Whether an action of a policy is, or by its ending `*` means, this one.
fn covers(pattern: &str, action: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern.eq_ignore_ascii_case(action),
        Some((start, _)) => action
            .to_ascii_lowercase()
            .starts_with(&start.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_keys_policy_leaves_it_to_iam_or_is_doubtful() {
        let policy = |principal: &str, action: &str| json!({ "Statement": [{ "Effect": "Allow", "Principal": { "AWS": principal }, "Action": action }] });
        let verdict = |policy: &Value| of_policy("k", policy).verdict;
        assert_eq!(verdict(&policy("arn:aws:iam::1:root", "kms:*")), Verdict::Sound);
        assert_eq!(
            verdict(&policy("arn:aws:iam::1:role/x", "kms:*")),
            Verdict::Doubtful
        );
        assert_eq!(
            verdict(&policy("arn:aws:iam::1:root", "kms:Sign")),
            Verdict::Doubtful
        );
        assert_eq!(verdict(&Value::Null), Verdict::Doubtful);
    }

    #[test]
    fn cloudwatch_may_use_a_key_by_the_keys_own_policy_only() {
        let of = Use {
            key: "k".to_owned(),
            of: "topic t".to_owned(),
            by: By::CloudWatch,
        };
        let judged = |principal: Value, action: Value| {
            let statement = json!({ "Effect": "Allow", "Principal": principal, "Action": action });
            lets_cloudwatch(&of, &json!({ "Statement": [statement] }))
        };
        let cloudwatch = json!({ "Service": CLOUDWATCH });
        for sound in [
            json!(["kms:Decrypt", "kms:GenerateDataKey"]),
            json!(["kms:Decrypt", "kms:generatedatakey*"]),
            json!("kms:*"),
        ] {
            assert_eq!(judged(cloudwatch.clone(), sound).verdict, Verdict::Sound);
        }
        let listed = json!({ "Service": ["sns.amazonaws.com", CLOUDWATCH] });
        assert_eq!(judged(listed, json!("*")).verdict, Verdict::Sound);
        // What the account may do by IAM is nothing to a service.
        let account = judged(json!({ "AWS": "arn:aws:iam::1:root" }), json!("kms:*"));
        assert_eq!(account.verdict, Verdict::Wrong);
        assert!(
            account.text.contains("kms:Decrypt and kms:GenerateDataKey"),
            "{account:?}"
        );
        let fix = account.fix.unwrap_or_default();
        let statement: Value = serde_json::from_str(fix.split_once(": ").unwrap().1).unwrap();
        let mended = lets_cloudwatch(&of, &json!({ "Statement": [statement] }));
        assert_eq!(mended.verdict, Verdict::Sound, "{fix}");
        let half = judged(cloudwatch, json!("kms:Decrypt"));
        assert!(
            half.text
                .contains(&format!("let {CLOUDWATCH} kms:GenerateDataKey,")),
            "{half:?}"
        );
        let denied = json!({ "Effect": "Deny", "Principal": { "Service": CLOUDWATCH }, "Action": "kms:*" });
        let denied = lets_cloudwatch(&of, &json!({ "Statement": [denied] }));
        assert_eq!(denied.verdict, Verdict::Wrong);
        assert_eq!(lets_cloudwatch(&of, &Value::Null).verdict, Verdict::Wrong);
    }

    #[test]
    fn a_key_is_the_same_by_arn_and_by_id() {
        assert!(is_same("arn:aws:kms:eu-west-1:1:key/a-b", "a-b"));
        assert!(!is_same("arn:aws:kms:eu-west-1:1:key/a-b", "a-c"));
        assert!(!is_same("", ""));
        assert_eq!(own_key("alias/aws/sns"), None);
    }
}
