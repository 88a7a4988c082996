//! The events that CodeBuild puts on the default bus, in AWS's own form: whole numbers as floats,
//! times in English.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use signalbox_local_core::AwsEvent;

use crate::build::Build;
use crate::phase::{Context, Phase, PhaseType, Status};
use crate::state::lock;

/// `Sep 1, 2017 4:12:29 PM`.
fn english(epoch_seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "milliseconds of this age fit an i64"
    )]
    let millis = (epoch_seconds * 1000.0).round() as i64;
    let at = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned(TimeZone::UTC)
        .strftime("%b %-d, %Y %-I:%M:%S %p")
        .to_string()
}

fn contexts(contexts: Option<&Vec<Context>>) -> Vec<String> {
    let all = contexts.into_iter().flatten();
    all.map(|context| format!("{}: {}", context.status_code, context.message))
        .collect()
}

/// AWS writes the contexts of the current phase as one text.
fn contexts_text(phase: Option<&Phase>) -> String {
    format!(
        "[{}]",
        contexts(phase.and_then(|phase| phase.contexts.as_ref())).join(", ")
    )
}

#[expect(clippy::cast_precision_loss, reason = "seconds of one build")]
fn float(value: i64) -> f64 {
    value as f64
}

fn phase_value(phase: &Phase) -> Value {
    let mut out = json!({
        "phase-type": phase.phase_type.name(),
        "start-time": english(phase.start_time),
    });
    if let (Some(end), Some(status)) = (phase.end_time, phase.phase_status) {
        out["phase-context"] = json!(contexts(phase.contexts.as_ref()));
        out["end-time"] = json!(english(end));
        out["duration-in-seconds"] = json!(float(phase.duration_in_seconds.unwrap_or_default()));
        out["phase-status"] = json!(status.name());
    }
    out
}

/// The members of the model's `environment` and `source` that events carry, with dashes.
fn dashed(given: Option<&Value>, names: &[(&str, &str)]) -> Value {
    let mut out = json!({});
    for (from, to) in names {
        if let Some(value) = given.and_then(|given| given.get(*from)) {
            out[*to] = value.clone();
        }
    }
    out
}

fn additional(build: &Build) -> Value {
    let (fixed, progress) = (&build.fixed, lock(&build.progress).clone());
    let artifact = progress.artifacts.as_ref();
    let field = |name: &str| artifact.and_then(|artifact| artifact.get(name)).cloned();
    let planned = fixed
        .given
        .get("artifacts")
        .and_then(|artifacts| artifacts.get("location"))
        .cloned();
    let mut artifact = json!({"location": field("location").or(planned).unwrap_or(json!(""))});
    if let Some(sum) = field("sha256sum") {
        artifact["sha256sum"] = sum;
    }
    let environment = dashed(
        fixed.given.get("environment"),
        &[
            ("image", "image"),
            ("privilegedMode", "privileged-mode"),
            ("imagePullCredentialsType", "image-pull-credentials-type"),
            ("computeType", "compute-type"),
            ("type", "type"),
            ("environmentVariables", "environment-variables"),
        ],
    );
    let source = dashed(
        fixed.given.get("source"),
        &[
            ("type", "type"),
            ("location", "location"),
            ("buildspec", "buildspec"),
        ],
    );
    let mut out = json!({
        "artifact": artifact,
        "cache": dashed(fixed.given.get("cache"), &[("type", "type"), ("location", "location")]),
        "environment": environment,
        "build-number": fixed.number as f64,
        "timeout-in-minutes": fixed.plan.timeout.as_secs_f64() / 60.0,
        "queued-timeout-in-minutes": fixed.plan.queued_timeout.as_secs_f64() / 60.0,
        "build-complete": progress.end.is_some(),
        "initiator": fixed.initiator,
        "build-start-time": english(fixed.start),
        "source": source,
        "phases": progress.phases.iter().map(phase_value).collect::<Vec<_>>(),
    });
    let logs = fixed.given.get("logs");
    out["logs"] = dashed(
        logs,
        &[
            ("groupName", "group-name"),
            ("streamName", "stream-name"),
            ("deepLink", "deep-link"),
        ],
    );
    if let Some(version) = &fixed.plan.source_version {
        out["source-version"] = json!(version);
    }
    if !progress.exported.is_empty() {
        let exported = progress
            .exported
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}));
        out["exported-environment-variables"] = exported.collect();
    }
    out
}

fn event(build: &Build, detail_type: &str, mut detail: Value) -> AwsEvent {
    detail["project-name"] = json!(build.fixed.project);
    detail["build-id"] = json!(build.fixed.arn);
    detail["additional-information"] = additional(build);
    detail["version"] = json!("1");
    AwsEvent {
        source: "aws.codebuild".to_owned(),
        detail_type: detail_type.to_owned(),
        resources: vec![build.fixed.arn.clone()],
        detail,
    }
}

/// `CodeBuild Build State Change`.
pub(crate) fn state_change(build: &Build, status: Status) -> AwsEvent {
    let last = lock(&build.progress).phases.last().cloned();
    let current = last
        .as_ref()
        .map_or(PhaseType::Submitted, |phase| phase.phase_type);
    event(
        build,
        "CodeBuild Build State Change",
        json!({
            "build-status": status.name(),
            "current-phase": current.name(),
            "current-phase-context": contexts_text(last.as_ref()),
        }),
    )
}

/// `CodeBuild Build Phase Change`.
pub(crate) fn phase_change(build: &Build, phase: &Phase) -> AwsEvent {
    event(
        build,
        "CodeBuild Build Phase Change",
        json!({
            "completed-phase": phase.phase_type.name(),
            "completed-phase-context": contexts_text(Some(phase)),
            "completed-phase-status": phase.phase_status.map(Status::name),
            "completed-phase-duration-seconds": float(phase.duration_in_seconds.unwrap_or_default()),
            "completed-phase-start": english(phase.start_time),
            "completed-phase-end": english(phase.end_time.unwrap_or(phase.start_time)),
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_english_without_padding() {
        assert_eq!(english(1_504_282_349.0), "Sep 1, 2017 4:12:29 PM");
        assert_eq!(english(1_504_224_149.4), "Sep 1, 2017 12:02:29 AM");
    }
}
