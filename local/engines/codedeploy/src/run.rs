//! A deployment's course, from its start to its end, and back where it has to go back.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use signalbox_local_core::AwsEvent;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::CodeDeployEngine;
use crate::alias::Alias;
use crate::appspec::AppSpec;
use crate::configs::{ALL_AT_ONCE, Shift};
use crate::deployment::{Deployment, Event, Order, Progress, Rollback, Status, Stop};
use crate::groups::{AlarmConfiguration, AutoRollback};

/// How often alarms and the alias are looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(10);

/// What a running deployment needs to know; none of it changes.
pub(crate) struct Plan {
    pub(crate) id: String,
    pub(crate) spec: AppSpec,
    shift: Shift,
    pub(crate) alarms: AlarmConfiguration,
    auto_rollback: AutoRollback,
    stop: watch::Receiver<Option<Stop>>,
}

/// Why a deployment ended without success.
#[derive(Debug)]
pub(crate) enum End {
    Stopped(Stop),
    /// With the message that names the alarms.
    Alarm(String),
    Failed {
        code: &'static str,
        message: String,
    },
    /// Somebody else moved the alias: it is not this deployment's to take back.
    Moved(String),
}

impl End {
    pub(crate) fn failed(code: &'static str, message: String) -> Self {
        Self::Failed { code, message }
    }

    fn status(&self) -> Status {
        match self {
            Self::Stopped(_) | Self::Alarm(_) => Status::Stopped,
            Self::Failed { .. } | Self::Moved(_) => Status::Failed,
        }
    }

    fn rolls_back(&self, configured: &AutoRollback) -> bool {
        match self {
            Self::Stopped(stop) => stop
                .auto_rollback
                .unwrap_or_else(|| configured.on("DEPLOYMENT_STOP_ON_REQUEST")),
            Self::Alarm(_) => configured.on("DEPLOYMENT_STOP_ON_ALARM"),
            Self::Failed { .. } => configured.on("DEPLOYMENT_FAILURE"),
            Self::Moved(_) => false,
        }
    }

    fn error(self) -> (&'static str, String) {
        match self {
            Self::Stopped(_) => (
                "MANUAL_STOP",
                "The deployment was stopped by a call to StopDeployment.".to_owned(),
            ),
            Self::Alarm(message) => ("ALARM_ACTIVE", message),
            Self::Failed { code, message } => (code, message),
            Self::Moved(message) => ("INVALID_LAMBDA_CONFIGURATION", message),
        }
    }
}

/// Waits until somebody asks to stop it.
async fn stop_requested(mut stop: watch::Receiver<Option<Stop>>) -> Stop {
    let requested = stop.wait_for(Option::is_some).await.ok().and_then(|stop| *stop);
    match requested {
        Some(stop) => stop,
        // The deployment is gone, and nobody can ask any more.
        None => std::future::pending().await,
    }
}

impl CodeDeployEngine {
    pub(crate) async fn run(self: Arc<Self>, id: String) {
        let Some(plan) = self.begin(&id) else { return };
        self.announce(&id, "START").await;
        let alias = Alias::new(&self, &plan.spec);
        let result = tokio::select! {
            biased;
            stop = stop_requested(plan.stop.clone()) => Err(End::Stopped(stop)),
            result = self.perform(&plan, &alias) => result,
        };
        self.finish(&plan, &alias, result).await;
    }

    fn begin(&self, id: &str) -> Option<Plan> {
        let now = self.cloud.clock().epoch_seconds();
        let mut state = self.state();
        let deployment = state.deployments.get_mut(id)?;
        deployment.begin(now);
        Some(Plan {
            id: id.to_owned(),
            spec: deployment.spec.clone(),
            shift: deployment.shift,
            alarms: deployment.alarms.clone(),
            auto_rollback: deployment.auto_rollback.clone(),
            stop: deployment.stop.subscribe(),
        })
    }

    async fn perform(&self, plan: &Plan, alias: &Alias<'_>) -> Result<(), End> {
        self.check_alarms(plan).await?;
        alias.open().await?;
        tokio::select! {
            biased;
            end = self.keep_watch(plan, alias) => Err(end),
            result = self.shift_traffic(plan, alias) => result,
        }
    }

    async fn keep_watch(&self, plan: &Plan, alias: &Alias<'_>) -> End {
        loop {
            self.cloud.clock().sleep(WATCH_INTERVAL).await;
            let seen = match self.check_alarms(plan).await {
                Ok(()) => alias.check().await,
                alarmed => alarmed,
            };
            if let Err(end) = seen {
                return end;
            }
        }
    }

    async fn shift_traffic(&self, plan: &Plan, alias: &Alias<'_>) -> Result<(), End> {
        self.run_hook(plan, Event::Before, plan.spec.before_allow_traffic.as_deref())
            .await?;
        self.advance_traffic(plan, Progress::Running);
        for step in plan.shift.steps() {
            alias.shift(step.percentage).await?;
            self.shifted(&plan.id, step.percentage);
            self.cloud.clock().sleep(step.pause).await;
        }
        alias.shift(100).await?;
        self.shifted(&plan.id, 100);
        self.advance_traffic(plan, Progress::Succeeded);
        self.run_hook(plan, Event::After, plan.spec.after_allow_traffic.as_deref())
            .await
    }

    fn shifted(&self, id: &str, percentage: u32) {
        let now = self.cloud.clock().epoch_seconds();
        if let Some(deployment) = self.state().deployments.get_mut(id) {
            deployment.shifted(percentage, now);
        }
    }

    fn end(&self, id: &str, status: Status, error: Option<(&'static str, String)>) {
        let now = self.cloud.clock().epoch_seconds();
        if let Some(deployment) = self.state().deployments.get_mut(id) {
            deployment.end(status, error, now);
        }
    }

    /// Success, unless somebody asked to stop it before this was written down.
    fn succeed(&self, id: &str) -> Result<(), End> {
        let now = self.cloud.clock().epoch_seconds();
        let mut state = self.state();
        let Some(deployment) = state.deployments.get_mut(id) else {
            return Ok(());
        };
        let stop = *deployment.stop.borrow();
        match stop {
            Some(stop) => Err(End::Stopped(stop)),
            None => {
                deployment.end(Status::Succeeded, None, now);
                Ok(())
            }
        }
    }

    async fn finish(&self, plan: &Plan, alias: &Alias<'_>, result: Result<(), End>) {
        let end = match result.and_then(|()| self.succeed(&plan.id)) {
            Ok(()) => {
                info!(deployment = %plan.id, function = %plan.spec.function, version = %plan.spec.target_version, "deployed");
                self.announce(&plan.id, "SUCCESS").await;
                return;
            }
            Err(end) => end,
        };
        let status = end.status();
        // The alias is back before anybody can see the deployment ended, so that whoever waits for its
        // end (a stack's rollback, say) never races with the way back.
        let rollback = if end.rolls_back(&plan.auto_rollback) {
            self.begin_rollback(plan)
        } else {
            None
        };
        let taken_back = match &rollback {
            Some(_) => alias.take_back().await,
            None => Ok(()),
        };
        let error = end.error();
        warn!(deployment = %plan.id, code = error.0, reason = %error.1, rolled_back = rollback.is_some(), "deployment ended");
        self.end(&plan.id, status, Some(error));
        self.announce(
            &plan.id,
            if status == Status::Stopped {
                "STOP"
            } else {
                "FAILURE"
            },
        )
        .await;
        if let Some(rollback) = rollback {
            self.finish_rollback(&rollback, taken_back).await;
        }
    }

    /// A deployment of the version that was there before, in the same group and at once.
    fn begin_rollback(&self, plan: &Plan) -> Option<String> {
        let clock = self.cloud.clock();
        let now = clock.epoch_seconds();
        let mut state = self.state();
        let failed = state.deployments.get(&plan.id)?;
        let spec = plan.spec.reversed();
        // The revision that brought that version, where this group knows it.
        let good = state.good_revision(&failed.application, &failed.group);
        let good = good.filter(|good| {
            good.spec.function == spec.function
                && good.spec.alias == spec.alias
                && good.spec.target_version == spec.target_version
        });
        let revision = match good {
            Some(good) => good.revision.clone(),
            None => {
                json!({"revisionType": "AppSpecContent", "appSpecContent": {"content": spec.to_content()}})
            }
        };
        let mut deployment = Deployment::new(
            Order {
                application: failed.application.clone(),
                group: failed.group.clone(),
                group_id: failed.group_id.clone(),
                config_name: ALL_AT_ONCE.to_owned(),
                shift: Shift::AllAtOnce,
                revision,
                previous_revision: Some(failed.revision.clone()),
                spec,
                description: None,
                creator: "codeDeployRollback",
                auto_rollback: AutoRollback::default(),
                alarms: AlarmConfiguration::default(),
                override_alarms: None,
            },
            clock,
        );
        let id = deployment.id.clone();
        deployment.rollback = Rollback {
            by: None,
            of: Some(plan.id.clone()),
            message: Some(format!("This deployment rolls back the deployment {}.", plan.id)),
        };
        deployment.begin(now);
        deployment.advance(Event::Before, Progress::Skipped, None, now);
        deployment.advance(Event::Allow, Progress::Running, None, now);
        state.deployments.insert(id.clone(), deployment);
        let failed = state.deployments.get_mut(&plan.id)?;
        failed.rollback.by = Some(id.clone());
        failed.rollback.message = Some(format!("The deployment {id} rolls this deployment back."));
        Some(id)
    }

    async fn finish_rollback(&self, id: &str, taken_back: Result<(), End>) {
        self.announce(id, "START").await;
        match taken_back {
            Ok(()) => {
                let now = self.cloud.clock().epoch_seconds();
                if let Some(deployment) = self.state().deployments.get_mut(id) {
                    deployment.shifted(100, now);
                    deployment.advance(Event::Allow, Progress::Succeeded, None, now);
                }
                self.end(id, Status::Succeeded, None);
                self.announce(id, "SUCCESS").await;
            }
            Err(end) => {
                self.end(id, Status::Failed, Some(end.error()));
                self.announce(id, "FAILURE").await;
            }
        }
    }

    /// `CodeDeploy Deployment State-change Notification`.
    async fn announce(&self, id: &str, state: &str) {
        let event = {
            let all = self.state();
            let Some(deployment) = all.deployments.get(id) else {
                return;
            };
            AwsEvent {
                source: "aws.codedeploy".to_owned(),
                detail_type: "CodeDeploy Deployment State-change Notification".to_owned(),
                resources: vec![
                    self.application_arn(&deployment.application),
                    self.group_arn(&deployment.application, &deployment.group),
                ],
                detail: json!({
                    "region": self.cloud.account().region,
                    "deploymentId": id,
                    "instanceGroupId": deployment.group_id,
                    "deploymentGroup": deployment.group,
                    "application": deployment.application,
                    "state": state,
                }),
            }
        };
        self.cloud.emit(event).await;
    }
}
