//! CloudWatch metrics and alarms, locally.
//!
//! Samples are kept as they came, to the millisecond, so every metric is a high-resolution one and any
//! period may be asked for. Alarms are evaluated every ten (scaled) seconds over windows that end now:
//! an alarm's `Period` is a configured duration and scaled too, while the time stamps of samples and of
//! queries are the wall clock's. A change of state goes to EventBridge and to the alarm's actions, first
//! of the metric alarms and then of the composite ones above them.
//!
//! Not here: dashboards, anomaly detection, Metrics Insights, metric streams, rollups of old samples.

mod alarm;
mod alarms;
mod composite;
mod describe;
mod evaluate;
mod history;
mod input;
mod math;
mod notify;
mod put;
mod query;
mod rule;
mod samples;
mod statistic;
mod statistics;
mod tags;
mod text;
mod views;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use indexmap::IndexMap;
use serde_json::Value;
use signalbox_local_core::{AwsError, Caller, Cloud, Engine};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use alarm::Alarm;
use samples::Samples;

/// How often alarms are evaluated.
const EVALUATION_INTERVAL: Duration = Duration::from_secs(10);
/// However fast the clock, evaluating more often than this is of no use to anybody.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(20);

/// The engine; see the crate.
pub struct CloudWatchEngine {
    cloud: Arc<dyn Cloud>,
    state: Mutex<State>,
    evaluating: AtomicBool,
    tasks: TaskTracker,
    ended: CancellationToken,
    /// Itself, for the tasks it starts.
    this: Weak<Self>,
}

#[derive(Default)]
struct State {
    samples: Samples,
    alarms: IndexMap<String, Alarm>,
    history: VecDeque<Value>,
}

impl CloudWatchEngine {
    /// An engine with no metrics and no alarms.
    #[must_use]
    pub fn new(cloud: Arc<dyn Cloud>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            cloud,
            state: Mutex::default(),
            evaluating: AtomicBool::new(false),
            tasks: TaskTracker::new(),
            ended: CancellationToken::new(),
            this: this.clone(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins with the first alarm: without alarms there is nothing to evaluate.
    fn start_evaluating(&self) {
        if self.ended.is_cancelled() || self.evaluating.swap(true, Ordering::SeqCst) {
            return;
        }
        let Some(engine) = self.this.upgrade() else { return };
        let ended = self.ended.clone();
        self.tasks.spawn(ended.run_until_cancelled_owned(async move {
            let pause = engine
                .cloud
                .clock()
                .scaled(EVALUATION_INTERVAL)
                .max(SHORTEST_INTERVAL);
            loop {
                tokio::time::sleep(pause).await;
                engine.evaluate_alarms().await;
            }
        }));
    }
}

#[async_trait]
impl Engine for CloudWatchEngine {
    fn service(&self) -> &'static str {
        "cloudwatch"
    }

    fn operations(&self) -> &'static [&'static str] {
        &[
            "DeleteAlarms",
            "DescribeAlarmHistory",
            "DescribeAlarms",
            "DescribeAlarmsForMetric",
            "DisableAlarmActions",
            "EnableAlarmActions",
            "GetMetricData",
            "GetMetricStatistics",
            "ListMetrics",
            "ListTagsForResource",
            "PutCompositeAlarm",
            "PutMetricAlarm",
            "PutMetricData",
            "SetAlarmState",
            "TagResource",
            "UntagResource",
        ]
    }

    async fn call(&self, caller: &Caller, operation: &str, input: Value) -> Result<Value, AwsError> {
        match operation {
            "PutMetricData" => self.put_metric_data(caller, &input),
            "GetMetricData" => self.get_metric_data(&input),
            "GetMetricStatistics" => self.get_metric_statistics(&input),
            "ListMetrics" => self.list_metrics(&input),
            "PutMetricAlarm" => self.put_metric_alarm(&input).await,
            "PutCompositeAlarm" => self.put_composite_alarm(&input).await,
            "DescribeAlarms" => self.describe_alarms(&input),
            "DescribeAlarmsForMetric" => self.describe_alarms_for_metric(&input),
            "DescribeAlarmHistory" => self.describe_alarm_history(&input),
            "DeleteAlarms" => self.delete_alarms(&input).await,
            "SetAlarmState" => self.set_alarm_state(&input).await,
            "EnableAlarmActions" => self.set_actions_enabled(&input, true),
            "DisableAlarmActions" => self.set_actions_enabled(&input, false),
            "TagResource" => self.tag_resource(&input),
            "UntagResource" => self.untag_resource(&input),
            "ListTagsForResource" => self.list_tags(&input),
            _ => Err(AwsError::unknown_operation(self.service(), operation)),
        }
    }

    async fn shutdown(&self) {
        self.ended.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
