//! One deployment's record.

use serde_json::{Value, json};
use signalbox_local_core::Clock;
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use crate::appspec::AppSpec;
use crate::configs::Shift;
use crate::groups::{AlarmConfiguration, AutoRollback};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Created,
    InProgress,
    Succeeded,
    Failed,
    Stopped,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::InProgress => "InProgress",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Stopped => "Stopped",
        }
    }

    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Stopped)
    }

    /// The status of the deployment's one target, which knows no `Stopped`.
    pub(crate) fn of_target(self) -> &'static str {
        match self {
            Self::Created => "Pending",
            Self::InProgress => "InProgress",
            Self::Succeeded => "Succeeded",
            Self::Failed | Self::Stopped => "Failed",
        }
    }
}

/// The three lifecycle events of a Lambda deployment, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Before,
    Allow,
    After,
}

impl Event {
    pub(crate) const ALL: [Self; 3] = [Self::Before, Self::Allow, Self::After];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Before => "BeforeAllowTraffic",
            Self::Allow => "AllowTraffic",
            Self::After => "AfterAllowTraffic",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Progress {
    #[default]
    Pending,
    Running,
    Succeeded,
    Failed,
    Skipped,
}

impl Progress {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "InProgress",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Skipped => "Skipped",
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Lifecycle {
    progress: Progress,
    started: Option<f64>,
    ended: Option<f64>,
    message: Option<String>,
}

/// A request to stop; `auto_rollback` is what its caller said about rolling back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) auto_rollback: Option<bool>,
}

/// Why a deployment was made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rollback {
    /// The deployment that takes this one back.
    pub(crate) by: Option<String>,
    /// The deployment that this one takes back.
    pub(crate) of: Option<String>,
    pub(crate) message: Option<String>,
}

/// What a deployment is to do; fixed from the start.
pub(crate) struct Order {
    pub(crate) application: String,
    pub(crate) group: String,
    pub(crate) group_id: String,
    pub(crate) config_name: String,
    pub(crate) shift: Shift,
    pub(crate) revision: Value,
    pub(crate) previous_revision: Option<Value>,
    pub(crate) spec: AppSpec,
    pub(crate) description: Option<String>,
    pub(crate) creator: &'static str,
    pub(crate) auto_rollback: AutoRollback,
    pub(crate) alarms: AlarmConfiguration,
    pub(crate) override_alarms: Option<Value>,
}

pub(crate) struct Deployment {
    pub(crate) id: String,
    pub(crate) application: String,
    pub(crate) group: String,
    pub(crate) group_id: String,
    pub(crate) config_name: String,
    pub(crate) shift: Shift,
    pub(crate) revision: Value,
    previous_revision: Option<Value>,
    pub(crate) spec: AppSpec,
    description: Option<String>,
    creator: &'static str,
    pub(crate) auto_rollback: AutoRollback,
    pub(crate) alarms: AlarmConfiguration,
    override_alarms: Option<Value>,

    pub(crate) status: Status,
    error: Option<(&'static str, String)>,
    pub(crate) created: f64,
    started: Option<f64>,
    completed: Option<f64>,
    updated: f64,
    pub(crate) rollback: Rollback,
    lifecycle: [Lifecycle; 3],
    /// The new version's share, in percent.
    percentage: u32,
    /// The hook that has not answered yet: its execution id, and who waits for its verdict.
    pub(crate) waiting: Option<(String, oneshot::Sender<bool>)>,
    /// Execution ids that need no answer any more.
    pub(crate) answered: Vec<String>,
    pub(crate) stop: watch::Sender<Option<Stop>>,
}

impl Deployment {
    pub(crate) fn new(order: Order, clock: &Clock) -> Self {
        let now = clock.epoch_seconds();
        Self {
            id: deployment_id(),
            application: order.application,
            group: order.group,
            group_id: order.group_id,
            config_name: order.config_name,
            shift: order.shift,
            revision: order.revision,
            previous_revision: order.previous_revision,
            spec: order.spec,
            description: order.description,
            creator: order.creator,
            auto_rollback: order.auto_rollback,
            alarms: order.alarms,
            override_alarms: order.override_alarms,
            status: Status::Created,
            error: None,
            created: now,
            started: None,
            completed: None,
            updated: now,
            rollback: Rollback::default(),
            lifecycle: Default::default(),
            percentage: 0,
            waiting: None,
            answered: Vec::new(),
            stop: watch::channel(None).0,
        }
    }

    pub(crate) fn begin(&mut self, now: f64) {
        self.status = Status::InProgress;
        self.started = Some(now);
        self.updated = now;
    }

    pub(crate) fn end(&mut self, status: Status, error: Option<(&'static str, String)>, now: f64) {
        self.status = status;
        self.error = error;
        self.completed = Some(now);
        self.updated = now;
        if let Some((id, _)) = self.waiting.take() {
            self.answered.push(id);
        }
        for lifecycle in &mut self.lifecycle {
            match lifecycle.progress {
                Progress::Running => {
                    lifecycle.progress = Progress::Failed;
                    lifecycle.ended = Some(now);
                }
                Progress::Pending => lifecycle.progress = Progress::Skipped,
                Progress::Succeeded | Progress::Failed | Progress::Skipped => {}
            }
        }
    }

    pub(crate) fn shifted(&mut self, percentage: u32, now: f64) {
        self.percentage = percentage;
        self.updated = now;
    }

    pub(crate) fn advance(&mut self, event: Event, progress: Progress, message: Option<String>, now: f64) {
        self.updated = now;
        let lifecycle = &mut self.lifecycle[event as usize];
        lifecycle.progress = progress;
        lifecycle.message = message;
        match progress {
            Progress::Running => lifecycle.started = Some(now),
            Progress::Succeeded | Progress::Failed => lifecycle.ended = Some(now),
            Progress::Pending | Progress::Skipped => {}
        }
    }

    /// As a group shows its last deployments.
    pub(crate) fn summary(&self) -> Value {
        let mut summary =
            json!({"deploymentId": self.id, "status": self.status.as_str(), "createTime": self.created});
        if let Some(completed) = self.completed {
            summary["endTime"] = Value::from(completed);
        }
        summary
    }

    pub(crate) fn target_id(&self) -> String {
        format!("{}:{}", self.spec.function, self.spec.alias)
    }

    pub(crate) fn describe(&self) -> Value {
        let mut overview =
            json!({"Pending": 0, "InProgress": 0, "Succeeded": 0, "Failed": 0, "Skipped": 0, "Ready": 0});
        overview[self.status.of_target()] = Value::from(1);
        let mut described = json!({
            "applicationName": self.application,
            "deploymentGroupName": self.group,
            "deploymentConfigName": self.config_name,
            "deploymentId": self.id,
            "revision": self.revision,
            "status": self.status.as_str(),
            "createTime": self.created,
            "deploymentOverview": overview,
            "creator": self.creator,
            "ignoreApplicationStopFailures": false,
            "updateOutdatedInstancesOnly": false,
            "instanceTerminationWaitTimeStarted": false,
            "autoRollbackConfiguration": self.auto_rollback,
            "deploymentStyle": {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
            "fileExistsBehavior": "DISALLOW",
            "deploymentStatusMessages": [],
            "computePlatform": "Lambda",
        });
        let mut put = |member: &str, value: Option<Value>| {
            if let Some(value) = value {
                described[member] = value;
            }
        };
        put("previousRevision", self.previous_revision.clone());
        put("startTime", self.started.map(Value::from));
        put("completeTime", self.completed.map(Value::from));
        put("description", self.description.clone().map(Value::from));
        put("overrideAlarmConfiguration", self.override_alarms.clone());
        put(
            "errorInformation",
            self.error
                .as_ref()
                .map(|(code, message)| json!({"code": code, "message": message})),
        );
        if self.rollback.by.is_some() || self.rollback.of.is_some() {
            let mut info = json!({});
            for (member, value) in [
                ("rollbackDeploymentId", &self.rollback.by),
                ("rollbackTriggeringDeploymentId", &self.rollback.of),
                ("rollbackMessage", &self.rollback.message),
            ] {
                if let Some(value) = value {
                    info[member] = Value::from(value.as_str());
                }
            }
            put("rollbackInfo", Some(info));
        }
        described
    }

    /// As `GetDeploymentTarget` shows it.
    pub(crate) fn describe_target(&self, target_arn: &str) -> Value {
        let events: Vec<Value> = Event::ALL
            .into_iter()
            .zip(&self.lifecycle)
            .map(|(event, lifecycle)| {
                let mut described =
                    json!({"lifecycleEventName": event.as_str(), "status": lifecycle.progress.as_str()});
                if let Some(started) = lifecycle.started {
                    described["startTime"] = Value::from(started);
                }
                if let Some(ended) = lifecycle.ended {
                    described["endTime"] = Value::from(ended);
                }
                if let Some(message) = &lifecycle.message {
                    described["diagnostics"] = json!({"errorCode": "UnknownError", "message": message});
                }
                described
            })
            .collect();
        json!({
            "deploymentTargetType": "LambdaTarget",
            "lambdaTarget": {
                "deploymentId": self.id,
                "targetId": self.target_id(),
                "targetArn": target_arn,
                "status": self.status.of_target(),
                "lastUpdatedAt": self.updated,
                "lifecycleEvents": events,
                "lambdaFunctionInfo": {
                    "functionName": self.spec.function,
                    "functionAlias": self.spec.alias,
                    "currentVersion": self.spec.current_version,
                    "targetVersion": self.spec.target_version,
                    "targetVersionWeight": f64::from(self.percentage),
                },
            },
        })
    }
}

/// `d-` and nine letters or digits.
fn deployment_id() -> String {
    const CHARACTERS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let random = Uuid::new_v4();
    let id: String = random
        .as_bytes()
        .iter()
        .take(9)
        .map(|byte| char::from(CHARACTERS[usize::from(*byte) % CHARACTERS.len()]))
        .collect();
    format!("d-{id}")
}
