//! The new version against the old one, under the same traffic.
//!
//! While a canary runs, both versions serve: what the world outside did to the one, it did to the other. So
//! the analysis compares, and needs no bound: errors, throttles, the 50th, 95th and 99th percentile of the
//! durations, and the application's own metrics. A version is worse in one of them where the difference is
//! unlikely to be chance (Fisher's exact test, [`statistics`], corrected by Holm for the number of tests that
//! were made), *and* at least as large as the policy says matters. With fewer invocations than the policy
//! asks for, of either version, nothing is said: *inconclusive*. A comparison that could not be significant with so few
//! values, whatever they were, is not made, and the evidence names it.

use super::policy::{Canary, CustomKind, CustomMetric, Worse};
use super::statistics::{
    self, count, greater_share, least_of_quantiles, least_of_shares, percent, quantiles,
};
use super::{Check, Finding, Measurement, Verdict};
use crate::text::shown;
use crate::timeline::metric::Unit;

/// What is known of one version's traffic in the window.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Version {
    /// Invocations through the alias.
    pub invocations: u64,
    /// Those that ended in an error.
    pub errors: u64,
    /// Requests that were refused for want of concurrency; they are no invocations.
    pub throttles: u64,
    /// Durations of invocations in warm environments (milliseconds); as many as were read.
    pub durations_ms: Vec<f64>,
    /// For each of the policy's metrics, in its order: the values of the minutes. None where there are none.
    pub custom: Vec<Vec<f64>>,
}

/// A version's durations, oldest first: when each was reported (milliseconds since 1970), and how long it took
/// (milliseconds).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Durations {
    /// Them.
    pub lines: Vec<(i64, f64)>,
    /// Whether there are more, which were not read.
    pub is_cut: bool,
}

/// The durations of the time that both samples cover, which begin together. Of a version with much traffic not all are
/// read: the first minute of the one is not to be compared with all minutes of the other.
#[must_use]
pub fn of_one_window(new: &Durations, old: &Durations) -> (Vec<f64>, Vec<f64>) {
    let end = |sample: &Durations| sample.lines.last().filter(|_| sample.is_cut).map(|(at, _)| *at);
    let end = [end(new), end(old)].into_iter().flatten().min();
    let within = |sample: &Durations| {
        let lines = sample.lines.iter();
        lines
            .filter(|(at, _)| end.is_none_or(|end| *at <= end))
            .map(|(_, millis)| *millis)
            .collect()
    };
    (within(new), within(old))
}

/// One comparison that was made.
struct Test {
    what: String,
    numbers: String,
    p: f64,
    /// The least `p` that samples of this size can come to, however different they are.
    least: f64,
    /// Whether the canary is inconclusive without it.
    is_required: bool,
    matters: bool,
}

/// Compares. `old` is `None` where the deployment names no version before.
#[must_use]
pub fn canary(new: &Version, old: Option<&Version>, rules: &Canary) -> Finding {
    let finding =
        |verdict, evidence: String| Finding::new(Check::Canary, verdict, evidence).with(measured(new, old));
    let Some(old) = old else {
        let evidence = "the deployment names no version before, so there is nothing to compare with";
        return finding(Verdict::Inconclusive, evidence.to_owned());
    };
    let least = rules.min_samples;
    if new.invocations < least || old.invocations < least {
        let evidence = format!(
            "too little traffic to compare: {} invocations of the new version and {} of the old one, at least \
             {least} of each are needed",
            new.invocations, old.invocations
        );
        return finding(Verdict::Inconclusive, evidence);
    }
    let mut tests = shares(new, old, rules);
    let mut lacking = Vec::new();
    let mut left_out = durations(new, old, rules, &mut tests, &mut lacking);
    for (at, metric) in rules.custom_metrics.iter().enumerate() {
        let values = |version: &Version| version.custom.get(at).cloned().unwrap_or_default();
        match custom(
            metric,
            (&values(new), new.invocations),
            (&values(old), old.invocations),
        ) {
            Ok(test) => tests.push(test),
            Err(why) => lacking.push(why),
        }
    }
    let tests = of_use(tests, rules.alpha, &mut left_out, &mut lacking);
    if tests.is_empty() && lacking.is_empty() {
        lacking.push("nothing could be compared".to_owned());
    }
    let p_values: Vec<f64> = tests.iter().map(|test| test.p).collect();
    let unlikely = statistics::holm(&p_values, rules.alpha);
    let (mut worse, mut rest) = (Vec::new(), Vec::new());
    for (test, unlikely) in tests.into_iter().zip(unlikely) {
        let text = format!("{} {} (p = {:.4})", test.what, test.numbers, test.p);
        if unlikely && test.matters {
            worse.push(text);
        } else {
            rest.push(text);
        }
    }
    let samples = format!("{} invocations against {}", new.invocations, old.invocations);
    let (verdict, first) = if !worse.is_empty() {
        (
            Verdict::Failed,
            format!("worse over {samples}: {}", worse.join(", ")),
        )
    } else if !lacking.is_empty() {
        (
            Verdict::Inconclusive,
            format!("{}; {samples}", lacking.join(", ")),
        )
    } else {
        (Verdict::Passed, format!("no worse over {samples}"))
    };
    let clause = |what: &str, of: &[String]| match of {
        [] => String::new(),
        of => format!("; {what}: {}", of.join(", ")),
    };
    let rest = clause("not worse", &rest) + &clause("not compared", &left_out);
    finding(verdict, first + &rest)
}

/// The tests that could reject: the others must not take from them in the correction for their number. Of those, what
/// the application's owner asked for is lacking, and what is compared wherever that is possible is left out.
fn of_use(tests: Vec<Test>, alpha: f64, left_out: &mut Vec<String>, lacking: &mut Vec<String>) -> Vec<Test> {
    let least: Vec<f64> = tests.iter().map(|test| test.least).collect();
    let mut of_use = Vec::new();
    for (test, is_able) in tests.into_iter().zip(statistics::able(&least, alpha)) {
        let (what, least) = (&test.what, test.least);
        if is_able {
            of_use.push(test);
        } else if test.is_required {
            lacking.push(format!(
                "{what} has too few values to tell: the least p that they can come to is {least:.4}"
            ));
        } else {
            left_out.push(format!(
                "{what} (too few values to tell: the least p that they can come to is {least:.4})"
            ));
        }
    }
    of_use
}

/// Errors and throttles, as shares of what was asked.
fn shares(new: &Version, old: &Version, rules: &Canary) -> Vec<Test> {
    let requests = |version: &Version| version.invocations.saturating_add(version.throttles);
    [
        (
            "errors",
            (new.errors, new.invocations),
            (old.errors, old.invocations),
        ),
        (
            "throttles",
            (new.throttles, requests(new)),
            (old.throttles, requests(old)),
        ),
    ]
    .into_iter()
    .map(|(what, new, old)| {
        let (now, before) = (percent(new.0.min(new.1), new.1), percent(old.0.min(old.1), old.1));
        Test {
            what: what.to_owned(),
            numbers: format!("{now:.2} % against {before:.2} %"),
            p: greater_share(new, old),
            least: least_of_shares(new.1, old.1),
            is_required: false,
            matters: now > before && now - before >= rules.min_error_increase_percent,
        }
    })
    .collect()
}

/// Adds the tests of the percentiles; answers which are left out, and why.
fn durations(
    new: &Version,
    old: &Version,
    rules: &Canary,
    tests: &mut Vec<Test>,
    lacking: &mut Vec<String>,
) -> Vec<String> {
    let mut left_out = Vec::new();
    let samples = count(new.durations_ms.len()).min(count(old.durations_ms.len()));
    if samples < rules.min_samples {
        lacking.push(format!(
            "too few durations to compare: {} of the new version and {} of the old one, at least {} of each are \
             needed",
            new.durations_ms.len(),
            old.durations_ms.len(),
            rules.min_samples
        ));
        return left_out;
    }
    // A percentile of fewer samples than it has parts is their maximum, and says nothing of the tail.
    for (at, least) in [(50, 1), (95, 20), (99, 100)] {
        if samples < least {
            left_out.push(format!("p{at} (fewer than {least} durations of a version)"));
            continue;
        }
        let Some(found) = quantiles(&new.durations_ms, &old.durations_ms, at) else {
            lacking.push(format!("no duration is a number at p{at}"));
            continue;
        };
        let larger = found.new - found.old;
        tests.push(Test {
            what: format!("p{at}"),
            numbers: format!("{:.0} ms against {:.0} ms", found.new, found.old),
            p: found.p,
            least: least_of_quantiles(new.durations_ms.len(), old.durations_ms.len(), at),
            is_required: false,
            matters: larger > 0.0
                && larger >= rules.min_slowdown_ms
                && larger >= found.old * rules.min_slowdown_percent / 100.0,
        });
    }
    left_out
}

/// One of the application's own metrics; the values and the invocations of either version.
fn custom(metric: &CustomMetric, new: (&[f64], u64), old: (&[f64], u64)) -> Result<Test, String> {
    let name = shown(&metric.name, 60);
    let finite = |values: &[f64]| {
        values
            .iter()
            .copied()
            .filter(|v| v.is_finite())
            .collect::<Vec<_>>()
    };
    let (new_values, old_values) = (finite(new.0), finite(old.0));
    if new_values.is_empty() || old_values.is_empty() {
        let which = if new_values.is_empty() { "new" } else { "old" };
        return Err(format!("{name} has no data of the {which} version"));
    }
    let turned = metric.worse == Worse::Lower;
    let (now, before, p, least) = match metric.kind {
        CustomKind::Count => {
            let hits = |values: &[f64], of: u64| whole(values.iter().sum()).min(of);
            let (a, b) = (hits(&new_values, new.1), hits(&old_values, old.1));
            let p = if turned {
                greater_share((new.1 - a, new.1), (old.1 - b, old.1))
            } else {
                greater_share((a, new.1), (b, old.1))
            };
            (
                percent(a, new.1),
                percent(b, old.1),
                p,
                least_of_shares(new.1, old.1),
            )
        }
        CustomKind::Value => {
            let sign = |values: &[f64]| -> Vec<f64> {
                values
                    .iter()
                    .map(|value| if turned { -value } else { *value })
                    .collect()
            };
            let found = quantiles(&sign(&new_values), &sign(&old_values), 50)
                .ok_or_else(|| format!("{name} has no data"))?;
            let back = if turned { -1.0 } else { 1.0 };
            let least = least_of_quantiles(new_values.len(), old_values.len(), 50);
            (found.new * back, found.old * back, found.p, least)
        }
    };
    let change = if turned { before - now } else { now - before };
    let unit = if metric.kind == CustomKind::Count {
        " % of invocations"
    } else {
        ""
    };
    Ok(Test {
        what: name,
        numbers: format!("{now:.2}{unit} against {before:.2}{unit}"),
        p,
        least,
        is_required: metric.kind == CustomKind::Value,
        matters: change > 0.0 && change >= before.abs() * metric.min_change_percent / 100.0,
    })
}

fn whole(sum: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates; a sum of counts is a whole number"
    )]
    let whole = sum.max(0.0).round() as u64;
    whole
}

fn measured(new: &Version, old: Option<&Version>) -> Vec<Measurement> {
    let mut all = Vec::new();
    let versions = [("New", Some(new)), ("Old", old)];
    for (which, version) in versions
        .iter()
        .filter_map(|(which, version)| Some((which, (*version)?)))
    {
        all.push(Measurement::count(
            &format!("Canary{which}Invocations"),
            version.invocations,
        ));
        if version.invocations > 0 {
            let share = percent(version.errors, version.invocations);
            all.push(Measurement::percent(&format!("Canary{which}Errors"), share));
        }
        all.push(Measurement::count(
            &format!("Canary{which}Throttles"),
            version.throttles,
        ));
        let sorted = statistics::sorted(&version.durations_ms);
        for at in [50, 95, 99] {
            if let Some(value) = statistics::percentile(&sorted, at) {
                all.push(Measurement::millis(&format!("Canary{which}P{at}"), value));
            }
        }
        for (at, values) in version.custom.iter().enumerate() {
            let name = format!("Canary{which}Custom{}", at + 1);
            all.push(Measurement::of(&name, values.iter().sum(), Unit::None));
        }
    }
    all
}

#[cfg(test)]
mod tests;
