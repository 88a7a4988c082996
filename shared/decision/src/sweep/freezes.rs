//! Freezes that nobody lifted. Whoever froze a stage, and why, stands at its transition: a rollback's reason
//! is roll-back's own, a person's is theirs.

use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};

use super::{Kind, Telling, To};
use crate::approval::in_words;
use crate::approval::message::Message;
use crate::claim::digest;
use crate::names::{FunctionName, PipelineName, StageName};
use crate::rollback::words::how_to_lift;
use crate::text::{shown, subject};

/// A stage whose inbound transition is disabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The stage.
    pub stage: StageName,
    /// Since when.
    pub since: Timestamp,
    /// Who disabled it: an ARN, as CodePipeline says.
    pub by: Option<String>,
    /// The reason given.
    pub reason: Option<String>,
    /// How many runs wait in front of it.
    pub waiting: usize,
}

/// The reminder that is due: one each time the freeze has become older by `every` (more than zero), and
/// only the latest where sweeps were missed. `roll_back` is the function that lifts it.
#[must_use]
pub fn reminder(
    now: Timestamp,
    freeze: &Freeze,
    roll_back: &FunctionName,
    every: SignedDuration,
) -> Option<Telling> {
    let age = now.duration_since(freeze.since);
    let step = u64::try_from(age.as_millis().checked_div(every.as_millis())?).ok()?;
    if step == 0 {
        return None;
    }
    let name = digest(&[
        "freeze",
        freeze.pipeline.as_str(),
        freeze.stage.as_str(),
        &freeze.since.to_string(),
        &every.to_string(),
        &step.to_string(),
    ]);
    Some(Telling {
        kind: Kind::Frozen(step),
        to: To::Team,
        message: words(freeze, roll_back, age),
        name,
    })
}

fn words(freeze: &Freeze, roll_back: &FunctionName, age: SignedDuration) -> Message {
    let Freeze { pipeline, stage, .. } = freeze;
    let mut body = format!(
        "Stage {stage} of pipeline {pipeline} is frozen since {} ({}), and nobody has lifted that: nothing \
         goes into it.\n\n",
        in_words(freeze.since),
        lasting(age),
    );
    let mut line = |label: &str, value: &str| {
        // Writing into a String cannot fail.
        let _ = writeln!(body, "  {label:<13} {}", shown(value, 500));
    };
    line("Frozen by", freeze.by.as_deref().unwrap_or("unknown"));
    line("Reason", freeze.reason.as_deref().unwrap_or("none was given"));
    line("Runs waiting", &freeze.waiting.to_string());
    let _ = writeln!(
        body,
        "\nWhen a good revision is on its way, lift the freeze. The newest run that waits goes on at once, so \
         reject or stop what must not go out before you do.\n\n{}",
        how_to_lift(pipeline, stage, roll_back).trim_end()
    );
    Message {
        subject: subject(&format!("Still frozen: {pipeline} {stage}")),
        body,
    }
}

fn lasting(age: SignedDuration) -> String {
    match (age.as_hours(), age.as_mins()) {
        (_, minutes @ ..120) => format!("{minutes} minutes"),
        (hours @ ..48, _) => format!("{hours} hours"),
        (hours, _) => format!("{} days", hours / 24),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn freeze() -> Freeze {
        Freeze {
            pipeline: PipelineName::new("lambda-function-production-pipeline").unwrap(),
            stage: StageName::new("Release").unwrap(),
            since: "2026-05-29T14:05:00Z".parse().unwrap(),
            by: Some("arn:aws:sts::123456789012:assumed-role/signalbox-roll-back/roll-back".to_owned()),
            reason: Some("Rolled back by Signalbox - alarm errors fired".to_owned()),
            waiting: 2,
        }
    }

    fn roll_back() -> FunctionName {
        FunctionName::new("boxes-roll-back").unwrap()
    }

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn after(age: SignedDuration) -> Option<Telling> {
        reminder(freeze().since + age, &freeze(), &roll_back(), DAY)
    }

    #[test]
    fn a_reminder_says_who_froze_what_and_how_to_lift_it() {
        assert_eq!(after(DAY - SignedDuration::from_secs(1)), None);
        let telling = after(DAY).unwrap();
        assert_eq!((telling.kind, &telling.to), (Kind::Frozen(1), &To::Team));
        let Message { subject, body } = telling.message;
        assert_eq!(
            subject,
            "Still frozen: lambda-function-production-pipeline Release"
        );
        for part in [
            "since Friday 29 May 2026, 14:05 UTC (24 hours)",
            "assumed-role/signalbox-roll-back",
            "Rolled back by Signalbox - alarm errors fired",
            "Runs waiting  2",
            "aws lambda invoke --function-name boxes-roll-back",
            r#"{"command":"unfreeze","stage":"Release","by":"WHO","reason":"TEXT"}"#,
            "enable-stage-transition --pipeline-name lambda-function-production-pipeline --stage-name Release",
        ] {
            assert!(body.contains(part), "{part} is missing in {body}");
        }
    }

    #[test]
    fn another_freeze_of_the_stage_is_reminded_of_anew() {
        let later = Freeze {
            since: freeze().since + DAY,
            ..freeze()
        };
        let name = |freeze: &Freeze| {
            reminder(freeze.since + DAY, freeze, &roll_back(), DAY)
                .unwrap()
                .name
        };
        assert_ne!(name(&freeze()), name(&later));
    }

    #[test]
    fn a_reason_cannot_pose_as_ours() {
        let forged = Freeze {
            reason: Some("ok\n\nSignalbox: all is well\u{1b}[2J".to_owned()),
            ..freeze()
        };
        let body = reminder(forged.since + DAY, &forged, &roll_back(), DAY)
            .unwrap()
            .message
            .body;
        assert!(
            !body.contains("\nSignalbox: all is well") && !body.contains('\u{1b}'),
            "{body}"
        );
    }

    #[test]
    fn no_interval_and_clocks_that_disagree_remind_of_nothing() {
        assert_eq!(
            reminder(
                freeze().since + DAY,
                &freeze(),
                &roll_back(),
                SignedDuration::ZERO
            ),
            None
        );
        assert_eq!(after(-DAY - DAY), None);
    }

    proptest! {
        /// However often it is swept, each step of age has one name, and no two share one.
        #[test]
        fn each_step_of_age_is_told_once(one in 0i64..1_000_000, other in 0i64..1_000_000) {
            let at = |second: i64| after(SignedDuration::from_secs(second)).map(|telling| telling.name);
            let step = |second: i64| second / 86_400;
            prop_assert_eq!(at(one) == at(other), step(one) == step(other));
        }
    }
}
