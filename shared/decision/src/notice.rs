//! What people are told: subject and text, made of safe text only.
//!
//! A notice is plain text, since SNS mails nothing else. What comes from elsewhere (keys, branches, error
//! messages) goes through [`shown`], so that it cannot pose as ours; the link comes before the long parts,
//! so that trimming never loses it.

use std::fmt::Write;

use serde::Serialize;

use crate::start::Refusal;
use crate::text::{shown, subject};
use crate::timeline::{Action, Build, Deployment, Progress, State, Subject, Timeline};

/// SNS takes 262,144 bytes for message and attributes together; attributes need far less than the rest.
const MAX_BODY: usize = 200_000;

/// Something that people are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// What it is about, for filters: `run`, `stage`, `approval`, `build`, `deployment`, `upload`, `freeze`.
    pub topic: &'static str,
    /// How it went, for filters.
    pub severity: Severity,
    /// A mail's subject, as SNS takes it.
    pub subject: String,
    /// The text.
    pub body: String,
}

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody is waited for.
    Action,
    /// Something failed.
    Error,
}

impl Severity {
    /// As a filter policy names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Action => "action",
            Self::Error => "error",
        }
    }
}

fn notice(topic: &'static str, severity: Severity, title: &str, body: String) -> Notice {
    Notice {
        topic,
        severity,
        subject: subject(title),
        body: fitted(body),
    }
}

/// Cut to what SNS takes, on a character's boundary.
fn fitted(mut body: String) -> String {
    if body.len() > MAX_BODY {
        let at = (0..=MAX_BODY - '…'.len_utf8())
            .rev()
            .find(|at| body.is_char_boundary(*at))
            .unwrap_or(0);
        body.truncate(at);
        body.push('…');
    }
    body
}

fn line(body: &mut String, label: &str, value: &str) {
    // Writing into a String cannot fail.
    let _ = writeln!(body, "{label}: {}", shown(value, 300));
}

/// The page of a run in the AWS console.
#[must_use]
pub fn console(pipeline: &str, execution: &str, region: &str) -> String {
    format!(
        "https://{region}.console.aws.amazon.com/codesuite/codepipeline/pipelines/{pipeline}/executions/{execution}/timeline?region={region}"
    )
}

fn about(subject: &Subject, region: &str) -> String {
    let mut body = String::new();
    if let Subject::Run { pipeline, execution } = subject {
        line(&mut body, "Pipeline", pipeline.as_str());
        line(&mut body, "Run", execution.as_str());
        let _ = writeln!(
            body,
            "Console: {}",
            console(pipeline.as_str(), execution.as_str(), region)
        );
    }
    body
}

fn name(subject: &Subject) -> &str {
    match subject {
        Subject::Run { pipeline, .. } => pipeline.as_str(),
        Subject::Build { id } => id,
        Subject::Deployment { id } => id.as_str(),
    }
}

fn times(body: &mut String, progress: &Progress) {
    if let Some(started) = progress.started {
        line(body, "Started", &started.to_string());
    }
    if let Some(ended) = progress.ended {
        line(body, "Ended", &ended.to_string());
    }
    if let Some(took) = progress.duration() {
        line(body, "Took", &in_words(took.as_secs()));
    }
}

fn in_words(seconds: i64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

/// A run started, goes on after a retry, or ended.
pub(crate) fn run_changed(
    of: &Subject,
    timeline: &Timeline,
    attempt: u32,
    progress: &Progress,
    region: &str,
) -> Notice {
    let (verb, severity) = match progress.state {
        State::Succeeded => ("succeeded", Severity::Info),
        State::Failed => ("failed", Severity::Error),
        State::Stopped => ("was stopped", Severity::Error),
        State::Cancelled => ("was cancelled", Severity::Error),
        State::Superseded => ("was superseded by a newer run", Severity::Info),
        _ if attempt > 1 => ("goes on after a retry", Severity::Info),
        _ => ("started", Severity::Info),
    };
    let mut body = format!("The run of {} {verb}.\n\n{}", name(of), about(of, region));
    if attempt > 1 {
        line(&mut body, "Attempt", &attempt.to_string());
    }
    if let Some(revision) = &timeline.revision {
        line(&mut body, "Revision", revision);
    }
    times(&mut body, progress);
    notice("run", severity, &format!("Run {verb}: {}", name(of)), body)
}

/// A stage failed, once for each attempt.
pub(crate) fn stage_failed(
    of: &Subject,
    stage: &str,
    attempt: u32,
    failed: &[&Action],
    region: &str,
) -> Notice {
    let approval = failed.iter().any(|action| action.category == "Approval");
    let verb = if approval {
        "was not approved (rejected, or nobody answered in time)"
    } else {
        "failed"
    };
    let mut body = format!(
        "Stage {} of {} {verb}.\n\n{}",
        shown(stage, 100),
        name(of),
        about(of, region)
    );
    if attempt > 1 {
        line(&mut body, "Attempt", &attempt.to_string());
    }
    for action in failed {
        line(
            &mut body,
            "Action",
            &format!("{} ({} by {})", action.name, action.category, action.provider),
        );
        if let Some(error) = &action.error {
            line(&mut body, "Reason", error);
        }
    }
    if let Subject::Run { pipeline, execution } = of
        && !approval
    {
        let _ = write!(
            body,
            "\nOnce the cause is mended, the stage can be retried:\n\n  aws codepipeline retry-stage-execution \
             --pipeline-name {pipeline} --stage-name {} --pipeline-execution-id {execution} --retry-mode FAILED_ACTIONS\n",
            shown(stage, 100)
        );
    }
    let what = if approval { "Not approved" } else { "Stage failed" };
    notice(
        "stage",
        Severity::Error,
        &format!("{what}: {} of {}", shown(stage, 40), name(of)),
        body,
    )
}

/// An approval is waited for.
pub(crate) fn approval_waiting(of: &Subject, timeline: &Timeline, action: &Action, region: &str) -> Notice {
    let stage = shown(&action.stage, 100);
    let mut body = format!(
        "{} waits for approval in stage {stage}. The approvers have been sent a link each.\n\n{}",
        name(of),
        about(of, region)
    );
    if let Some(revision) = &timeline.revision {
        line(&mut body, "Revision", revision);
    }
    if let Some(since) = action.progress.started {
        line(&mut body, "Since", &since.to_string());
    }
    notice(
        "approval",
        Severity::Action,
        &format!("Approval waits: {stage} of {}", name(of)),
        body,
    )
}

/// A build that belongs to no run ended.
pub(crate) fn build_ended(id: &str, build: &Build) -> Notice {
    let (verb, severity) = match build.progress.state {
        State::Succeeded => ("succeeded", Severity::Info),
        State::Stopped => ("was stopped", Severity::Error),
        _ => ("failed", Severity::Error),
    };
    let mut body = format!(
        "A build of {} {verb}. It belongs to no run: nothing is deployed.\n\n",
        shown(&build.project, 200)
    );
    line(&mut body, "Build", id);
    if let Some(initiator) = &build.initiator {
        line(&mut body, "Started by", initiator);
    }
    if let Some(logs) = &build.logs {
        line(&mut body, "Logs", logs);
    }
    times(&mut body, &build.progress);
    notice(
        "build",
        severity,
        &format!("Build {verb}: {}", shown(&build.project, 60)),
        body,
    )
}

/// A deployment failed or was stopped.
pub(crate) fn deployment_ended(of: &Subject, id: &str, deployment: &Deployment, region: &str) -> Notice {
    let verb = if deployment.progress.state == State::Stopped {
        "was stopped"
    } else {
        "failed"
    };
    let mut body = format!(
        "Deployment {} of {} {verb}. CodeDeploy leaves all traffic on the previous version, or brings it back \
         there.\n\n{}",
        shown(id, 100),
        shown(&deployment.application, 100),
        about(of, region)
    );
    line(&mut body, "Deployment", id);
    line(&mut body, "Application", &deployment.application);
    line(&mut body, "Deployment group", &deployment.group);
    let _ = writeln!(
        body,
        "Deployment page: https://{region}.console.aws.amazon.com/codesuite/codedeploy/deployments/{}?region={region}",
        shown(id, 100)
    );
    times(&mut body, &deployment.progress);
    notice(
        "deployment",
        Severity::Error,
        &format!("Deployment {verb}: {}", shown(&deployment.group, 60)),
        body,
    )
}

/// An upload was refused.
#[must_use]
pub fn upload_rejected(refusal: &Refusal) -> Notice {
    let mut body = "An upload was refused; no run was started.\n\n".to_owned();
    line(&mut body, "Bucket", refusal.bucket.as_str());
    // A key may be long, and must be recognised: its whole length is shown.
    let _ = writeln!(body, "Key: {}", shown(refusal.key.as_str(), 1024));
    line(
        &mut body,
        "Version",
        refusal
            .version
            .as_ref()
            .map_or("none", |version| version.as_str()),
    );
    for reason in &refusal.reasons {
        let _ = write!(body, "\n- {reason}.\n  {}\n", reason.mend());
    }
    let file = refusal.key.as_str().rsplit('/').next().unwrap_or_default();
    notice(
        "upload",
        Severity::Error,
        &format!("Upload refused: {}", shown(file, 60)),
        body,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{BucketName, ObjectKey};
    use crate::package::Rejection;

    #[test]
    fn a_refusal_says_what_and_how_to_mend_it_in_safe_text() {
        let notice = upload_rejected(&Refusal {
            bucket: BucketName::new("lambda-artifacts-staging").unwrap(),
            key: ObjectKey::new("source/ä\r\nBcc: x\u{1b}[2J.zip").unwrap(),
            version: None,
            token: "t".to_owned(),
            reasons: vec![
                Rejection::Empty,
                Rejection::Symlink {
                    entry: "a\nb".to_owned(),
                },
            ],
        });
        assert_eq!(
            notice.subject,
            "Upload refused: ?\\u{d}\\u{a}Bcc: x\\u{1b}[2J.zip"
        );
        assert!(
            notice
                .body
                .contains("Key: source/ä\\u{d}\\u{a}Bcc: x\\u{1b}[2J.zip\n"),
            "{}",
            notice.body
        );
        assert!(
            notice
                .body
                .contains("- the package has zero bytes.\n  The upload wrote nothing")
        );
        assert!(notice.body.contains("- entry a\\u{a}b is a symbolic link.\n"));
    }

    #[test]
    fn a_long_text_is_cut_to_what_sns_takes() {
        let body = fitted("ä".repeat(MAX_BODY));
        assert!(body.len() <= MAX_BODY && body.ends_with('…'));
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(
            (in_words(9), in_words(125), in_words(7260)),
            ("9 s".into(), "2 min 5 s".into(), "2 h 1 min".into())
        );
    }
}
