//! What the measurements of a deployed version mean: passed, failed, or inconclusive, with the numbers.
//!
//! *Inconclusive* is not *failed*: it says that there was too little to judge by. It is never *passed*
//! either: no data is no proof. What becomes of it is the policy's to say ([`policy::Inconclusive`]).

pub mod canary;
mod checks;
pub mod job;
pub mod known_bad;
pub mod lines;
mod measurement;
pub mod policy;
pub mod preflight;
pub mod statistics;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use checks::{Answer, LogFacts, Probe, Timed, error_handling, invocation, load, logs, performance};
pub use measurement::{Measurement, metrics};
use policy::{Inconclusive, Policy};

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The validation itself: it could be made, in time.
    Validation,
    /// The document that says how to validate is sound.
    Policy,
    /// The deployment group's alarms can see the new version.
    Preflight,
    /// The new version is not one that was rolled back before.
    KnownBad,
    /// The function answers sound requests.
    Invocation,
    /// The function refuses bad requests, the right way.
    ErrorHandling,
    /// Durations stay within their bounds, and near the live version's.
    Performance,
    /// Concurrent requests are answered, none is throttled.
    Load,
    /// The logs since the deployment began hold what they must, and nothing that they must not.
    Logs,
    /// The new version does no worse than the old one under the same traffic.
    Canary,
    /// Nothing went wrong while a job of the pipeline watched.
    Watch,
}

impl Check {
    /// Its name, as in policies, parameters of jobs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Policy => "policy",
            Self::Preflight => "preflight",
            Self::KnownBad => "known-bad",
            Self::Invocation => "invocation",
            Self::ErrorHandling => "error-handling",
            Self::Performance => "performance",
            Self::Load => "load",
            Self::Logs => "logs",
            Self::Canary => "canary",
            Self::Watch => "watch",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Validation => "the validation itself",
            Self::Policy => "validation policy",
            Self::Preflight => "alarms",
            Self::KnownBad => "known bad versions",
            Self::Invocation => "basic invocation",
            Self::ErrorHandling => "error handling",
            Self::Performance => "performance",
            Self::Load => "concurrent load",
            Self::Logs => "logs",
            Self::Canary => "canary against the old version",
            Self::Watch => "watch",
        })
    }
}

/// What one check, or all of them together, came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Good, by the numbers.
    Passed,
    /// Too little to judge by.
    Inconclusive,
    /// Bad, by the numbers.
    Failed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Inconclusive => "inconclusive",
            Self::Failed => "failed",
        })
    }
}

/// One check's result, with the numbers behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Which check.
    pub check: Check,
    /// What it came to.
    pub verdict: Verdict,
    /// The numbers, in a sentence.
    pub evidence: String,
    /// The numbers, for machines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measurements: Vec<Measurement>,
}

impl Finding {
    /// A finding without numbers.
    #[must_use]
    pub fn new(check: Check, verdict: Verdict, evidence: impl Into<String>) -> Self {
        Self {
            check,
            verdict,
            evidence: evidence.into(),
            measurements: Vec::new(),
        }
    }

    fn with(mut self, measurements: impl IntoIterator<Item = Measurement>) -> Self {
        self.measurements.extend(measurements);
        self
    }
}

/// All findings and what they come to together.
#[must_use = "an unread report validates nothing"]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The worst of the findings; inconclusive where there is none.
    pub verdict: Verdict,
    /// What an inconclusive verdict does, as the policy says.
    pub passes: bool,
    /// Each check's result.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Sums findings up.
    pub fn of(findings: Vec<Finding>, inconclusive: Inconclusive) -> Self {
        let verdict = findings
            .iter()
            .map(|finding| finding.verdict)
            .max()
            .unwrap_or(Verdict::Inconclusive);
        let passes = match verdict {
            Verdict::Passed => true,
            Verdict::Inconclusive => inconclusive == Inconclusive::Pass,
            Verdict::Failed => false,
        };
        Self {
            verdict,
            passes,
            findings,
        }
    }

    /// The report where the policy is malformed: whoever wrote it meant something else than the default.
    pub fn without_policy(place: &str, mistakes: &policy::Mistakes) -> Self {
        let evidence = format!("the validation policy {place} has {mistakes}");
        let finding = Finding::new(Check::Policy, Verdict::Failed, evidence);
        Self::of(vec![finding], Policy::default().inconclusive)
    }

    /// The report where no verdict could be reached, with what had been found by then: whoever waits is told
    /// that there is no pass.
    pub fn broken_off(mut findings: Vec<Finding>, why: impl Into<String>) -> Self {
        findings.push(Finding::new(Check::Validation, Verdict::Failed, why));
        Self::of(findings, Inconclusive::Fail)
    }

    /// Whether traffic may go on.
    #[must_use]
    pub fn lets_traffic_on(&self) -> bool {
        self.passes
    }

    /// The report for people, one clause a check, the worst first, at most `max` characters.
    #[must_use]
    pub fn summary(&self, max: usize) -> String {
        let mut lines: Vec<&Finding> = self.findings.iter().collect();
        lines.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
        let text: Vec<String> = lines
            .iter()
            .map(|f| format!("{} {}: {}", f.check, f.verdict, f.evidence))
            .collect();
        let let_on = if self.verdict == Verdict::Inconclusive && self.passes {
            " (let on by the policy)"
        } else {
            ""
        };
        let all = format!("{}{let_on}. {}", self.verdict, text.join("; "));
        crate::text::cut(&all, max).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(verdict: Verdict) -> Finding {
        Finding::new(Check::Load, verdict, "x")
    }

    fn report(verdicts: &[Verdict], inconclusive: Inconclusive) -> Report {
        Report::of(
            verdicts.iter().map(|verdict| finding(*verdict)).collect(),
            inconclusive,
        )
    }

    #[test]
    fn the_worst_finding_counts_and_nothing_at_all_is_inconclusive() {
        use Verdict::{Failed, Inconclusive as Unclear, Passed};
        for (verdicts, verdict) in [
            (vec![], Unclear),
            (vec![Passed, Unclear], Unclear),
            (vec![Failed, Unclear], Failed),
            (vec![Passed], Passed),
        ] {
            let report = report(&verdicts, Inconclusive::Fail);
            assert_eq!(
                (report.verdict, report.lets_traffic_on()),
                (verdict, verdict == Passed)
            );
        }
    }

    #[test]
    fn policy_lets_the_inconclusive_on_and_never_the_failed() {
        let unclear = report(&[Verdict::Inconclusive], Inconclusive::Pass);
        assert!(unclear.lets_traffic_on());
        assert!(
            unclear
                .summary(100)
                .starts_with("inconclusive (let on by the policy)")
        );
        assert!(!report(&[Verdict::Failed], Inconclusive::Pass).lets_traffic_on());
    }

    #[test]
    fn a_summary_names_the_worst_first() {
        let findings = vec![
            Finding::new(Check::Invocation, Verdict::Passed, "1 of 1"),
            Finding::new(Check::Performance, Verdict::Failed, "p95 5000 ms > 3000 ms"),
        ];
        let report = Report::of(findings, Inconclusive::Fail);
        assert_eq!(
            report.summary(200),
            "failed. performance failed: p95 5000 ms > 3000 ms; basic invocation passed: 1 of 1"
        );
        assert_eq!(report.summary(6), "failed");
    }
}
