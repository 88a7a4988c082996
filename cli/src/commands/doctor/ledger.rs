//! The ledger's table: reachable, of the right keys, forgetting what has expired, recoverable.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{PointInTimeRecoveryStatus, TableDescription, TableStatus, TimeToLiveStatus};
use signalbox_bootstrap::aws_failure;

use super::Patient;
use super::check::Check;
use super::finding::Finding;

const CHECK: Check = Check::Ledger;

pub(super) async fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let named = patient.deployed.variable("start-run", "LEDGER_TABLE");
    let table = named.unwrap_or_else(|| patient.place.ledger_table());
    let client = Client::new(patient.cloud.sdk());
    let (described, expiry, backups) = tokio::join!(
        client.describe_table().table_name(&table).send(),
        client.describe_time_to_live().table_name(&table).send(),
        client.describe_continuous_backups().table_name(&table).send(),
    );
    let mut findings = vec![match described {
        Ok(answer) => of_table(&table, answer.table()),
        Err(error) => {
            let fix = "Deploy the stack again: it makes the table. Until then every effect is withheld.";
            return vec![Finding::failed(CHECK, table, &aws_failure(&error), fix)];
        }
    }];
    findings.push(match expiry {
        Ok(answer) => {
            let found = answer.time_to_live_description();
            of_expiry(
                &table,
                found.and_then(|it| it.time_to_live_status()),
                found.and_then(|it| it.attribute_name()),
            )
        }
        Err(error) => Finding::unknown(CHECK, table.as_str(), aws_failure(&error).to_string()),
    });
    findings.push(match backups {
        Ok(answer) => {
            let status = answer.continuous_backups_description().and_then(|it| {
                it.point_in_time_recovery_description()?
                    .point_in_time_recovery_status()
            });
            of_backups(&table, status)
        }
        Err(error) => Finding::unknown(CHECK, table.as_str(), aws_failure(&error).to_string()),
    });
    findings
}

fn of_table(table: &str, description: Option<&TableDescription>) -> Finding {
    let keys: Vec<&str> = description
        .map(|it| it.key_schema())
        .unwrap_or_default()
        .iter()
        .map(|key| key.attribute_name())
        .collect();
    if keys != ["pk", "sk"] {
        return Finding::wrong(
            CHECK,
            table,
            format!(
                "its keys are {}, and not pk and sk: it is another table",
                keys.join(" and ")
            ),
            "Give the functions the ledger's own table (LEDGER_TABLE): deploy the stack again.",
        );
    }
    match description.and_then(|it| it.table_status()) {
        Some(TableStatus::Active | TableStatus::Updating) => {
            Finding::sound(CHECK, table, "it can be reached")
        }
        status => Finding::wrong(
            CHECK,
            table,
            format!(
                "it is {}",
                status.map_or("in no known state", TableStatus::as_str)
            ),
            "Wait until it is ACTIVE; until then every effect is withheld, and events are tried again.",
        ),
    }
}

fn of_expiry(table: &str, status: Option<&TimeToLiveStatus>, attribute: Option<&str>) -> Finding {
    let is_on = matches!(
        status,
        Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
    );
    if is_on && attribute == Some("expires_at") {
        return Finding::sound(CHECK, table, "what has expired is forgotten");
    }
    Finding::doubtful(
        CHECK,
        table,
        "nothing is ever forgotten: its time to live is off",
        format!(
            "aws dynamodb update-time-to-live --table-name {table} --time-to-live-specification \
             Enabled=true,AttributeName=expires_at"
        ),
    )
}

fn of_backups(table: &str, status: Option<&PointInTimeRecoveryStatus>) -> Finding {
    if status == Some(&PointInTimeRecoveryStatus::Enabled) {
        return Finding::sound(
            CHECK,
            table,
            "it can be restored to any moment of the last 35 days",
        );
    }
    Finding::doubtful(
        CHECK,
        table,
        "it cannot be restored: point-in-time recovery is off",
        format!(
            "aws dynamodb update-continuous-backups --table-name {table} --point-in-time-recovery-specification \
             PointInTimeRecoveryEnabled=true"
        ),
    )
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::{KeySchemaElement, KeyType};

    use super::super::finding::Verdict;
    use super::*;

    fn table(keys: &[&str], status: TableStatus) -> TableDescription {
        let keys = keys.iter().map(|name| {
            KeySchemaElement::builder()
                .attribute_name(*name)
                .key_type(KeyType::Hash)
                .build()
                .unwrap()
        });
        TableDescription::builder()
            .set_key_schema(Some(keys.collect()))
            .table_status(status)
            .build()
    }

    #[test]
    fn the_table_has_its_keys_and_is_active() {
        let verdict = |keys: &[&str], status| of_table("t", Some(&table(keys, status))).verdict;
        assert_eq!(verdict(&["pk", "sk"], TableStatus::Active), Verdict::Sound);
        assert_eq!(verdict(&["pk", "sk"], TableStatus::Deleting), Verdict::Wrong);
        assert_eq!(verdict(&["id"], TableStatus::Active), Verdict::Wrong);
        assert_eq!(of_table("t", None).verdict, Verdict::Wrong);
    }

    #[test]
    fn expiry_goes_by_its_own_attribute() {
        let verdict = |status, attribute| of_expiry("t", Some(&status), attribute).verdict;
        assert_eq!(
            verdict(TimeToLiveStatus::Enabled, Some("expires_at")),
            Verdict::Sound
        );
        assert_eq!(verdict(TimeToLiveStatus::Enabled, Some("ttl")), Verdict::Doubtful);
        assert_eq!(verdict(TimeToLiveStatus::Disabled, None), Verdict::Doubtful);
    }
}
