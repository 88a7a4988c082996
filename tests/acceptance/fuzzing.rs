//! Hazard 40: events that nobody would think of.

use std::collections::BTreeMap;
use std::fmt::Write;

use futures::stream::{self, StreamExt};
use serde_json::{Value, json};

use crate::source::{Stored, invoke_raw, manual, through_sns, through_sqs};
use crate::tracking::pipeline_event;
use crate::world::World;

/// The kinds of error that a function reports; all others would be crashes.
const REPORTED: [&str; 2] = ["Retryable", "NonRetryable"];

/// Numbers that are the same in every run: what failed once fails again (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides.max(1)).unwrap()).unwrap()
    }
}

/// An event with a few of its parts replaced, doubled, or gone.
fn mutated(event: &Value, dice: &mut Dice) -> Value {
    let mut event = event.clone();
    for _ in 0..=dice.roll(3) {
        let mut paths = Vec::new();
        collect(&event, &mut String::new(), &mut paths);
        let Some(path) = paths.get(dice.roll(paths.len())).cloned() else {
            continue;
        };
        let strange = [
            json!(null),
            json!(true),
            json!(-1),
            json!(1e300),
            json!(u64::MAX),
            json!(""),
            json!([]),
            json!({}),
            json!([[[]]]),
            json!("\0\u{1b}\r\n"),
            json!("\u{fffd}\u{1f680}e\u{301}"),
            json!("x".repeat(3000)),
            json!("%"),
            json!("%ff%"),
            json!("null"),
            json!("../.."),
            json!("{\"Records\":[{}]}"),
            json!({ "Records": [] }),
            json!("9999-99-99T99:99:99Z"),
        ];
        let value = strange[dice.roll(strange.len())].clone();
        match (dice.roll(4), path.rsplit_once('/')) {
            (0, Some((parent, name))) => {
                if let Some(parent) = event.pointer_mut(parent).and_then(Value::as_object_mut) {
                    parent.remove(name);
                }
            }
            (1, _) => {
                let copy = event.pointer(&path).cloned().unwrap_or_default();
                let other = paths[dice.roll(paths.len())].clone();
                if let Some(place) = event.pointer_mut(&other) {
                    *place = copy;
                }
            }
            _ => {
                if let Some(place) = event.pointer_mut(&path) {
                    *place = value;
                }
            }
        }
    }
    event
}

fn collect(value: &Value, path: &mut String, paths: &mut Vec<String>) {
    if !path.is_empty() {
        paths.push(path.clone());
    }
    let length = path.len();
    let mut below = |name: &str, value: &Value| {
        // Writing into a String cannot fail.
        let _ = write!(path, "/{}", name.replace('~', "~0").replace('/', "~1"));
        collect(value, path, paths);
        path.truncate(length);
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| below(name, value)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(at, value)| below(&at.to_string(), value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

pub(crate) async fn h40_fuzzed_events_never_panic(world: &World) {
    const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut dice = Dice(SEED);
    // An object and a run that are not there: whatever the dice say, nothing is started.
    let key = manual("h40 a+b");
    let absent = Stored {
        key,
        version: "absent".to_owned(),
        etag: "e".to_owned(),
        size: 1,
    };
    let bridged = absent.event(world, "A1");
    let notified = absent.notification(world, "A1");
    let run = "00000000-0000-0000-0000-000000000000";
    let mut seeds = vec![
        ("start-run", bridged),
        ("start-run", through_sns(&notified)),
        ("start-run", through_sqs(&notified)),
        ("start-run", notified),
    ];
    for level in ["Pipeline", "Stage", "Action"] {
        seeds.push(("track-run", pipeline_event(world, run, level, "SUCCEEDED")));
    }
    let events: Vec<(&str, Value)> = (0..400)
        .map(|at| {
            let (function, event) = &seeds[at % seeds.len()];
            (*function, mutated(event, &mut dice))
        })
        .collect();
    let answers: Vec<_> = stream::iter(&events)
        .map(async |(function, event)| {
            let answer = world.invoke(function, event).await;
            if answer.failed {
                assert!(
                    REPORTED.contains(&answer.error_type()),
                    "{function} crashed: {answer:?} at {event}"
                );
            }
            assert!(
                !answer.text().contains("panic"),
                "{function} panicked: {answer:?} at {event}"
            );
            answer.failed
        })
        .buffer_unordered(4)
        .collect()
        .await;
    // The dice must reach both what is understood and what is not, or they prove nothing.
    let mut counts = BTreeMap::new();
    for failed in answers {
        *counts.entry(failed).or_insert(0) += 1;
    }
    assert!(
        counts.len() == 2 && counts.values().all(|count| *count > 20),
        "failed: {counts:?}"
    );

    // Bytes that are hardly JSON any more.
    let text = absent.event(world, "A1").to_string();
    for _ in 0..100 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(bytes.len());
            bytes[at] = b"{}[]\",:\\0e-tnf \x7f"[dice.roll(15)];
        }
        // Lambda itself refuses what is no JSON.
        if serde_json::from_slice::<Value>(&bytes).is_ok() {
            let (answer, _) = invoke_raw(world, "start-run", &bytes).await;
            assert!(
                !answer.failed || REPORTED.contains(&answer.error_type()),
                "{answer:?} at {bytes:?}"
            );
        }
    }
}
