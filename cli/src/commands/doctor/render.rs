//! The findings as text: what is wrong first, each with its fix.

use std::fmt::Write as _;

use anstyle::Style;

use super::finding::{Finding, Verdict};
use crate::output::{BAD, DIM, GOOD, HEADING, WARN, line};

/// All of it; what is sound only where it is asked for.
pub(super) fn text(environment: &str, findings: &[Finding], verbose: bool) -> String {
    let mut out = String::new();
    let mut shown: Vec<&Finding> = findings
        .iter()
        .filter(|finding| verbose || finding.verdict != Verdict::Sound)
        .collect();
    // Stable: within a verdict, the order of the checks stays.
    shown.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
    for finding in &shown {
        let (style, mark) = styled(finding.verdict);
        // Writing into a string cannot fail.
        let _ = writeln!(
            out,
            "{style}{mark} {}{style:#}  {}: {}",
            finding.check,
            line(&finding.subject, 300),
            line(&finding.text, 1000)
        );
        if let Some(fix) = &finding.fix {
            let _ = writeln!(out, "    {DIM}fix:{DIM:#} {}", line(fix, 1000));
        }
    }
    let count = |verdict: Verdict| findings.iter().filter(|it| it.verdict == verdict).count();
    let _ = writeln!(
        out,
        "{}{HEADING}{environment}:{HEADING:#} {} sound, {} doubtful, {} unknown, {} wrong",
        if shown.is_empty() { "" } else { "\n" },
        count(Verdict::Sound),
        count(Verdict::Doubtful),
        count(Verdict::Unknown),
        count(Verdict::Wrong)
    );
    out
}

fn styled(verdict: Verdict) -> (Style, &'static str) {
    match verdict {
        Verdict::Sound => (GOOD, "✓"),
        Verdict::Doubtful => (WARN, "!"),
        Verdict::Unknown => (WARN, "?"),
        Verdict::Wrong => (BAD, "✗"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Check;
    use super::*;

    #[test]
    fn what_is_wrong_comes_first_with_its_fix() {
        let findings = [
            Finding::sound(Check::Ledger, "t", "it can be reached"),
            Finding::doubtful(Check::Clock, "this machine", "it is off", "sync it"),
            Finding::wrong(Check::BucketEvents, "b\u{1b}", "it is silent", "aws s3api …"),
        ];
        let plain = |verbose| anstream::adapter::strip_str(&text("staging", &findings, verbose)).to_string();
        assert_eq!(
            plain(false),
            "✗ bucket-events  b\\u{1b}: it is silent\n    fix: aws s3api …\n! clock  this machine: it is off\n    \
             fix: sync it\n\nstaging: 1 sound, 1 doubtful, 0 unknown, 1 wrong\n"
        );
        assert!(plain(true).contains("✓ ledger  t: it can be reached"));
    }
}
