//! Composite alarms: their states follow those of others, and a suppressor may hold their actions back.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::State;
use crate::alarm::{Alarm, CompositeAlarm, Kind, StateValue, Suppression, Verdict};
use crate::notify::{Context, Notice};
use crate::text::{event_time, long_time};

impl State {
    /// An alarm by its name or its ARN.
    pub(crate) fn find(&self, alarm: &str) -> Option<&Alarm> {
        self.alarms
            .get(alarm)
            .or_else(|| self.alarms.values().find(|one| one.arn == alarm))
    }

    fn state_of(&self, alarm: &str) -> StateValue {
        self.find(alarm)
            .map_or(StateValue::InsufficientData, |alarm| alarm.standing.value)
    }

    /// Every change that follows from the alarms below, and every suppression that ends.
    pub(crate) fn evaluate_composites(&mut self, context: &Context<'_>) -> Vec<Notice> {
        let composites: Vec<String> = self
            .alarms
            .values()
            .filter(|alarm| alarm.is_composite())
            .map(|alarm| alarm.name.clone())
            .collect();
        let mut notices = Vec::new();
        // A composite may watch another: at most as many rounds as there are levels.
        for _ in 0..composites.len() {
            let before = notices.len();
            for name in &composites {
                if let Some(verdict) = self.composite_verdict(name) {
                    notices.extend(self.transition(name, verdict, context));
                }
            }
            if notices.len() == before {
                break;
            }
        }
        for name in &composites {
            notices.extend(self.step_suppression(name, context));
        }
        notices
    }

    fn composite_verdict(&self, name: &str) -> Option<Verdict> {
        let alarm = self.alarms.get(name)?;
        let Kind::Composite(composite) = &alarm.kind else {
            return None;
        };
        let holds = composite.rule.holds(&|child| self.state_of(child));
        let value = if holds { StateValue::Alarm } else { StateValue::Ok };
        if value == alarm.standing.value {
            return None;
        }
        let children = composite
            .rule
            .alarms()
            .into_iter()
            .filter_map(|child| self.find(child));
        let trigger = children.max_by_key(|child| child.standing.updated);
        let (reason, reason_data) = match trigger {
            Some(child) => (
                format!(
                    "{} transitioned to {} at {}",
                    child.arn,
                    child.standing.value.as_str(),
                    long_time(child.standing.updated)
                ),
                Some(json!({"triggeringAlarms": [{
                    "arn": child.arn,
                    "state": {"value": child.standing.value.as_str(), "timestamp": event_time(child.standing.updated)},
                }]})),
            ),
            None => (
                format!(
                    "The alarm's rule is always {}",
                    if holds { "TRUE" } else { "FALSE" }
                ),
                None,
            ),
        };
        Some(Verdict {
            value,
            reason,
            reason_data,
        })
    }

    /// Whether the actions of a change to this state have to wait.
    pub(crate) fn suppression_for(
        &self,
        alarm: &Alarm,
        value: StateValue,
        context: &Context<'_>,
    ) -> Option<Suppression> {
        let Kind::Composite(composite) = &alarm.kind else {
            return None;
        };
        let suppressor = composite.suppressor.as_deref()?;
        if alarm.suppression.is_some() {
            return alarm.suppression;
        }
        if self.state_of(suppressor) == StateValue::Alarm {
            return Some(Suppression::Alarm);
        }
        (value == StateValue::Alarm && !composite.wait.is_zero()).then(|| Suppression::WaitPeriod {
            until: after(context, composite.wait),
        })
    }

    fn step_suppression(&mut self, name: &str, context: &Context<'_>) -> Option<Notice> {
        let alarm = self.alarms.get(name)?;
        let current = alarm.suppression?;
        let next = match &alarm.kind {
            Kind::Composite(composite) => self.next_suppression(current, composite, context),
            Kind::Metric(_) => None,
        };
        if next.is_some() {
            self.alarms.get_mut(name)?.suppression = next;
            return None;
        }
        self.release(name, context)
    }

    fn next_suppression(
        &self,
        current: Suppression,
        composite: &CompositeAlarm,
        context: &Context<'_>,
    ) -> Option<Suppression> {
        let suppressed = composite
            .suppressor
            .as_deref()
            .is_some_and(|suppressor| self.state_of(suppressor) == StateValue::Alarm);
        if suppressed {
            return Some(Suppression::Alarm);
        }
        match current {
            Suppression::Alarm if composite.extension.is_zero() => None,
            Suppression::Alarm => Some(Suppression::ExtensionPeriod {
                until: after(context, composite.extension),
            }),
            Suppression::WaitPeriod { until } | Suppression::ExtensionPeriod { until } => {
                (context.now < until).then_some(current)
            }
        }
    }
}

/// A configured duration from now, on the scaled clock.
fn after(context: &Context<'_>, configured: std::time::Duration) -> Timestamp {
    let duration = SignedDuration::try_from(context.clock.scaled(configured)).unwrap_or(SignedDuration::ZERO);
    context.now.saturating_add(duration).unwrap_or(Timestamp::MAX)
}
