//! Changes of state, and who hears of them: EventBridge, then the alarm's actions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde_json::json;
use signalbox_local_core::{Account, AwsError, AwsEvent, Caller, Clock};
use tracing::{info, warn};

use crate::alarm::{Alarm, Kind, Standing, Suppression, Verdict};
use crate::text::event_time;
use crate::views::{region_name, state_view};
use crate::{CloudWatchEngine, State};

/// AWS: an SNS subject has fewer than 100 characters.
const LONGEST_SUBJECT: usize = 99;

pub(crate) struct Context<'c> {
    pub(crate) now: Timestamp,
    pub(crate) clock: &'c Clock,
    pub(crate) account: &'c Account,
}

/// A change that is yet to be told.
pub(crate) struct Notice {
    event: AwsEvent,
    alarm_name: String,
    alarm_arn: String,
    /// ARNs of what to do.
    actions: Vec<String>,
    subject: String,
    /// For topics.
    message: String,
    /// For functions.
    payload: String,
}

impl State {
    /// Takes the new state over. Nothing where it is the old one.
    pub(crate) fn transition(
        &mut self,
        name: &str,
        verdict: Verdict,
        context: &Context<'_>,
    ) -> Option<Notice> {
        let alarm = self.alarms.get(name)?;
        if alarm.standing.value == verdict.value {
            return None;
        }
        let suppression = self.suppression_for(alarm, verdict.value, context);
        let alarm = self.alarms.get_mut(name)?;
        let earlier_suppression = alarm.suppression;
        alarm.suppression = suppression;
        let standing = Standing {
            value: verdict.value,
            reason: verdict.reason,
            reason_data: verdict.reason_data.map(|data| data.to_string()),
            updated: context.now,
        };
        let old = std::mem::replace(&mut alarm.standing, standing);
        if suppression.is_none() {
            alarm.acted = alarm.standing.value;
        }
        info!(alarm = name, from = old.value.as_str(), to = alarm.standing.value.as_str(), reason = %alarm.standing.reason, "alarm changed");
        let notice = notice(alarm, &old, earlier_suppression, context);
        let (kind, new) = (alarm.type_name(), alarm.standing.clone());
        self.remember_state(name, kind, &old, &new);
        Some(notice)
    }

    /// Ends a suppression: the actions of a state that nobody heard of yet are due now.
    pub(crate) fn release(&mut self, name: &str, context: &Context<'_>) -> Option<Notice> {
        let alarm = self.alarms.get_mut(name)?;
        let suppression = alarm.suppression.take()?;
        if alarm.acted == alarm.standing.value {
            return None;
        }
        alarm.acted = alarm.standing.value;
        let old = alarm.standing.clone();
        alarm.standing.updated = context.now;
        Some(notice(alarm, &old, Some(suppression), context))
    }
}

fn notice(
    alarm: &Alarm,
    old: &Standing,
    old_suppression: Option<Suppression>,
    context: &Context<'_>,
) -> Notice {
    let detail = json!({
        "alarmName": alarm.name,
        "state": state_view(&alarm.standing, alarm.suppression),
        "previousState": state_view(old, old_suppression),
        "configuration": alarm.configuration_view(),
    });
    let performs = alarm.actions_enabled && alarm.suppression.is_none();
    let actions = if performs {
        alarm.actions(alarm.standing.value)
    } else {
        Vec::new()
    };
    let region = region_name(&context.account.region);
    let subject = format!(
        "{}: \"{}\" in {region}",
        alarm.standing.value.as_str(),
        alarm.name
    );
    let payload = json!({
        "source": "aws.cloudwatch",
        "alarmArn": alarm.arn,
        "accountId": context.account.id,
        "time": event_time(alarm.standing.updated),
        "region": context.account.region,
        "alarmData": detail,
    });
    Notice {
        alarm_name: alarm.name.clone(),
        alarm_arn: alarm.arn.clone(),
        actions: actions.into_iter().map(str::to_owned).collect(),
        subject: subject.chars().take(LONGEST_SUBJECT).collect(),
        message: alarm.message(old, context).to_string(),
        payload: payload.to_string(),
        event: AwsEvent {
            source: "aws.cloudwatch".to_owned(),
            detail_type: "CloudWatch Alarm State Change".to_owned(),
            resources: vec![alarm.arn.clone()],
            detail,
        },
    }
}

impl CloudWatchEngine {
    pub(crate) fn context(&self) -> Context<'_> {
        let clock = self.cloud.clock();
        Context {
            now: clock.now(),
            clock,
            account: self.cloud.account(),
        }
    }

    /// Evaluates every alarm, metric alarms first, and tells of each change.
    pub(crate) async fn evaluate_alarms(&self) {
        let notices = {
            let context = self.context();
            let mut state = self.state();
            let verdicts: Vec<(String, Verdict)> = state
                .alarms
                .values()
                .filter_map(|alarm| {
                    let Kind::Metric(metric) = &alarm.kind else {
                        return None;
                    };
                    let verdict = metric.evaluate(
                        &state.samples,
                        context.now,
                        context.clock.scale(),
                        alarm.standing.value,
                    )?;
                    Some((alarm.name.clone(), verdict))
                })
                .collect();
            let mut notices = Vec::new();
            for (name, verdict) in verdicts {
                notices.extend(state.transition(&name, verdict, &context));
            }
            notices.extend(state.evaluate_composites(&context));
            notices
        };
        self.tell(notices).await;
    }

    /// Events in the order of the changes; actions in the background, for a topic may be slow.
    pub(crate) async fn tell(&self, notices: Vec<Notice>) {
        for notice in notices {
            self.cloud.emit(notice.event.clone()).await;
            if let (false, Some(engine)) = (
                notice.actions.is_empty() || self.ended.is_cancelled(),
                self.this.upgrade(),
            ) {
                let ended = self.ended.clone();
                self.tasks
                    .spawn(ended.run_until_cancelled_owned(async move { engine.act(notice).await }));
            }
        }
    }

    async fn act(&self, notice: Notice) {
        for action in &notice.actions {
            let done = self.perform(action, &notice).await;
            if let Err(error) = &done {
                warn!(alarm = %notice.alarm_name, action, %error, "an alarm's action failed");
            }
            self.state().remember_action(
                &notice.alarm_name,
                action,
                done.err().as_ref(),
                self.cloud.clock().now(),
            );
        }
    }

    async fn perform(&self, action: &str, notice: &Notice) -> Result<(), AwsError> {
        let service = action.split(':').nth(2).unwrap_or_default();
        let (principal, operation, input) = match service {
            "sns" => (
                "cloudwatch.amazonaws.com",
                "Publish",
                json!({"TopicArn": action, "Subject": notice.subject, "Message": notice.message}),
            ),
            "lambda" => (
                "lambda.alarms.cloudwatch.amazonaws.com",
                "Invoke",
                json!({"FunctionName": action, "InvocationType": "Event", "Payload": BASE64.encode(&notice.payload)}),
            ),
            other => {
                return Err(AwsError::validation(format!(
                    "the local cloud performs actions of topics and functions, not of {other}"
                )));
            }
        };
        let caller = Caller::service_for(principal, &notice.alarm_arn);
        self.cloud
            .call(&caller, service, operation, input)
            .await
            .map(|_| ())
    }
}
