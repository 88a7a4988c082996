//! The five checks, each over what was measured.

use super::{Bounds, Check, Finding, Verdict};
use crate::text::shown;

/// What a version answered to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It answered, and did what was asked.
    Served,
    /// It answered that the request is wrong.
    Refused,
    /// It broke: an unhandled error, a crash, a time-out.
    Broke {
        /// The error's type and message.
        error: String,
    },
    /// Lambda refused the request for want of concurrency.
    Throttled,
    /// The request could not be made.
    Unreachable {
        /// Why.
        error: String,
    },
}

/// One request and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// What came back.
    pub answer: Answer,
    /// How long it took, as the caller saw it (milliseconds).
    pub millis: f64,
}

/// *Basic invocation*: the seed's own request is served.
#[must_use]
pub fn invocation(probe: Option<&Probe>) -> Finding {
    let finding = |verdict, evidence: String| Finding::new(Check::Invocation, verdict, evidence);
    match probe.map(|probe| &probe.answer) {
        None => finding(Verdict::Inconclusive, "no request was made".to_owned()),
        Some(Answer::Served) => finding(Verdict::Passed, "the request was served".to_owned()),
        Some(Answer::Refused) => finding(Verdict::Failed, "a sound request was refused".to_owned()),
        Some(Answer::Broke { error }) => finding(Verdict::Failed, format!("it broke: {}", shown(error, 200))),
        Some(Answer::Throttled) => finding(Verdict::Inconclusive, "the request was throttled".to_owned()),
        Some(Answer::Unreachable { error }) => finding(
            Verdict::Inconclusive,
            format!("it could not be invoked: {}", shown(error, 200)),
        ),
    }
}

/// *Error handling*: each bad request is refused, none is served and none breaks the function.
#[must_use]
pub fn error_handling(probes: &[Probe]) -> Finding {
    let finding = |verdict, evidence: String| Finding::new(Check::ErrorHandling, verdict, evidence);
    let served = probes
        .iter()
        .filter(|probe| probe.answer == Answer::Served)
        .count();
    let refused = probes
        .iter()
        .filter(|probe| probe.answer == Answer::Refused)
        .count();
    let broke = probes.iter().find_map(|probe| match &probe.answer {
        Answer::Broke { error } => Some(error),
        _ => None,
    });
    if let Some(error) = broke {
        return finding(
            Verdict::Failed,
            format!("a bad request broke it: {}", shown(error, 200)),
        );
    }
    if served > 0 {
        return finding(
            Verdict::Failed,
            format!("{served} of {} bad requests were served", probes.len()),
        );
    }
    if refused == 0 || refused < probes.len() {
        return finding(
            Verdict::Inconclusive,
            format!("{refused} of {} bad requests were answered", probes.len()),
        );
    }
    finding(
        Verdict::Passed,
        format!("{refused} of {refused} bad requests were refused"),
    )
}

/// *Performance*: percentiles of the served requests against the bound.
#[must_use]
pub fn performance(probes: &[Probe], bounds: &Bounds) -> Finding {
    let finding = |verdict, evidence: String| Finding::new(Check::Performance, verdict, evidence);
    let mut millis: Vec<f64> = probes
        .iter()
        .filter(|p| p.answer == Answer::Served)
        .map(|p| p.millis)
        .collect();
    if as_u64(millis.len()) < bounds.min_samples {
        return finding(
            Verdict::Inconclusive,
            format!(
                "{} requests were served, at least {} are needed",
                millis.len(),
                bounds.min_samples
            ),
        );
    }
    millis.sort_by(f64::total_cmp);
    let [p50, p95, p99] = [50, 95, 99].map(|percent| percentile(&millis, percent));
    let evidence = format!(
        "p50 {p50:.0} ms, p95 {p95:.0} ms, p99 {p99:.0} ms over {} requests; bound p95 {:.0} ms",
        millis.len(),
        bounds.max_p95_ms
    );
    finding(
        if p95 <= bounds.max_p95_ms {
            Verdict::Passed
        } else {
            Verdict::Failed
        },
        evidence,
    )
}

/// *Concurrent load*: failures and throttles of `concurrency` requests at a time.
#[must_use]
pub fn load(probes: &[Probe], concurrency: u32, bounds: &Bounds) -> Finding {
    let finding = |verdict, evidence: String| Finding::new(Check::Load, verdict, evidence);
    let total = as_u64(probes.len());
    if total < bounds.min_samples {
        return finding(
            Verdict::Inconclusive,
            format!(
                "{total} requests were made, at least {} are needed",
                bounds.min_samples
            ),
        );
    }
    let count = |wanted: fn(&Answer) -> bool| as_u64(probes.iter().filter(|p| wanted(&p.answer)).count());
    let throttled = count(|answer| matches!(answer, Answer::Throttled));
    let failed = count(|answer| matches!(answer, Answer::Broke { .. } | Answer::Refused));
    let unreachable = count(|answer| matches!(answer, Answer::Unreachable { .. }));
    let percent = percent(failed, total);
    let evidence = format!(
        "{total} requests, {concurrency} at a time: {failed} failed ({percent:.1} %), {throttled} throttled, \
         {unreachable} unreachable"
    );
    let verdict = if percent > bounds.max_error_percent || throttled > 0 {
        Verdict::Failed
    } else if unreachable > 0 {
        Verdict::Inconclusive
    } else {
        Verdict::Passed
    };
    finding(verdict, evidence)
}

/// *Logs*: lines that must not appear; or why nothing can be said of them.
#[must_use]
pub fn logs(lines: Result<&[String], &str>) -> Finding {
    match lines {
        Err(why) => Finding::new(Check::Logs, Verdict::Inconclusive, shown(why, 300)),
        Ok([]) => Finding::new(
            Check::Logs,
            Verdict::Passed,
            "no error since the deployment began",
        ),
        Ok(lines @ [first, ..]) => {
            let count = lines.len();
            let evidence = format!(
                "{count} error lines since the deployment began, the first: {}",
                shown(first.trim(), 200)
            );
            Finding::new(Check::Logs, Verdict::Failed, evidence)
        }
    }
}

/// The nearest-rank percentile of sorted values.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

pub(super) fn percent(part: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
    let share = if whole == 0 {
        0.0
    } else {
        part as f64 * 100.0 / whole as f64
    };
    share
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn probe(answer: Answer, millis: f64) -> Probe {
        Probe { answer, millis }
    }

    fn served(count: u32, millis: f64) -> Vec<Probe> {
        (0..count).map(|_| probe(Answer::Served, millis)).collect()
    }

    #[test]
    fn a_refused_sound_request_and_a_served_bad_one_fail() {
        assert_eq!(
            invocation(Some(&probe(Answer::Refused, 1.0))).verdict,
            Verdict::Failed
        );
        assert_eq!(error_handling(&served(1, 1.0)).verdict, Verdict::Failed);
        assert_eq!(
            error_handling(&[probe(Answer::Refused, 1.0)]).verdict,
            Verdict::Passed
        );
        let broke = probe(
            Answer::Broke {
                error: "TypeError".to_owned(),
            },
            1.0,
        );
        assert_eq!(
            error_handling(&[probe(Answer::Refused, 1.0), broke]).verdict,
            Verdict::Failed
        );
    }

    #[test]
    fn no_data_is_never_a_pass() {
        let bounds = Bounds::default();
        for finding in [
            invocation(None),
            error_handling(&[]),
            performance(&[], &bounds),
            load(&[], 5, &bounds),
            logs(Err("they cannot be read")),
        ] {
            assert_eq!(finding.verdict, Verdict::Inconclusive, "{finding:?}");
        }
    }

    #[test]
    fn the_bound_itself_passes_and_one_above_fails() {
        let bounds = Bounds {
            max_p95_ms: 100.0,
            ..Bounds::default()
        };
        assert_eq!(performance(&served(20, 100.0), &bounds).verdict, Verdict::Passed);
        assert_eq!(performance(&served(20, 100.1), &bounds).verdict, Verdict::Failed);
        let mut one_outlier = served(19, 10.0);
        one_outlier.push(probe(Answer::Served, 900.0));
        assert_eq!(performance(&one_outlier, &bounds).verdict, Verdict::Passed);
    }

    #[test]
    fn a_single_throttle_under_load_fails() {
        let mut probes = served(50, 5.0);
        probes.push(probe(Answer::Throttled, 1.0));
        assert_eq!(load(&probes, 10, &Bounds::default()).verdict, Verdict::Failed);
    }

    #[test]
    fn an_error_line_fails_and_is_quoted_safely() {
        let finding = logs(Ok(&["ERROR \u{1b}[31mboom\n".to_owned()]));
        assert_eq!(finding.verdict, Verdict::Failed);
        assert!(finding.evidence.contains("\\u{1b}"), "{}", finding.evidence);
    }

    proptest! {
        #[test]
        fn a_percentile_is_one_of_the_values(mut values in prop::collection::vec(0.0f64..1e6, 1..200), percent in 1usize..=100) {
            values.sort_by(f64::total_cmp);
            prop_assert!(values.contains(&percentile(&values, percent)));
        }
    }
}
