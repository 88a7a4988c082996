//! The five checks, each over what was measured.

mod beside_live;

use serde_json::Value;

use super::policy::{BadRequest, Load, Performance, Refusal, Request};
use super::statistics::{count, percent, percentile, sorted};
use super::{Check, Finding, Measurement, Verdict};
use crate::text::shown;
use beside_live::Sample;

/// What a version answered to one request.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It answered.
    Answered(Value),
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

impl Answer {
    fn is_served(&self) -> bool {
        matches!(self, Self::Answered(answer) if !is_refusal(answer))
    }
}

/// One request and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// What came back.
    pub answer: Answer,
    /// How long it took.
    pub took: Timed,
}

/// How long one request took (milliseconds).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timed {
    /// As the caller saw it.
    pub caller_ms: f64,
    /// As Lambda measured it, without the environment's start.
    pub function_ms: Option<f64>,
}

/// Whether an answer says "your request is wrong": `ok: false`, a status of 4xx, or an `error`.
fn is_refusal(answer: &Value) -> bool {
    answer.get("ok").and_then(Value::as_bool) == Some(false)
        || is_4xx(answer)
        || answer.get("error").is_some_and(|error| !error.is_null())
}

fn is_4xx(answer: &Value) -> bool {
    let status = answer.get("statusCode").and_then(Value::as_u64);
    status.is_some_and(|status| (400..500).contains(&status))
}

/// Whether everything that `wanted` names is in `found`, with the same value.
fn holds(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, wanted)| found.get(name).is_some_and(|found| holds(found, wanted))),
        _ => found == wanted,
    }
}

/// *Basic invocation*: what must be served is served, as it must be.
#[must_use]
pub fn invocation(probes: &[(Request, Probe)]) -> Finding {
    let finding = |verdict, evidence: String| Finding::new(Check::Invocation, verdict, evidence);
    let mut unclear = None;
    for (at, (request, probe)) in probes.iter().enumerate() {
        let which = if probes.len() == 1 {
            "the request".to_owned()
        } else {
            format!("request {} of {}", at + 1, probes.len())
        };
        match (&probe.answer, &request.answer) {
            (Answer::Answered(answer), Some(wanted)) if !holds(answer, wanted) => {
                let wanted = shown(&wanted.to_string(), 120);
                let evidence = format!("{which} was not answered with {wanted}");
                return finding(Verdict::Failed, evidence);
            }
            (Answer::Answered(answer), None) if is_refusal(answer) => {
                return finding(Verdict::Failed, format!("{which}, a sound one, was refused"));
            }
            (Answer::Answered(_), _) => {}
            (Answer::Broke { error }, _) => {
                return finding(
                    Verdict::Failed,
                    format!("{which} broke it: {}", shown(error, 200)),
                );
            }
            (Answer::Throttled, _) => unclear = Some(format!("{which} was throttled")),
            (Answer::Unreachable { error }, _) => {
                unclear = Some(format!("{which} could not be made: {}", shown(error, 300)));
            }
        }
    }
    match unclear {
        Some(why) => finding(Verdict::Inconclusive, why),
        None if probes.is_empty() => finding(Verdict::Inconclusive, "no request was made".to_owned()),
        None => finding(
            Verdict::Passed,
            format!("{} of {} served", probes.len(), probes.len()),
        ),
    }
}

/// *Error handling*: each bad request is refused, in the way that the policy names.
#[must_use]
pub fn error_handling(probes: &[(BadRequest, Probe)]) -> Finding {
    let finding = |verdict, evidence: String| Finding::new(Check::ErrorHandling, verdict, evidence);
    let mut answered = 0;
    for (at, (request, probe)) in probes.iter().enumerate() {
        let which = format!("bad request {} of {}", at + 1, probes.len());
        let by_answer = matches!(request.refusal, Refusal::Answer | Refusal::Any);
        match &probe.answer {
            Answer::Answered(answer) => {
                let refused = match request.refusal {
                    Refusal::Answer | Refusal::Any => is_refusal(answer),
                    Refusal::Status4xx => is_4xx(answer),
                    Refusal::FunctionError => false,
                };
                if !refused {
                    let how = match request.refusal {
                        Refusal::Answer | Refusal::Any => "an answer that says no",
                        Refusal::Status4xx => "a statusCode of 4xx",
                        Refusal::FunctionError => "a function error",
                    };
                    let evidence = format!("{which} was answered without {how}");
                    return finding(Verdict::Failed, evidence);
                }
            }
            Answer::Broke { error } => {
                // What ends the process is no way to refuse.
                let ended = error.starts_with("Runtime.") || error.starts_with("Sandbox.");
                let may_throw = matches!(request.refusal, Refusal::FunctionError | Refusal::Any);
                if ended || !may_throw {
                    let rather = if by_answer {
                        ", where an answer must say no"
                    } else {
                        ""
                    };
                    let evidence = format!("{which} broke it{rather}: {}", shown(error, 200));
                    return finding(Verdict::Failed, evidence);
                }
            }
            Answer::Throttled | Answer::Unreachable { .. } => continue,
        }
        answered += 1;
    }
    if answered == 0 || answered < probes.len() {
        let evidence = format!("{answered} of {} bad requests were answered", probes.len());
        return finding(Verdict::Inconclusive, evidence);
    }
    finding(
        Verdict::Passed,
        format!("{answered} of {answered} bad requests were refused"),
    )
}

/// *Performance*: percentiles of the served requests against their bounds, and against the live version's
/// where it was asked the same. `alpha` is the chance of calling a version slower that is not.
///
/// A percentile of too few requests to show any difference is not compared, and the evidence says so; where that goes
/// for each of them, the policy asks for a comparison that cannot be made: *inconclusive*.
#[must_use]
pub fn performance(new: &[Probe], live: Option<&[Probe]>, rules: &Performance, alpha: f64) -> Finding {
    let finding = |verdict, evidence: String| Finding::new(Check::Performance, verdict, evidence);
    let served = |probes: &[Probe]| -> Vec<Timed> {
        let served = probes.iter().filter(|probe| probe.answer.is_served());
        served.map(|probe| probe.took).collect()
    };
    let times = served(new);
    let caller = sorted(&times.iter().map(|took| took.caller_ms).collect::<Vec<_>>());
    // One request in ten may be lost on the way; more is no measurement.
    if caller.is_empty() || caller.len() * 10 < new.len() * 9 {
        let evidence = format!("{} of {} requests were served", caller.len(), new.len());
        return finding(Verdict::Inconclusive, evidence);
    }
    let [p50, p95, p99] = [50, 95, 99].map(|at| percentile(&caller, at).unwrap_or(f64::NAN));
    let mut evidence = format!(
        "p50 {p50:.0} ms (bound {:.0}), p95 {p95:.0} ms (bound {:.0}), p99 {p99:.0} ms (bound {:.0}) over {} \
         requests",
        rules.p50_ms,
        rules.p95_ms,
        rules.p99_ms,
        caller.len(),
    );
    let too_slow = p50 > rules.p50_ms || p95 > rules.p95_ms || p99 > rules.p99_ms;
    let compared = live.map(|live| {
        let own = |asked: &[Probe], times: Vec<Timed>| Sample {
            asked: asked.len(),
            times: times
                .into_iter()
                .map(|took| took.function_ms.unwrap_or(took.caller_ms))
                .collect(),
        };
        beside_live::compare(&own(new, times), &own(live, served(live)), rules, alpha)
    });
    for clause in compared.iter().flat_map(|compared| &compared.evidence) {
        evidence.push_str(&format!("; {clause}"));
    }
    let verdict = if too_slow || compared.as_ref().is_some_and(|compared| compared.regressed) {
        Verdict::Failed
    } else if compared.is_some_and(|compared| compared.asks_too_little) {
        Verdict::Inconclusive
    } else {
        Verdict::Passed
    };
    finding(verdict, evidence).with([
        Measurement::millis("PerformanceP50", p50),
        Measurement::millis("PerformanceP95", p95),
        Measurement::millis("PerformanceP99", p99),
    ])
}

/// *Concurrent load*: failures and throttles of requests that are made `rules.concurrency` at a time.
#[must_use]
pub fn load(probes: &[Probe], rules: &Load) -> Finding {
    let finding = |verdict, evidence: String| Finding::new(Check::Load, verdict, evidence);
    let total = count(probes.len());
    if total == 0 {
        return finding(Verdict::Inconclusive, "no request was made".to_owned());
    }
    let of = |wanted: fn(&Answer) -> bool| count(probes.iter().filter(|p| wanted(&p.answer)).count());
    let throttled = of(|answer| matches!(answer, Answer::Throttled));
    let unreachable = of(|answer| matches!(answer, Answer::Unreachable { .. }));
    let failed = total - throttled - unreachable - of(Answer::is_served);
    let share = percent(failed, total);
    let evidence = format!(
        "{total} requests, up to {} at a time: {failed} failed ({share:.1} %), {throttled} throttled, \
         {unreachable} could not be made",
        rules.concurrency
    );
    let verdict = if share > rules.max_error_percent || throttled > u64::from(rules.max_throttles) {
        Verdict::Failed
    } else if unreachable > 0 {
        Verdict::Inconclusive
    } else {
        Verdict::Passed
    };
    finding(verdict, evidence).with([
        Measurement::percent("LoadErrors", share),
        Measurement::count("LoadThrottles", throttled),
    ])
}

/// What the log holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogFacts {
    /// Lines that must not be there, up to some number of them.
    pub bad: Vec<String>,
    /// How many lines like those came from requests that were meant to be refused.
    pub excused: u64,
    /// What must appear and did not.
    pub missing: Vec<String>,
}

/// *Logs*: lines that must not appear, lines that must; or why nothing can be said of them.
#[must_use]
pub fn logs(facts: Result<&LogFacts, &str>) -> Finding {
    let finding = |verdict, evidence: String| Finding::new(Check::Logs, verdict, evidence);
    let facts = match facts {
        Ok(facts) => facts,
        Err(why) => return finding(Verdict::Inconclusive, shown(why, 300)),
    };
    let (verdict, evidence) = if let Some(first) = facts.bad.first() {
        let (count, first) = (facts.bad.len(), shown(first.trim(), 200));
        let lines = if count == 1 { "line" } else { "lines" };
        let evidence = format!("{count} bad {lines} since the deployment began, the first: {first}");
        (Verdict::Failed, evidence)
    } else if let Some(missing) = facts.missing.first() {
        (
            Verdict::Failed,
            format!("no line holds {:?}", shown(missing, 100)),
        )
    } else if facts.excused > 0 {
        let evidence = format!(
            "no bad line since the deployment began, but {} of requests that were meant to be refused",
            facts.excused
        );
        (Verdict::Passed, evidence)
    } else {
        (
            Verdict::Passed,
            "no bad line since the deployment began".to_owned(),
        )
    };
    finding(verdict, evidence).with([Measurement::count("BadLogLines", count(facts.bad.len()))])
}

#[cfg(test)]
mod tests;
