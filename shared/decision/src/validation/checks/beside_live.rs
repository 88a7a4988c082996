//! The new version's percentiles beside the live version's, where there are enough requests to tell them apart.

use super::super::policy::{MAX_REQUESTS, Performance};
use super::super::statistics::{able, holm, least_of_quantiles, quantiles};

const PERCENTILES: [u8; 3] = [50, 95, 99];

/// What a version was asked, and how long what it served took (milliseconds).
pub(super) struct Sample {
    pub(super) asked: usize,
    pub(super) times: Vec<f64>,
}

/// What the comparison came to.
pub(super) struct Compared {
    /// The numbers, in clauses.
    pub(super) evidence: Vec<String>,
    /// Whether the new version is slower, and by more than is allowed.
    pub(super) regressed: bool,
    /// Whether nothing could be told apart although both served all that they were asked: the policy asks for too
    /// little. A live version that serves next to nothing is another matter, and may be what the new one mends.
    pub(super) asks_too_little: bool,
}

/// Compares them.
pub(super) fn compare(new: &Sample, live: &Sample, rules: &Performance, alpha: f64) -> Compared {
    let asks_too_little = !can_tell(new.asked, live.asked, alpha).contains(&true);
    let can_tell = can_tell(new.times.len(), live.times.len(), alpha);
    let (of_use, left_out): (Vec<_>, Vec<_>) = PERCENTILES
        .into_iter()
        .zip(can_tell)
        .partition(|(_, can_tell)| *can_tell);
    let compared: Vec<_> = of_use
        .into_iter()
        .filter_map(|(at, _)| Some((at, quantiles(&new.times, &live.times, at)?)))
        .collect();
    let p_values: Vec<f64> = compared.iter().map(|(_, found)| found.p).collect();
    let (mut evidence, mut regressed) = (Vec::new(), false);
    for ((at, found), unlikely) in compared.iter().zip(holm(&p_values, alpha)) {
        let allowed = (found.old * (1.0 + rules.max_regression_percent / 100.0))
            .max(found.old + rules.max_regression_ms);
        evidence.push(format!(
            "p{at} {:.0} ms against the live version's {:.0} ms (p = {:.4})",
            found.new, found.old, found.p
        ));
        regressed |= unlikely && found.new > allowed;
    }
    let left_out: Vec<u8> = left_out.into_iter().map(|(at, _)| at).collect();
    if live.times.is_empty() {
        evidence.push("the live version served no request to compare with".to_owned());
    } else if !left_out.is_empty() {
        evidence.push(not_compared(&left_out, new, live, alpha));
    }
    Compared {
        evidence,
        regressed,
        asks_too_little,
    }
}

/// Of each percentile, whether samples of these sizes could show a difference at all.
fn can_tell(new: usize, live: usize, alpha: f64) -> Vec<bool> {
    able(&PERCENTILES.map(|at| least_of_quantiles(new, live, at)), alpha)
}

/// Which percentiles are not compared, why, and what would do.
fn not_compared(left_out: &[u8], new: &Sample, live: &Sample, alpha: f64) -> String {
    let which = listed(left_out.iter().map(|at| format!("p{at}")).collect());
    if live.times.len() * 10 < live.asked * 9 {
        let (served, asked) = (live.times.len(), live.asked);
        return format!("{which} not compared: the live version served {served} of {asked} requests");
    }
    let requests = new.times.len();
    let few = if live.times.len() == requests {
        format!("{requests} requests of each are too few")
    } else {
        format!("{requests} requests and {} of it are too few", live.times.len())
    };
    let would_do: Vec<String> = left_out
        .iter()
        .filter_map(|at| Some(format!("{} would do for p{at}", enough(*at, alpha)?)))
        .collect();
    let would_do = if would_do.is_empty() {
        String::new()
    } else {
        format!(", {}", listed(would_do))
    };
    format!("{which} not compared with the live version: {few}{would_do}")
}

/// From how many requests of each on a percentile can be compared; nothing where a policy may not ask for so many.
/// Some fewer may do as well, and one more than those may not: how many of the samples are above a percentile is a
/// whole number.
fn enough(percentile: u8, alpha: f64) -> Option<usize> {
    let at = PERCENTILES.iter().position(|at| *at == percentile)?;
    let does = |requests: &usize| can_tell(*requests, *requests, alpha).get(at) == Some(&true);
    let most = usize::try_from(MAX_REQUESTS).unwrap_or(usize::MAX);
    (1..=most).rev().take_while(does).last()
}

/// `a, b and c`.
fn listed(mut parts: Vec<String>) -> String {
    match (parts.pop(), parts.is_empty()) {
        (Some(last), false) => format!("{} and {last}", parts.join(", ")),
        (last, _) => last.unwrap_or_default(),
    }
}
