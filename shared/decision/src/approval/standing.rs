//! What AWS says about an approval action now, derived from freshly read state.
//!
//! The same action serves run after run, and a stage that is retried asks again with a new token. So
//! "it is in progress" says nothing until the run is compared, and "it succeeded" may be about an
//! earlier run. All of that is settled here, once, in [`Standing::of`].

use jiff::Timestamp;

use super::{Decision, Token, Verdict, Via};
use crate::names::ExecutionId;

/// What was read, before it means anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// CodePipeline knows no such pipeline.
    NoPipeline,
    /// The pipeline exists and CodePipeline knows no such run of it.
    NoRun,
    /// Both exist.
    Read {
        /// How the run fares in the action's stage.
        run: RunStatus,
        /// The action, if the pipeline (still) has it.
        action: Option<ActionReading>,
    },
}

/// How a run fares in a stage (`StageExecutionStatus`), as far as approvals care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// It goes on.
    InProgress,
    /// It was stopped, is stopping, or was cancelled.
    Stopped,
    /// It ended, one way or the other, or in a state that is not known here.
    Ended,
}

/// An approval action's latest execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionReading {
    /// The run that it belongs to.
    pub execution: Option<ExecutionId>,
    /// Its status.
    pub status: ActionStatus,
    /// The token, while it waits.
    pub token: Option<Token>,
    /// What the decider wrote.
    pub summary: Option<String>,
    /// The AWS identity that decided.
    pub updated_by: Option<String>,
    /// When the status last changed.
    pub changed: Option<Timestamp>,
    /// AWS's error code and message, where the action failed for another reason than a rejection.
    pub error: Option<String>,
}

/// The status of an action (`ActionExecutionStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionStatus {
    /// It waits for a decision.
    InProgress,
    /// Approved.
    Succeeded,
    /// Rejected, or timed out.
    Failed,
    /// The run was stopped and did not wait for it.
    Abandoned,
    /// It has not run, or is in a state that is not known here.
    Unknown,
}

/// What the approval action of one run stands at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It waits for a decision.
    Waiting {
        /// What answers it.
        token: Token,
        /// Since when.
        since: Option<Timestamp>,
    },
    /// It has started, and AWS does not show its token yet.
    NotReady,
    /// It was decided.
    Decided {
        /// How.
        verdict: Verdict,
        /// What the decider wrote, as AWS has it.
        summary: String,
        /// The AWS identity that decided.
        by: Option<String>,
        /// When.
        at: Option<Timestamp>,
    },
    /// Nobody answered in time.
    Lapsed,
    /// There is nothing left to decide.
    Gone(Gone),
}

/// Why there is nothing left to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// The pipeline was deleted.
    #[error("the pipeline does not exist any more")]
    Pipeline,
    /// The run is not known (any more).
    #[error("CodePipeline does not know this run any more")]
    Run,
    /// The pipeline was changed and has no such stage or action.
    #[error("the pipeline does not have this approval action any more")]
    Action,
    /// The run was stopped.
    #[error("the run was stopped")]
    Stopped,
    /// The stage works for another run now.
    #[error("the stage has moved on to another run")]
    MovedOn,
    /// The stage was retried: there is a newer link.
    #[error("this approval was asked for again; the newer message has the link that counts")]
    AskedAgain,
    /// The run is over.
    #[error("the run has ended")]
    Ended,
}

impl Standing {
    /// What `reading` means for the run `execution`.
    #[must_use]
    pub fn of(reading: Reading, execution: &ExecutionId) -> Self {
        let (run, action) = match reading {
            Reading::NoPipeline => return Self::Gone(Gone::Pipeline),
            Reading::NoRun => return Self::Gone(Gone::Run),
            Reading::Read { run, action } => (run, action),
        };
        let Some(action) = action else {
            return Self::Gone(Gone::Action);
        };
        if action.execution.as_ref() != Some(execution) {
            return Self::Gone(match run {
                RunStatus::Stopped => Gone::Stopped,
                RunStatus::InProgress => Gone::MovedOn,
                RunStatus::Ended => Gone::Ended,
            });
        }
        match (action.status, run) {
            (ActionStatus::Succeeded, _) => decided(Verdict::Approved, action),
            (ActionStatus::Failed, _) if timed_out(&action) => Self::Lapsed,
            (ActionStatus::Failed, _) => decided(Verdict::Rejected, action),
            (ActionStatus::Abandoned, _) | (_, RunStatus::Stopped) => Self::Gone(Gone::Stopped),
            (_, RunStatus::Ended) => Self::Gone(Gone::Ended),
            (ActionStatus::InProgress, RunStatus::InProgress) => match action.token {
                Some(token) => Self::Waiting {
                    token,
                    since: action.changed,
                },
                None => Self::NotReady,
            },
            (ActionStatus::Unknown, RunStatus::InProgress) => Self::NotReady,
        }
    }

    /// The decision, if AWS shows one.
    ///
    /// Where the summary is one that we write, the person named in it decided; the AWS identity is then
    /// our own function's. Anybody who may answer in the console may write such a summary: it is shown
    /// as what CodePipeline has, and the ledger's own record goes before it.
    #[must_use]
    pub fn decision(&self) -> Option<Decision> {
        let Self::Decided {
            verdict,
            summary,
            by,
            at,
        } = self
        else {
            return None;
        };
        let (by, comment) = match read_summary(summary, *verdict) {
            Some((person, comment)) => (person.to_owned(), comment.to_owned()),
            None => (
                by.as_deref()
                    .map_or_else(|| "somebody in AWS".to_owned(), identity),
                summary.clone(),
            ),
        };
        Some(Decision {
            verdict: *verdict,
            by,
            via: Via::CodePipeline,
            at: *at,
            comment,
        })
    }
}

fn decided(verdict: Verdict, action: ActionReading) -> Standing {
    let summary = action.summary.unwrap_or_default();
    Standing::Decided {
        verdict,
        summary,
        by: action.updated_by,
        at: action.changed,
    }
}

/// A rejection has a decider; a time-out has an error and none. AWS documents no code for it, so that
/// the words are looked at, and only where nobody decided.
fn timed_out(action: &ActionReading) -> bool {
    let says_so = |text: &str| {
        let text = text.to_ascii_lowercase();
        ["timeout", "timed out", "expired"]
            .iter()
            .any(|word| text.contains(word))
    };
    action.updated_by.is_none() && action.error.as_deref().is_some_and(says_so)
}

/// The last part of an identity's ARN: a user's name, or a role's session.
fn identity(arn: &str) -> String {
    arn.rsplit('/').next().unwrap_or(arn).to_owned()
}

/// The most that `PutApprovalResult` takes as a summary. AWS does not say whether it counts characters
/// or UTF-16 units: we stay within both.
const SUMMARY_UNITS: usize = 512;

/// What CodePipeline is told, since it only sees our function decide:
/// `Approved by ann@example.com via link: looks good`. `by` is what [`Decision::by`] says.
#[must_use]
pub fn summary(verdict: Verdict, by: &str, via: Via, comment: &str) -> String {
    let mut text = format!("{verdict} by {by} via {via}");
    if !comment.is_empty() {
        text.push_str(": ");
        text.push_str(comment);
    }
    let mut units = 0;
    let end = text.char_indices().find(|(_, c)| {
        units += c.len_utf16();
        units > SUMMARY_UNITS
    });
    if let Some((end, _)) = end {
        text.truncate(end);
    }
    text
}

/// The people and the comment of a summary that we wrote.
fn read_summary(summary: &str, verdict: Verdict) -> Option<(&str, &str)> {
    let rest = summary.strip_prefix(&format!("{verdict} by "))?;
    let (people, rest) = rest.split_once(" via ")?;
    let named = |person: &str| !person.is_empty() && !person.contains(' ');
    people.split(", ").all(named).then_some(())?;
    let rest = [Via::Link, Via::Slack, Via::Policy]
        .iter()
        .find_map(|via| rest.strip_prefix(&via.to_string()))?;
    if rest.is_empty() {
        return Some((people, ""));
    }
    Some((people, rest.strip_prefix(": ")?))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::super::tests::{at, token, waiting_action};
    use super::*;

    pub(crate) fn action(status: ActionStatus) -> ActionReading {
        ActionReading {
            execution: Some(waiting_action().execution),
            status,
            token: (status == ActionStatus::InProgress).then(token),
            summary: None,
            updated_by: None,
            changed: Some(at("2026-05-29T14:05:00Z")),
            error: None,
        }
    }

    fn standing(run: RunStatus, action: ActionReading) -> Standing {
        Standing::of(
            Reading::Read {
                run,
                action: Some(action),
            },
            &waiting_action().execution,
        )
    }

    #[test]
    fn an_open_approval_of_this_run_waits() {
        let waiting = standing(RunStatus::InProgress, action(ActionStatus::InProgress));
        assert_eq!(
            waiting,
            Standing::Waiting {
                token: token(),
                since: Some(at("2026-05-29T14:05:00Z"))
            }
        );
    }

    #[test]
    fn an_open_approval_of_another_run_is_none_of_this_link() {
        let other = Some(ExecutionId::new("ffffffff-4b5a-6978-8796-a5b4c3d2e1f0").unwrap());
        for (run, why) in [
            (RunStatus::Stopped, Gone::Stopped),
            (RunStatus::InProgress, Gone::MovedOn),
            (RunStatus::Ended, Gone::Ended),
        ] {
            let reading = ActionReading {
                execution: other.clone(),
                ..action(ActionStatus::InProgress)
            };
            assert_eq!(standing(run, reading), Standing::Gone(why));
        }
    }

    #[test]
    fn what_does_not_exist_is_gone() {
        let run = &waiting_action().execution;
        assert_eq!(
            Standing::of(Reading::NoPipeline, run),
            Standing::Gone(Gone::Pipeline)
        );
        assert_eq!(Standing::of(Reading::NoRun, run), Standing::Gone(Gone::Run));
        let no_action = Reading::Read {
            run: RunStatus::InProgress,
            action: None,
        };
        assert_eq!(Standing::of(no_action, run), Standing::Gone(Gone::Action));
    }

    #[test]
    fn a_started_action_without_a_token_is_not_ready() {
        let reading = ActionReading {
            token: None,
            ..action(ActionStatus::InProgress)
        };
        assert_eq!(standing(RunStatus::InProgress, reading), Standing::NotReady);
    }

    #[test]
    fn only_a_failure_that_nobody_decided_is_a_time_out() {
        let error = Some("TimeoutError: approval timed out".to_owned());
        let lapsed = ActionReading {
            error: error.clone(),
            ..action(ActionStatus::Failed)
        };
        assert_eq!(standing(RunStatus::Ended, lapsed), Standing::Lapsed);
        let rejected = ActionReading {
            error,
            updated_by: Some("arn:aws:iam::1:user/ann".to_owned()),
            ..action(ActionStatus::Failed)
        };
        assert!(matches!(
            standing(RunStatus::Ended, rejected),
            Standing::Decided {
                verdict: Verdict::Rejected,
                ..
            }
        ));
    }

    #[test]
    fn a_decision_names_the_person_behind_our_function() {
        let ours = ActionReading {
            summary: Some(summary(
                Verdict::Approved,
                "ann@example.com, bob@example.com",
                Via::Slack,
                "fine: go",
            )),
            updated_by: Some("arn:aws:sts::1:assumed-role/answer-approval/answer-approval".to_owned()),
            ..action(ActionStatus::Succeeded)
        };
        let decision = standing(RunStatus::InProgress, ours).decision().unwrap();
        assert_eq!(
            (decision.by.as_str(), decision.comment.as_str()),
            ("ann@example.com, bob@example.com", "fine: go")
        );
    }

    #[test]
    fn a_decision_in_the_console_names_the_identity() {
        for text in [
            "Approved by somebody important via link",
            "Approved by ann via links",
            "Approved by the boss",
        ] {
            assert_eq!(read_summary(text, Verdict::Approved), None, "{text}");
        }
        let console = ActionReading {
            summary: Some("ok".to_owned()),
            updated_by: Some("arn:aws:iam::123456789012:user/bob".to_owned()),
            ..action(ActionStatus::Succeeded)
        };
        let decision = standing(RunStatus::InProgress, console).decision().unwrap();
        assert_eq!((decision.by.as_str(), decision.comment.as_str()), ("bob", "ok"));
    }

    proptest! {
        #[test]
        fn a_summary_fits_and_names_the_decider(comment in "\\PC{0,700}") {
            let text = summary(Verdict::Rejected, "ann@example.com", Via::Link, &comment);
            prop_assert!(text.chars().count() <= 512 && text.encode_utf16().count() <= 512);
            prop_assert!(text.starts_with("Rejected by ann@example.com via link"));
            let whole = format!("Rejected by ann@example.com via link: {comment}");
            prop_assert!(whole.starts_with(&text));
            // Nothing is cut that would have fitted.
            prop_assert!(text.len() >= whole.len() - 2 || text.encode_utf16().count() >= 511);
        }
    }
}
