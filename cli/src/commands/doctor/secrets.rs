//! The secrets: there, with a value. Their values are not read.

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use signalbox_bootstrap::aws_failure;

use super::Patient;
use super::check::Check;
use super::finding::Finding;

const CHECK: Check = Check::Secrets;

pub(super) async fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let named = patient
        .deployed
        .variable("request-approval", "SIGNING_SECRET_ARN");
    let signing = named.unwrap_or_else(|| patient.place.own("signing"));
    let slack = patient.deployed.variable("request-approval", "SLACK_SECRET_ARN");
    let mut findings = vec![look(patient, &signing, "it signs the links of approvers").await];
    if let Some(slack) = slack {
        findings.push(look(patient, &slack, "it holds Slack's token and signing secret").await);
    }
    findings
}

async fn look(patient: &Patient<'_>, secret: &str, purpose: &str) -> Finding {
    let answer = aws_sdk_secretsmanager::Client::new(patient.cloud.sdk())
        .describe_secret()
        .secret_id(secret)
        .send()
        .await;
    match answer {
        Ok(answer) => judge(secret, purpose, &answer),
        Err(error) => {
            let fix =
                "Deploy the stack again, or give it the right ARN: without this secret nobody can approve.";
            Finding::failed(CHECK, secret, &aws_failure(&error), fix)
        }
    }
}

fn judge(secret: &str, purpose: &str, answer: &DescribeSecretOutput) -> Finding {
    if answer.deleted_date().is_some() {
        return Finding::wrong(
            CHECK,
            secret,
            format!("it is about to be deleted; {purpose}"),
            format!("aws secretsmanager restore-secret --secret-id {secret}"),
        );
    }
    let stages = answer.version_ids_to_stages();
    let has_value = stages.is_some_and(|all| {
        all.values()
            .any(|stages| stages.iter().any(|stage| stage == "AWSCURRENT"))
    });
    if has_value {
        return Finding::sound(CHECK, secret, purpose);
    }
    Finding::wrong(
        CHECK,
        secret,
        format!("it has no value; {purpose}"),
        format!(
            "aws secretsmanager put-secret-value --secret-id {secret} --secret-string file://SECRET.json"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_secret_has_a_current_value_and_stays() {
        let with =
            |stage: &str| DescribeSecretOutput::builder().version_ids_to_stages("v", vec![stage.to_owned()]);
        let verdict = |answer: &DescribeSecretOutput| judge("s", "p", answer).verdict;
        assert_eq!(verdict(&with("AWSCURRENT").build()), Verdict::Sound);
        assert_eq!(verdict(&with("AWSPENDING").build()), Verdict::Wrong);
        let deleted =
            with("AWSCURRENT").deleted_date(aws_sdk_secretsmanager::primitives::DateTime::from_secs(1));
        assert_eq!(verdict(&deleted.build()), Verdict::Wrong);
    }
}
