//! The alarms that are red now.

use aws_sdk_cloudwatch::operation::list_tags_for_resource::ListTagsForResourceError;
use aws_sdk_cloudwatch::types::{ActionsSuppressedBy, AlarmType, CompositeAlarm, MetricAlarm, StateValue};
use aws_smithy_types::DateTime;
use jiff::Timestamp;
use signalbox_bootstrap::{aws_failure, moment, unless_missing};
use signalbox_decision::names::AlarmName;
use signalbox_decision::rollback::mapping::GROUP_TAG;
use signalbox_decision::sweep::releases::RedAlarm;

use crate::app::App;
use crate::error::{Error, Listed};

/// 100 alarms a page: more are never red at once but where all of an account is.
const MAX_PAGES: usize = 10;

/// An alarm that is red, and what its tags are asked by.
pub(crate) struct Red {
    pub(crate) alarm: RedAlarm,
    arn: String,
}

/// Those that are red and that the rule of roll-back would have let through.
pub(crate) async fn red(app: &App) -> Result<Listed<Red>, Error> {
    let (mut all, mut next) = (Vec::new(), None);
    for _ in 0..MAX_PAGES {
        let answer = app
            .alarms
            .describe_alarms()
            .alarm_name_prefix(&app.config.alarm_prefix)
            .alarm_types(AlarmType::MetricAlarm)
            .alarm_types(AlarmType::CompositeAlarm)
            .state_value(StateValue::Alarm)
            .max_records(100)
            .set_next_token(next)
            .send()
            .await
            .map_err(|error| Error::Aws {
                call: "DescribeAlarms",
                failure: aws_failure(&error),
            })?;
        next = answer.next_token().map(str::to_owned);
        all.extend(
            answer
                .metric_alarms()
                .iter()
                .filter_map(|it| red_of(metric(it)?, it.alarm_arn())),
        );
        all.extend(
            answer
                .composite_alarms()
                .iter()
                .filter_map(|it| red_of(composite(it)?, it.alarm_arn())),
        );
        if next.is_none() {
            return Ok(Listed::all(all));
        }
    }
    let cut = Error::TooMany("DescribeAlarms", MAX_PAGES * 100, "red alarms");
    Ok(Listed {
        read: all,
        cut: Some(cut),
    })
}

fn red_of(alarm: RedAlarm, arn: Option<&str>) -> Option<Red> {
    Some(Red {
        alarm,
        arn: arn?.to_owned(),
    })
}

impl Red {
    /// The deployment groups that its tag names.
    pub(crate) async fn tagged(&self, app: &App) -> Result<Vec<String>, Error> {
        let answer = app
            .alarms
            .list_tags_for_resource()
            .resource_arn(&self.arn)
            .send()
            .await;
        let answer = unless_missing(answer, ListTagsForResourceError::is_resource_not_found_exception);
        let Some(answer) = answer.map_err(Error::of("ListTagsForResource"))? else {
            // It was deleted meanwhile.
            return Ok(Vec::new());
        };
        let tags = answer.tags().iter().filter(|tag| tag.key() == Some(GROUP_TAG));
        Ok(tags.filter_map(|tag| tag.value().map(str::to_owned)).collect())
    }
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
