//! The keys that encrypt packages and messages: on, and granted to the functions.

use aws_sdk_s3::types::ServerSideEncryption;
use serde_json::Value;
use signalbox_bootstrap::{AwsFailure, aws_failure};

use super::Patient;
use super::finding::Finding;

const CHECK: &str = "keys";

/// A key, and who has to be able to use it.
#[derive(Debug)]
struct Use {
    key: String,
    /// What it encrypts.
    of: String,
    /// The stack's parameter that grants it to the functions' roles.
    parameter: &'static str,
}

pub(super) async fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let (bucket, topics) = tokio::join!(of_bucket(patient), of_topics(patient));
    let mut findings = Vec::new();
    let mut uses = Vec::new();
    for found in [bucket, topics] {
        match found {
            Ok(found) => uses.extend(found),
            Err(finding) => findings.push(finding),
        }
    }
    if uses.is_empty() && findings.is_empty() {
        let text = "packages and messages are encrypted with keys that AWS manages, which need no grant";
        findings.push(Finding::sound(CHECK, patient.bucket.as_str(), text));
    }
    let parameters = if uses.is_empty() {
        Ok(Vec::new())
    } else {
        parameters(patient).await
    };
    for one in uses {
        findings.push(granted(patient, &one, parameters.as_deref()));
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
            parameter: "SourceKeyArn",
        })
        .collect())
}

async fn of_topics(patient: &Patient<'_>) -> Result<Vec<Use>, Finding> {
    let sns = aws_sdk_sns::Client::new(patient.cloud.sdk());
    let mut uses = Vec::new();
    for (function, variable) in [
        ("start-run", "NOTICE_TOPIC_ARN"),
        ("request-approval", "APPROVAL_TOPIC_ARN"),
    ] {
        let Some(topic) = patient.deployed.variable(function, variable) else {
            continue;
        };
        let answer = sns.get_topic_attributes().topic_arn(&topic).send().await;
        let answer = answer.map_err(|error| {
            let fix = "Deploy the stack again: it makes the topic.";
            Finding::failed(CHECK, topic.as_str(), &aws_failure(&error), fix)
        })?;
        let key = answer.attributes().and_then(|all| all.get("KmsMasterKeyId"));
        uses.extend(key.and_then(|key| own_key(key)).map(|key| Use {
            key,
            of: format!("topic {topic}"),
            parameter: "TopicKeyArn",
        }));
    }
    Ok(uses)
}

/// A key of the account's own: AWS's managed ones need no grant.
fn own_key(key: &str) -> Option<String> {
    (!key.is_empty() && !key.contains("alias/aws/")).then(|| key.to_owned())
}

/// The parameters that Signalbox's own stack was deployed with.
async fn parameters(patient: &Patient<'_>) -> Result<Vec<(String, String)>, AwsFailure> {
    let stack = patient.place.stack();
    let answer = aws_sdk_cloudformation::Client::new(patient.cloud.sdk())
        .describe_stacks()
        .stack_name(stack)
        .send()
        .await
        .map_err(|error| aws_failure(&error))?;
    let parameters = answer.stacks().first().map(|stack| stack.parameters());
    Ok(parameters
        .into_iter()
        .flatten()
        .filter_map(|it| Some((it.parameter_key()?.to_owned(), it.parameter_value()?.to_owned())))
        .collect())
}

/// Whether the functions' roles may use the key: the stack grants it where its parameter names it.
fn granted(patient: &Patient<'_>, of: &Use, parameters: Result<&[(String, String)], &AwsFailure>) -> Finding {
    let subject = of.key.as_str();
    let given = match parameters {
        Ok(all) => all
            .iter()
            .find(|(name, _)| name == of.parameter)
            .map(|(_, value)| value),
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
            "Deploy the stack {} again with {}={}",
            patient.place.stack(),
            of.parameter,
            of.key
        ),
    )
}

/// A key may be named by its ARN or by its id.
fn is_same(one: &str, other: &str) -> bool {
    let id = |key: &str| key.rsplit('/').next().unwrap_or(key).to_owned();
    !one.is_empty() && id(one) == id(other)
}

/// Whether the key is on, and leaves it to IAM who may use it.
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
            of_policy(key, &policy)
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
    fn a_key_is_the_same_by_arn_and_by_id() {
        assert!(is_same("arn:aws:kms:eu-west-1:1:key/a-b", "a-b"));
        assert!(!is_same("arn:aws:kms:eu-west-1:1:key/a-b", "a-c"));
        assert!(!is_same("", ""));
        assert_eq!(own_key("alias/aws/sns"), None);
    }
}
