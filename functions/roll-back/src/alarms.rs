//! The alarm, its tags and its children, read afresh.

use aws_sdk_cloudwatch::operation::describe_alarms::DescribeAlarmsOutput;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{ActionsSuppressedBy, AlarmType, CompositeAlarm, MetricAlarm, StateValue};
use signalbox_decision::names::AlarmName;
use signalbox_decision::rollback::mapping::GROUP_TAG;
use signalbox_decision::rollback::{AlarmNow, Group};

use crate::app::App;
use crate::error::Error;
use crate::facts::time;

/// An alarm, with what is needed to ask on.
pub(crate) struct Described {
    pub(crate) now: AlarmNow,
    arn: Option<String>,
    is_composite: bool,
}

/// The alarm as it is now; `None` where it no longer exists.
pub(crate) async fn alarm_now(app: &App, name: &AlarmName) -> Result<Option<Described>, Error> {
    let answer = describe(app, vec![name.to_string()]).await?;
    if let Some(metric) = answer.metric_alarms().first() {
        return Ok(Some(Described {
            now: of_metric(metric),
            arn: metric.alarm_arn().map(str::to_owned),
            is_composite: false,
        }));
    }
    Ok(answer.composite_alarms().first().map(|composite| Described {
        now: of_composite(composite),
        arn: composite.alarm_arn().map(str::to_owned),
        is_composite: true,
    }))
}

async fn describe(app: &App, names: Vec<String>) -> Result<DescribeAlarmsOutput, Error> {
    app.alarms
        .describe_alarms()
        .set_alarm_names(Some(names))
        .alarm_types(AlarmType::MetricAlarm)
        .alarm_types(AlarmType::CompositeAlarm)
        .send()
        .await
        .map_err(|error| Error::aws("DescribeAlarms", &error))
}

fn of_metric(metric: &MetricAlarm) -> AlarmNow {
    AlarmNow {
        in_alarm: metric.state_value() == Some(&StateValue::Alarm),
        since: since(
            metric.state_transitioned_timestamp(),
            metric.state_updated_timestamp(),
        ),
        suppressed: metric.actions_enabled() == Some(false),
        reason: metric.state_reason().unwrap_or_default().to_owned(),
    }
}

fn of_composite(composite: &CompositeAlarm) -> AlarmNow {
    let by_suppressor = matches!(
        composite.actions_suppressed_by(),
        Some(
            ActionsSuppressedBy::Alarm
                | ActionsSuppressedBy::WaitPeriod
                | ActionsSuppressedBy::ExtensionPeriod
        )
    );
    AlarmNow {
        in_alarm: composite.state_value() == Some(&StateValue::Alarm),
        since: since(
            composite.state_transitioned_timestamp(),
            composite.state_updated_timestamp(),
        ),
        suppressed: composite.actions_enabled() == Some(false) || by_suppressor,
        reason: composite.state_reason().unwrap_or_default().to_owned(),
    }
}

fn since(transitioned: Option<&DateTime>, updated: Option<&DateTime>) -> jiff::Timestamp {
    time(transitioned.or(updated))
}

impl Described {
    /// The deployment groups that the alarm's tag names.
    pub(crate) async fn tagged(&self, app: &App) -> Result<Vec<String>, Error> {
        let Some(arn) = &self.arn else {
            return Ok(Vec::new());
        };
        let answer = app
            .alarms
            .list_tags_for_resource()
            .resource_arn(arn)
            .send()
            .await
            .map_err(|error| Error::aws("ListTagsForResource", &error))?;
        let tags = answer.tags().iter().filter(|tag| tag.key() == Some(GROUP_TAG));
        Ok(tags.filter_map(|tag| tag.value().map(str::to_owned)).collect())
    }

    /// Those children of a composite alarm that one of the groups lists, as they are now. CloudWatch reads
    /// the rule; but of children it tells names and states only, so that they are described again.
    pub(crate) async fn children(
        &self,
        app: &App,
        name: &AlarmName,
        groups: &[Group],
    ) -> Result<Vec<(AlarmName, AlarmNow)>, Error> {
        if !self.is_composite {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        let mut next = None;
        loop {
            let answer = app
                .alarms
                .describe_alarms()
                .children_of_alarm_name(name.as_str())
                .set_next_token(next)
                .send()
                .await
                .map_err(|error| Error::aws("DescribeAlarms", &error))?;
            names.extend(
                answer
                    .metric_alarms()
                    .iter()
                    .filter_map(MetricAlarm::alarm_name)
                    .map(str::to_owned),
            );
            names.extend(
                answer
                    .composite_alarms()
                    .iter()
                    .filter_map(CompositeAlarm::alarm_name)
                    .map(str::to_owned),
            );
            next = answer.next_token().map(str::to_owned);
            if next.is_none() {
                break;
            }
        }
        let listed = |name: &String| {
            groups
                .iter()
                .any(|group| group.alarms.iter().any(|alarm| alarm.as_str() == name))
        };
        names.retain(listed);
        if names.is_empty() {
            return Ok(Vec::new());
        }
        // `DescribeAlarms` takes 100 names, and a rule names at most that many alarms.
        let answer = describe(app, names).await?;
        let metric = answer
            .metric_alarms()
            .iter()
            .map(|alarm| (alarm.alarm_name(), of_metric(alarm)));
        let composite = answer
            .composite_alarms()
            .iter()
            .map(|alarm| (alarm.alarm_name(), of_composite(alarm)));
        let named = metric
            .chain(composite)
            .filter_map(|(name, now)| Some((AlarmName::new(name?).ok()?, now)));
        Ok(named.collect())
    }
}
