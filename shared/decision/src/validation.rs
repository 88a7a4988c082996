//! What the measurements of a deployed version mean: passed, failed, or inconclusive, with the numbers.
//!
//! *Inconclusive* is not *failed*: it says that there was too little to judge by. It is never *passed*
//! either: no data is no proof.

mod checks;
mod comparison;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use checks::{Answer, Probe, error_handling, invocation, load, logs, performance};
pub use comparison::{VersionMetrics, comparison};

/// The five checks, and the comparison of two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The function answers a sound request.
    Invocation,
    /// The function refuses bad requests, and does not break over them.
    ErrorHandling,
    /// Durations stay within the bound.
    Performance,
    /// Concurrent requests are answered, none is throttled.
    Load,
    /// No error stands in the logs since the deployment began.
    Logs,
    /// The new version does not do worse than the old one on the same metrics.
    Comparison,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invocation => "basic invocation",
            Self::ErrorHandling => "error handling",
            Self::Performance => "performance",
            Self::Load => "concurrent load",
            Self::Logs => "logs",
            Self::Comparison => "comparison with the previous version",
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which check.
    pub check: Check,
    /// What it came to.
    pub verdict: Verdict,
    /// The numbers, in a sentence.
    pub evidence: String,
}

impl Finding {
    pub(crate) fn new(check: Check, verdict: Verdict, evidence: impl Into<String>) -> Self {
        Self {
            check,
            verdict,
            evidence: evidence.into(),
        }
    }
}

/// The bounds that the checks hold a version to.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// The 95th percentile of the durations must not exceed this (milliseconds).
    pub max_p95_ms: f64,
    /// Of a hundred requests, at most this many may fail.
    pub max_error_percent: f64,
    /// Fewer requests than this to a version are too few to judge it by.
    pub min_samples: u64,
    /// The new version's median duration may be this many times the old one's.
    pub max_slowdown: f64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            max_p95_ms: 3000.0,
            max_error_percent: 1.0,
            min_samples: 10,
            max_slowdown: 2.0,
        }
    }
}

/// All findings and what they come to together.
#[must_use = "an unread report validates nothing"]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The worst of the findings; inconclusive where there is none.
    pub verdict: Verdict,
    /// Each check's result.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Sums findings up.
    pub fn of(findings: Vec<Finding>) -> Self {
        let verdict = findings
            .iter()
            .map(|finding| finding.verdict)
            .max()
            .unwrap_or(Verdict::Inconclusive);
        Self { verdict, findings }
    }

    /// Whether traffic may go on: only a pass lets it.
    #[must_use]
    pub fn lets_traffic_on(&self) -> bool {
        self.verdict == Verdict::Passed
    }

    /// The report for people, one line a check, at most `max` characters.
    #[must_use]
    pub fn summary(&self, max: usize) -> String {
        let mut lines: Vec<&Finding> = self.findings.iter().collect();
        lines.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
        let text: Vec<String> = lines
            .iter()
            .map(|f| format!("{} {}: {}", f.check, f.verdict, f.evidence))
            .collect();
        crate::text::cut(&format!("{}. {}", self.verdict, text.join("; ")), max).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(verdict: Verdict) -> Finding {
        Finding::new(Check::Load, verdict, "x")
    }

    #[test]
    fn the_worst_finding_counts_and_nothing_at_all_is_inconclusive() {
        assert_eq!(Report::of(vec![]).verdict, Verdict::Inconclusive);
        assert!(!Report::of(vec![]).lets_traffic_on());
        let mixed = Report::of(vec![finding(Verdict::Passed), finding(Verdict::Inconclusive)]);
        assert_eq!(mixed.verdict, Verdict::Inconclusive);
        let bad = Report::of(vec![finding(Verdict::Failed), finding(Verdict::Inconclusive)]);
        assert_eq!(bad.verdict, Verdict::Failed);
        assert!(Report::of(vec![finding(Verdict::Passed)]).lets_traffic_on());
    }

    #[test]
    fn a_summary_names_the_worst_first() {
        let report = Report::of(vec![
            Finding::new(Check::Invocation, Verdict::Passed, "1 of 1"),
            Finding::new(Check::Performance, Verdict::Failed, "p95 5000 ms > 3000 ms"),
        ]);
        assert_eq!(
            report.summary(200),
            "failed. performance failed: p95 5000 ms > 3000 ms; basic invocation passed: 1 of 1"
        );
        assert_eq!(report.summary(6), "failed");
    }
}
