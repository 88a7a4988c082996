//! The alarms that are red now.

use std::collections::BTreeSet;

use aws_sdk_cloudwatch::types::{ActionsSuppressedBy, AlarmType, CompositeAlarm, MetricAlarm, StateValue};
use aws_smithy_types::DateTime;
use jiff::Timestamp;
use signalbox_bootstrap::{aws_failure, moment};
use signalbox_decision::names::AlarmName;
use signalbox_decision::sweep::releases::{Group, RedAlarm};

use crate::app::App;
use crate::error::Error;

/// What `DescribeAlarms` takes, and what it answers at once.
const BATCH: usize = 100;

/// Those of the groups' alarms that are red and that the rule of roll-back would have let through.
pub(crate) async fn red(app: &App, groups: &[Group]) -> Result<Vec<RedAlarm>, Error> {
    let names: BTreeSet<&str> = groups
        .iter()
        .flat_map(|group| &group.alarms)
        .map(AlarmName::as_str)
        .filter(|name| name.starts_with(&app.config.alarm_prefix))
        .collect();
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let mut all = Vec::new();
    for names in names.chunks(BATCH) {
        let answer = app
            .alarms
            .describe_alarms()
            .set_alarm_names(Some(names.to_vec()))
            .alarm_types(AlarmType::MetricAlarm)
            .alarm_types(AlarmType::CompositeAlarm)
            .state_value(StateValue::Alarm)
            .max_records(100)
            .send()
            .await
            .map_err(|error| Error::Aws {
                call: "DescribeAlarms",
                failure: aws_failure(&error),
            })?;
        all.extend(answer.metric_alarms().iter().filter_map(metric));
        all.extend(answer.composite_alarms().iter().filter_map(composite));
    }
    Ok(all)
}

fn metric(alarm: &MetricAlarm) -> Option<RedAlarm> {
    Some(RedAlarm {
        name: AlarmName::new(alarm.alarm_name()?).ok()?,
        since: since(
            alarm.state_transitioned_timestamp(),
            alarm.state_updated_timestamp(),
        )?,
        suppressed: alarm.actions_enabled() == Some(false),
        reason: alarm.state_reason().unwrap_or_default().to_owned(),
    })
}

fn composite(alarm: &CompositeAlarm) -> Option<RedAlarm> {
    let by = alarm.actions_suppressed_by();
    Some(RedAlarm {
        name: AlarmName::new(alarm.alarm_name()?).ok()?,
        since: since(
            alarm.state_transitioned_timestamp(),
            alarm.state_updated_timestamp(),
        )?,
        suppressed: alarm.actions_enabled() == Some(false)
            || matches!(
                by,
                Some(
                    ActionsSuppressedBy::Alarm
                        | ActionsSuppressedBy::WaitPeriod
                        | ActionsSuppressedBy::ExtensionPeriod
                )
            ),
        reason: alarm.state_reason().unwrap_or_default().to_owned(),
    })
}

/// The moment that the event names. `StateUpdatedTimestamp` moves on with every evaluation that changes
/// anything else about the state, so that it serves only where the other is missing.
fn since(transitioned: Option<&DateTime>, updated: Option<&DateTime>) -> Option<Timestamp> {
    transitioned.or(updated).and_then(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_change_of_the_state_counts_and_not_its_last_evaluation() {
        let (changed, evaluated) = (
            DateTime::from_secs(1_800_000_000),
            DateTime::from_secs(1_800_000_600),
        );
        let at = |at: Option<Timestamp>| at.unwrap().as_second();
        assert_eq!(at(since(Some(&changed), Some(&evaluated))), 1_800_000_000);
        assert_eq!(at(since(None, Some(&evaluated))), 1_800_000_600);
    }
}
