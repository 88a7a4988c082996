//! Numbers that checks found, as they are kept and published.

use serde::{Deserialize, Serialize};

use super::{Report, Verdict};
use crate::timeline::metric::{Metric, Unit, sendable};

/// One number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Its name, such as `PerformanceP95`; a metric's name too.
    pub name: String,
    /// Its value; nothing where there was none.
    pub value: Option<f64>,
    /// Its unit.
    pub unit: Unit,
}

impl Measurement {
    pub(super) fn millis(name: &str, value: f64) -> Self {
        Self::of(name, value, Unit::Milliseconds)
    }

    pub(super) fn percent(name: &str, value: f64) -> Self {
        Self::of(name, value, Unit::Percent)
    }

    pub(super) fn count(name: &str, count: u64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
        let value = count as f64;
        Self::of(name, value, Unit::Count)
    }

    pub(super) fn of(name: &str, value: f64, unit: Unit) -> Self {
        Self {
            name: name.to_owned(),
            value: Some(value).filter(|value| value.is_finite()),
            unit,
        }
    }
}

/// What is published of a report, and how many measurements had no value that CloudWatch takes: one datum for
/// each, by function and hook, and one that counts the verdict.
#[must_use]
pub fn metrics(report: &Report, function: &str, hook: &str) -> (Vec<Metric>, usize) {
    let dimensions = || vec![("FunctionName", function.to_owned()), ("Hook", hook.to_owned())];
    let verdict = match report.verdict {
        Verdict::Passed => "ValidationPassed",
        Verdict::Inconclusive => "ValidationInconclusive",
        Verdict::Failed => "ValidationFailed",
    };
    let datum = |name: &str, value, unit| Metric {
        name: name.to_owned().into(),
        value,
        unit,
        dimensions: dimensions(),
    };
    let measured = report.findings.iter().flat_map(|finding| &finding.measurements);
    let mut all: Vec<Metric> = measured
        .map(|one| datum(&one.name, one.value.unwrap_or(f64::NAN), one.unit))
        .collect();
    all.push(datum(verdict, 1.0, Unit::Count));
    sendable(all)
}

#[cfg(test)]
mod tests {
    use super::super::policy::Inconclusive;
    use super::super::{Check, Finding};
    use super::*;

    #[test]
    fn what_is_no_number_is_kept_as_nothing_and_not_published() {
        let finding = Finding::new(Check::Canary, Verdict::Passed, "x").with([
            Measurement::millis("P50", 12.5),
            Measurement::millis("P99", f64::NAN),
            Measurement::count("", 3),
        ]);
        let report = Report::of(vec![finding], Inconclusive::Fail);
        let (sent, dropped) = metrics(&report, "app", "AfterAllowTraffic");
        let names: Vec<&str> = sent.iter().map(|metric| metric.name.as_ref()).collect();
        assert_eq!((names, dropped), (vec!["P50", "ValidationPassed"], 2));
        let kept = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&kept).unwrap(), report);
    }
}
