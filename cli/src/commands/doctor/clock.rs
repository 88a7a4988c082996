//! This machine's clock, against AWS's: requests that are off by five minutes are refused.

use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use jiff::{SignedDuration, Timestamp};

use super::Patient;
use super::check::Check;
use super::finding::Finding;
use crate::output::duration;

const CHECK: Check = Check::Clock;
/// Signatures hold for five minutes; a machine that is one minute off is on its way there.
const DOUBTFUL: SignedDuration = SignedDuration::from_secs(60);
/// AWS refuses from here on.
const WRONG: SignedDuration = SignedDuration::from_secs(300);

/// Keeps the date of the answer.
#[derive(Debug, Clone, Default)]
struct DateOfAnswer(Arc<Mutex<Option<(String, Timestamp)>>>);

impl Intercept for DateOfAnswer {
    fn name(&self) -> &'static str {
        "DateOfAnswer"
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date").map(str::to_owned);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date.map(|date| (date, Timestamp::now()));
        Ok(())
    }
}

pub(super) async fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let date = DateOfAnswer::default();
    // Any answer has a date, a refusal too.
    let _ = aws_sdk_codepipeline::Client::new(patient.cloud.sdk())
        .get_pipeline_state()
        .name(&patient.pipeline)
        .customize()
        .interceptor(date.clone())
        .send()
        .await;
    let seen = date.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    vec![match seen {
        Some((date, now)) => judge(&date, now),
        None => Finding::unknown(CHECK, "this machine", "no answer of AWS told its time"),
    }]
}

fn judge(date: &str, now: Timestamp) -> Finding {
    let Ok(theirs) = jiff::fmt::rfc2822::parse(date).map(|date| date.timestamp()) else {
        return Finding::unknown(CHECK, "this machine", "AWS's date cannot be read");
    };
    let off = now.duration_since(theirs).abs();
    let text = format!("its clock is off by {}", duration(off));
    let fix = "Switch time synchronisation on (timedatectl set-ntp true), and look again.";
    if off >= WRONG {
        Finding::wrong(
            CHECK,
            "this machine",
            format!("{text}, and AWS refuses its requests"),
            fix,
        )
    } else if off >= DOUBTFUL {
        Finding::doubtful(CHECK, "this machine", text, fix)
    } else {
        Finding::sound(CHECK, "this machine", "its clock agrees with AWS's")
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_clock_is_compared_with_the_answers_date() {
        let verdict = |now: &str| judge("Fri, 29 May 2026 14:05:00 GMT", now.parse().unwrap()).verdict;
        assert_eq!(verdict("2026-05-29T14:05:30Z"), Verdict::Sound);
        assert_eq!(verdict("2026-05-29T14:03:00Z"), Verdict::Doubtful);
        assert_eq!(verdict("2026-05-29T14:10:01Z"), Verdict::Wrong);
        assert_eq!(judge("soon", Timestamp::UNIX_EPOCH).verdict, Verdict::Unknown);
    }
}
