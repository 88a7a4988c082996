//! The two acts: a good version goes out, a bad one comes back.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::canary::{Shared, alias, frozen, newest_deployment, watch};
use super::follow::{Ended, follow};
use super::summary::{RollbackSummary, RunSummary};
use super::traffic::Traffic;
use super::upload::{Started, upload};
use super::{DemoError, Stage, approve};
use crate::inbox::Mail;
use crate::sample::Behaviour;

const RELEASE: &str = "Release";

/// Act one: the run must succeed, and both versions must have served during the canary.
pub(crate) async fn good(stage: &Stage<'_>, version: &str) -> Result<RunSummary, DemoError> {
    let before = alias(stage).await?;
    let traffic = Traffic::start(stage);
    let started = upload(stage, version, Behaviour::Good).await?;
    let mut shared = None;
    let ended = tokio::select! {
        ended = approved_run(stage, &started) => ended?,
        failed = watch(stage, &traffic, &mut shared) => return Err(failed),
    };
    let after = alias(stage).await?;
    if ended.status != "Succeeded" {
        return Err(unexpected(stage, &started, &ended, "Succeeded"));
    }
    if after.version == before.version || after.shared_with.is_some() {
        return Err(DemoError::new(
            "shifting the traffic",
            format!("the alias still is {after:?}, as before"),
        ));
    }
    let shared = shared.ok_or_else(|| {
        DemoError::new(
            "shifting the traffic",
            format!("no canary was seen: the alias went from {before:?} to {after:?} at once"),
        )
    })?;
    tell_canary(stage, &shared, &before.version, &after.version)?;
    Ok(summary(started, ended))
}

/// What each version served while both were behind the alias.
fn tell_canary(stage: &Stage<'_>, shared: &Shared, old: &str, new: &str) -> Result<(), DemoError> {
    let (of_new, of_old) = (shared.served(new), shared.served(old));
    if of_new == 0 || of_old == 0 {
        return Err(DemoError::new(
            "shifting the traffic",
            format!(
                "not both versions served while they shared the alias: version {new} {of_new} requests, version {old} \
                 {of_old}"
            ),
        ));
    }
    stage.console.good(&format!(
        "with a weight of {:.0} % version {new} served {of_new} requests beside {of_old} of version {old}; now it serves all",
        shared.weight * 100.0
    ));
    Ok(())
}

/// Act two: the deployment must be stopped by the alarm, the alias must be back, the stage frozen, and
/// somebody told.
pub(crate) async fn bad(
    stage: &Stage<'_>,
    version: &str,
) -> Result<(RunSummary, RollbackSummary), DemoError> {
    const STEP: &str = "rolling back";
    let before = alias(stage).await?;
    let traffic = Traffic::start(stage);
    let started = upload(stage, version, Behaviour::FailsUnderTraffic).await?;
    let ended = approved_run(stage, &started).await?;
    // A failed build or a person's rejection is no rollback.
    let released = ended.stages.last().is_some_and(|last| last.name == RELEASE);
    if ended.status != "Failed" || !released {
        return Err(unexpected(
            stage,
            &started,
            &ended,
            "Failed, by its Release stage,",
        ));
    }
    stage.console.waiting("waiting for the notice");
    let function = format!("signalbox-{}-roll-back", stage.installed.environment);
    let is_notice = |mail: &Mail| mail.subject.starts_with("Rolled back");
    let inbox = stage.running.cloud.inbox();
    let log = stage.running.logs.join(format!("{function}.log"));
    let told = async {
        let notice = inbox.wait_for(is_notice).await;
        // The notice is not the last thing that it does: only what has ended is in the summary.
        stage.running.lambda.ended(&function).await;
        notice
    };
    let notice = tokio::time::timeout(Duration::from_secs(60), told)
        .await
        .map_err(|_| {
            DemoError::new(STEP, "no notice told that it was rolled back").with_log(log.display())
        })?;
    let deployment = newest_rolled_back(stage).await?;
    let after = alias(stage).await?;
    if after.version != before.version || after.shared_with.is_some() {
        let cause = format!(
            "the alias is {after:?}; it should be back on version {}",
            before.version
        );
        return Err(DemoError::new(STEP, cause).with_log(log.display()));
    }
    let reason = frozen(stage, RELEASE)
        .await?
        .ok_or_else(|| DemoError::new(STEP, "the Release stage is not frozen").with_log(log.display()))?;
    let rollback = rollback_summary(stage, &deployment, &notice, &before.version, &after.version)?;
    let failed = traffic
        .by_version()
        .get(&rollback.from_version)
        .map_or(0, |answers| answers.failed);
    stage.console.good(&format!(
        "roll-back stopped deployment {} {} ms after alarm {}; {failed} requests met version {}",
        rollback.deployment, rollback.latency_ms, rollback.alarm, rollback.from_version
    ));
    stage
        .console
        .good(&format!("the alias is back on version {}", after.version));
    stage.console.good(&format!("{RELEASE} is frozen: {reason}"));
    stage
        .console
        .good(&format!("the inbox has the notice \"{}\"", notice.subject));
    Ok((summary(started, ended), rollback))
}

/// Follows the run and answers its request for approval meanwhile.
async fn approved_run(stage: &Stage<'_>, started: &Started) -> Result<Ended, DemoError> {
    let run = follow(stage, &started.run);
    tokio::pin!(run);
    let answered = approve::approve(stage, &started.run);
    tokio::select! {
        // A run that ends before anybody was asked has failed before.
        ended = &mut run => ended,
        answered = answered => {
            answered?;
            run.await
        }
    }
}

fn summary(started: Started, ended: Ended) -> RunSummary {
    let approved_by = ended
        .approval
        .as_deref()
        .and_then(|summary| summary.strip_prefix("Approved by "))
        .and_then(|rest| rest.split_whitespace().next())
        .map(str::to_owned);
    RunSummary {
        id: started.run,
        revision: started.revision,
        trigger: started.trigger,
        status: ended.status,
        stages: ended.stages,
        approved_by,
    }
}

fn unexpected(stage: &Stage<'_>, started: &Started, ended: &Ended, wanted: &str) -> DemoError {
    let step = ended.stages.last().map_or("the run", |stage| &stage.name);
    let cause = format!(
        "run {} ended as {} where {wanted} was expected: {}",
        started.run,
        ended.status,
        ended.failure.as_deref().unwrap_or("no action says why")
    );
    let logs = &stage.running.logs;
    let log = ended.failed_build.as_ref().map(|build| logs.join(build));
    DemoError::new(step, cause).with_log(log.as_ref().unwrap_or(logs).display())
}

/// The deployment that brought the bad version: the newest that is not itself a rollback.
async fn newest_rolled_back(stage: &Stage<'_>) -> Result<Value, DemoError> {
    let newest = newest_deployment(stage).await?.unwrap_or_default();
    let triggering = newest
        .pointer("/rollbackInfo/rollbackTriggeringDeploymentId")
        .and_then(Value::as_str);
    let Some(id) = triggering else { return Ok(newest) };
    let input = serde_json::json!({ "deploymentId": id });
    let answer = stage.running.call("codedeploy", "GetDeployment", input).await?;
    Ok(answer.get("deploymentInfo").cloned().unwrap_or_default())
}

/// The alarm that a notice names: one bad version may set off several, and not each of them rolls back.
fn named_alarm(notice: &Mail) -> Option<&str> {
    notice.text.lines().find_map(|line| line.strip_prefix("Alarm: "))
}

/// When the alarm first went off since then.
fn went_off(seen: &[Value], alarm: &str, since: Timestamp) -> Option<Timestamp> {
    let moments = seen.iter().filter_map(|event| {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
        let is_it = text("/detail-type")? == "CloudWatch Alarm State Change"
            && text("/detail/state/value")? == "ALARM"
            && text("/detail/alarmName")? == alarm;
        // CloudWatch's offset has no colon, which RFC 3339 demands.
        let at = text("/detail/state/timestamp")?.replace("+0000", "Z");
        is_it.then(|| at.parse().ok()).flatten()
    });
    moments.filter(|at| *at >= since).min()
}

fn rollback_summary(
    stage: &Stage<'_>,
    deployment: &Value,
    notice: &Mail,
    good: &str,
    alias_version_after: &str,
) -> Result<RollbackSummary, DemoError> {
    const STEP: &str = "summing the rollback up";
    let id = deployment
        .get("deploymentId")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let moment = |name: &str| -> Result<Timestamp, DemoError> {
        let seconds = deployment.get(name).and_then(Value::as_f64).unwrap_or_default();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "milliseconds since 1970 fit an i64"
        )]
        let millis = (seconds * 1000.0) as i64;
        Timestamp::from_millisecond(millis).map_err(|error| DemoError::new(STEP, error))
    };
    let stopped_at = moment("completeTime")?;
    let alarm = named_alarm(notice)
        .ok_or_else(|| DemoError::new(STEP, format!("the notice names no alarm: {}", notice.text)))?;
    let seen = stage.running.events.events_seen();
    let alarm_at = went_off(&seen, alarm, moment("createTime")?).ok_or_else(|| {
        let cause = format!(
            "alarm {alarm}, which the notice names, was not seen to go off since the deployment began"
        );
        DemoError::new(STEP, cause)
    })?;
    let content = ["/revision/appSpecContent/content", "/revision/string/content"]
        .iter()
        .find_map(|pointer| deployment.pointer(pointer).and_then(Value::as_str))
        .unwrap_or_default();
    let spec: Value = serde_json::from_str(content).unwrap_or_default();
    let target = spec
        .pointer("/Resources/0")
        .and_then(Value::as_object)
        .and_then(|resource| resource.values().next())
        .and_then(|resource| resource.pointer("/Properties/TargetVersion"));
    let from_version = match target {
        Some(Value::String(version)) => version.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    Ok(RollbackSummary {
        deployment: id,
        alarm: alarm.to_owned(),
        alarm_at: alarm_at.to_string(),
        stopped_at: stopped_at.to_string(),
        latency_ms: stopped_at.as_millisecond() - alarm_at.as_millisecond(),
        from_version,
        to_version: good.to_owned(),
        alias_version_after: alias_version_after.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_several_alarms_the_one_that_the_notice_names_is_meant_since_the_deployment_began() {
        let event = |name: &str, state: &str, at: &str| {
            json!({
                "detail-type": "CloudWatch Alarm State Change",
                "detail": { "alarmName": name, "state": { "value": state, "timestamp": at } },
            })
        };
        let seen = [
            event("app-errors", "ALARM", "2026-02-03T09:00:00.000+0000"),
            // Goes off first, and no deployment hangs on it.
            event("app-alias-errors", "ALARM", "2026-02-03T10:00:01.000+0000"),
            event("app-errors", "OK", "2026-02-03T10:00:01.500+0000"),
            event("app-errors", "ALARM", "2026-02-03T10:00:02.500+0000"),
            event("app-errors", "ALARM", "2026-02-03T10:00:02.000+0000"),
        ];
        let since = "2026-02-03T10:00:00Z".parse().unwrap();
        let at = "2026-02-03T10:00:02Z".parse().unwrap();
        assert_eq!(went_off(&seen, "app-errors", since), Some(at));
        assert_eq!(went_off(&seen, "app-duration", since), None);
    }
}
