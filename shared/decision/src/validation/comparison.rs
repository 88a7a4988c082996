//! The new version against the old one, on the metrics of the same window.

use super::checks::percent;
use super::{Bounds, Check, Finding, Verdict};

/// What CloudWatch holds of one version in the window.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct VersionMetrics {
    /// Invocations.
    pub invocations: u64,
    /// Invocations that ended in an error.
    pub errors: u64,
    /// Median of the durations (milliseconds), if there were any.
    pub p50_ms: Option<f64>,
    /// 95th percentile of the durations (milliseconds), if there were any.
    pub p95_ms: Option<f64>,
}

impl VersionMetrics {
    fn error_percent(&self) -> f64 {
        percent(self.errors, self.invocations)
    }
}

/// A median may be this much larger (milliseconds) without that meaning anything.
const NOISE_MS: f64 = 20.0;

/// Compares. `old` is `None` for a first deployment: then the new version is held to the bounds alone.
#[must_use]
pub fn comparison(new: VersionMetrics, old: Option<VersionMetrics>, bounds: &Bounds) -> Finding {
    let finding = |verdict, evidence: String| Finding::new(Check::Comparison, verdict, evidence);
    if new.invocations < bounds.min_samples {
        return finding(
            Verdict::Inconclusive,
            format!(
                "the new version has {} invocations, at least {} are needed",
                new.invocations, bounds.min_samples
            ),
        );
    }
    let old = old.filter(|old| old.invocations >= bounds.min_samples);
    let new_errors = new.error_percent();
    // The old version's own errors are not the new one's fault.
    let allowed = old
        .map_or(0.0, |old| old.error_percent())
        .max(bounds.max_error_percent);
    let (p50, p95) = (new.p50_ms.unwrap_or(f64::NAN), new.p95_ms.unwrap_or(f64::NAN));
    // The medians are compared, and the 95th percentile is held to the bound alone: a new version's has a
    // share of cold starts that the old one's no longer has.
    let slowest = old.and_then(|old| old.p50_ms).map_or(bounds.max_p95_ms, |old| {
        // A few milliseconds more are noise however small the old value was.
        (old * bounds.max_slowdown).max(old + NOISE_MS)
    });
    let evidence = format!(
        "new: {} invocations, {new_errors:.1} % errors, p50 {p50:.0} ms, p95 {p95:.0} ms; {}; allowed: \
         {allowed:.1} % errors, p50 {slowest:.0} ms, p95 {:.0} ms",
        new.invocations,
        old.map_or_else(
            || "old: too few invocations to compare with".to_owned(),
            |old| format!(
                "old: {} invocations, {:.1} % errors, p50 {:.0} ms",
                old.invocations,
                old.error_percent(),
                old.p50_ms.unwrap_or(f64::NAN)
            )
        ),
        bounds.max_p95_ms
    );
    let verdict = if new_errors > allowed || p95 > bounds.max_p95_ms || p50 > slowest {
        Verdict::Failed
    } else if new.p95_ms.is_none() || new.p50_ms.is_none() {
        Verdict::Inconclusive
    } else {
        Verdict::Passed
    };
    finding(verdict, evidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(invocations: u64, errors: u64, millis: f64) -> VersionMetrics {
        VersionMetrics {
            invocations,
            errors,
            p50_ms: Some(millis),
            p95_ms: Some(millis),
        }
    }

    fn verdict(new: VersionMetrics, old: Option<VersionMetrics>) -> Verdict {
        comparison(new, old, &Bounds::default()).verdict
    }

    #[test]
    fn too_few_invocations_are_inconclusive() {
        assert_eq!(verdict(metrics(9, 9, 1.0), None), Verdict::Inconclusive);
        assert_eq!(
            verdict(VersionMetrics::default(), Some(metrics(1000, 0, 10.0))),
            Verdict::Inconclusive
        );
    }

    #[test]
    fn more_errors_than_before_fail_but_not_the_same_share() {
        assert_eq!(
            verdict(metrics(100, 5, 10.0), Some(metrics(900, 0, 10.0))),
            Verdict::Failed
        );
        assert_eq!(
            verdict(metrics(100, 5, 10.0), Some(metrics(900, 45, 10.0))),
            Verdict::Passed
        );
    }

    #[test]
    fn twice_as_slow_fails_and_noise_does_not() {
        assert_eq!(
            verdict(metrics(100, 0, 500.0), Some(metrics(900, 0, 200.0))),
            Verdict::Failed
        );
        assert_eq!(
            verdict(metrics(100, 0, 40.0), Some(metrics(900, 0, 25.0))),
            Verdict::Passed
        );
    }

    #[test]
    fn cold_starts_of_a_new_version_do_not_fail_it() {
        let new = VersionMetrics {
            invocations: 134,
            errors: 0,
            p50_ms: Some(11.0),
            p95_ms: Some(97.0),
        };
        assert_eq!(verdict(new, Some(metrics(1884, 0, 11.0))), Verdict::Passed);
    }

    #[test]
    fn a_first_deployment_is_held_to_the_bounds() {
        assert_eq!(verdict(metrics(100, 0, 2999.0), None), Verdict::Passed);
        assert_eq!(verdict(metrics(100, 0, 3001.0), None), Verdict::Failed);
    }
}
