//! A rollback is the way back to a version that served before. It is validated for the record, and held up only
//! where it does not answer at all: slow, or known as bad, it is still what was asked for, and where it fails the
//! version that was to go stays.

use super::super::policy::Inconclusive;
use super::super::{Check, Finding, Report, Verdict};

impl Report {
    /// Sums the findings on a rollback up. Only the basic invocation counts; the others keep their verdicts, and
    /// the first finding says that they hold nothing up.
    pub fn of_rollback(mut findings: Vec<Finding>, inconclusive: Inconclusive) -> Self {
        let counts = |finding: &&Finding| finding.check == Check::Invocation;
        let counting = findings.iter().filter(counts).cloned().collect();
        let decided = Self::of(counting, inconclusive);
        let overlooked: Vec<String> = findings
            .iter()
            .filter(|finding| !counts(finding) && finding.verdict != Verdict::Passed)
            .map(|finding| format!("{} ({})", finding.check, finding.verdict))
            .collect();
        let mut evidence = "this is a rollback, and held up by nothing but its basic invocation".to_owned();
        if !overlooked.is_empty() {
            evidence = format!("{evidence}: not by {}", overlooked.join(", "));
        }
        findings.insert(0, Finding::new(Check::Validation, Verdict::Passed, evidence));
        Self { findings, ..decided }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHERS: [Check; 9] = [
        Check::Validation,
        Check::Policy,
        Check::Preflight,
        Check::KnownBad,
        Check::ErrorHandling,
        Check::Performance,
        Check::Load,
        Check::Logs,
        Check::Canary,
    ];

    fn report(invocation: Option<Verdict>, others: Verdict, inconclusive: Inconclusive) -> Report {
        let others = OTHERS.map(|check| Finding::new(check, others, "x"));
        let invocation = invocation.map(|verdict| Finding::new(Check::Invocation, verdict, "x"));
        Report::of_rollback(others.into_iter().chain(invocation).collect(), inconclusive)
    }

    #[test]
    fn only_the_basic_invocation_holds_a_rollback_up() {
        use Verdict::{Failed, Inconclusive as Unclear, Passed};
        for others in [Passed, Unclear, Failed] {
            for (invocation, verdict) in [
                (Some(Passed), Passed),
                (Some(Unclear), Unclear),
                (Some(Failed), Failed),
                (None, Unclear),
            ] {
                let report = report(invocation, others, Inconclusive::Fail);
                assert_eq!(
                    (report.verdict, report.lets_traffic_on()),
                    (verdict, verdict == Passed),
                    "{invocation:?} {others:?}"
                );
            }
        }
        assert!(report(Some(Unclear), Failed, Inconclusive::Pass).lets_traffic_on());
        assert!(!report(Some(Failed), Passed, Inconclusive::Pass).lets_traffic_on());
    }

    #[test]
    fn the_report_says_what_it_was_not_held_up_by_and_keeps_it() {
        let report = report(Some(Verdict::Passed), Verdict::Failed, Inconclusive::Fail);
        let first = &report.findings[0];
        assert!(
            first.evidence.contains("this is a rollback") && first.evidence.contains("performance (failed)"),
            "{first:?}"
        );
        assert!(!first.evidence.contains("basic invocation ("), "{first:?}");
        let failed = report.findings.iter().filter(|it| it.verdict == Verdict::Failed);
        assert_eq!(failed.count(), OTHERS.len());
    }
}
