//! A job of the pipeline: what is asked of it, and what it remembers from one invocation to the next.
//!
//! CodePipeline waits 20 minutes for a job's answer; one that takes longer answers "call me again" with a
//! token, and is called with a new job. What was found so far is in the ledger under that token.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Check, Finding};
use crate::names::VersionNumber;
use crate::text::shown;

/// The checks that a job can make: those that need no deployment.
const CHECKS: [Check; 5] = [
    Check::Invocation,
    Check::ErrorHandling,
    Check::Performance,
    Check::Load,
    Check::Logs,
];

/// The longest watch (seconds). CodePipeline ends an Invoke action of Lambda's after an hour
/// (CodePipeline user guide, "Quotas").
pub const MAX_WATCH_SECONDS: u32 = 3000;

/// How much longer than its watch a job may take before it has failed (seconds): the checks, and the pauses
/// between two calls.
const SLACK_SECONDS: u32 = 480;

/// The action's `UserParameters`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// The checks to make, in their order.
    pub checks: Vec<Check>,
    /// For how long to watch the log, and to ask again now and then, once the checks have passed (seconds).
    pub watch_seconds: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            checks: CHECKS.into(),
            watch_seconds: 0,
        }
    }
}

impl Parameters {
    /// Reads `{"checks": ["invocation", …], "watch_seconds": 0, "alias": "live"}`, of which nothing is
    /// required. `alias` guards against the wrong action in the wrong pipeline: it must be the one that is
    /// validated.
    ///
    /// # Errors
    /// Every mistake, in a sentence.
    pub fn parse(text: Option<&str>, alias: &str) -> Result<Self, String> {
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
            return Ok(Self::default());
        };
        let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(text) else {
            return Err("UserParameters is no JSON object".to_owned());
        };
        let mut parameters = Self::default();
        let mut mistakes = Vec::new();
        for (name, value) in fields {
            match name.as_str() {
                "checks" => match checks(&value) {
                    Ok(checks) => parameters.checks = checks,
                    Err(mistake) => mistakes.push(mistake),
                },
                "watch_seconds" => match value.as_u64().and_then(|seconds| u32::try_from(seconds).ok()) {
                    Some(seconds) if seconds <= MAX_WATCH_SECONDS => parameters.watch_seconds = seconds,
                    _ => mistakes.push(format!(
                        "watch_seconds: a whole number from 0 to {MAX_WATCH_SECONDS}"
                    )),
                },
                "alias" if value.as_str() == Some(alias) => {}
                "alias" => mistakes.push(format!("alias: only {alias} is validated here")),
                other => {
                    let other = shown(other, 40);
                    mistakes.push(format!("{other}: known are alias, checks, watch_seconds"));
                }
            }
        }
        if mistakes.is_empty() {
            Ok(parameters)
        } else {
            Err(format!("UserParameters: {}", mistakes.join("; ")))
        }
    }
}

fn checks(value: &Value) -> Result<Vec<Check>, String> {
    let known = || CHECKS.map(Check::name).join(", ");
    let mistake = || format!("checks: a list of at least one of {}", known());
    let names = value
        .as_array()
        .filter(|names| !names.is_empty())
        .ok_or_else(mistake)?;
    let wanted: Option<Vec<Check>> = names
        .iter()
        .map(|name| {
            CHECKS
                .into_iter()
                .find(|check| name.as_str() == Some(check.name()))
        })
        .collect();
    let wanted = wanted.ok_or_else(mistake)?;
    Ok(CHECKS
        .into_iter()
        .filter(|check| wanted.contains(check))
        .collect())
}

/// What a job remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// When the first invocation began.
    pub began: Timestamp,
    /// When the watch began.
    pub watching_since: Timestamp,
    /// What was asked.
    pub parameters: Parameters,
    /// The version that was found behind the alias.
    pub version: Option<VersionNumber>,
    /// What was found so far.
    pub findings: Vec<Finding>,
    /// Requests that were meant to be refused: what they logged does not count.
    pub excused: Vec<String>,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a job that is not answered fails after 20 minutes"]
pub enum Next {
    /// It is over: report.
    Report,
    /// It took too long: report a failure.
    TooLate,
    /// Ask to be called again.
    CallAgain,
}

impl State {
    /// Whether the watch is over. The deadline comes first: whoever is late has not watched.
    pub fn next(&self, now: Timestamp) -> Next {
        let seconds = |seconds: u32| SignedDuration::from_secs(i64::from(seconds));
        let watch = self.parameters.watch_seconds;
        if now.duration_since(self.began) > seconds(watch + SLACK_SECONDS) {
            Next::TooLate
        } else if now.duration_since(self.watching_since) >= seconds(watch) {
            Next::Report
        } else {
            Next::CallAgain
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_asks_for_every_check_and_no_watch() {
        for text in [None, Some(""), Some(" "), Some("{}"), Some(r#"{"alias":"live"}"#)] {
            assert_eq!(
                Parameters::parse(text, "live"),
                Ok(Parameters::default()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn checks_come_in_their_own_order_and_once() {
        let text = r#"{"checks":["logs","invocation","logs"],"watch_seconds":10}"#;
        let parameters = Parameters::parse(Some(text), "live").unwrap();
        assert_eq!(parameters.checks, [Check::Invocation, Check::Logs]);
        assert_eq!(parameters.watch_seconds, 10);
    }

    #[test]
    fn every_mistake_is_named() {
        let text = r#"{"checks":["canary"],"watch_seconds":3001,"alias":"other","minutes":1}"#;
        let error = Parameters::parse(Some(text), "live").unwrap_err();
        for part in [
            "checks: a list",
            "watch_seconds: a whole",
            "alias: only live",
            "minutes: known are",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        for text in [
            "7",
            "[",
            r#"{"checks":[]}"#,
            r#"{"checks":"load"}"#,
            r#"{"watch_seconds":-1}"#,
        ] {
            assert!(Parameters::parse(Some(text), "live").is_err(), "{text}");
        }
    }

    #[test]
    fn a_watch_ends_and_a_late_one_fails() {
        let began = Timestamp::UNIX_EPOCH;
        let after = |minutes: i64| began + SignedDuration::from_secs(60 * minutes);
        let state = State {
            began,
            watching_since: after(1),
            parameters: Parameters {
                watch_seconds: 600,
                ..Parameters::default()
            },
            version: None,
            findings: Vec::new(),
            excused: Vec::new(),
        };
        assert_eq!(state.next(after(10)), Next::CallAgain);
        assert_eq!(state.next(after(11)), Next::Report);
        assert_eq!(state.next(after(18)), Next::Report);
        assert_eq!(state.next(after(19)), Next::TooLate);
    }
}
