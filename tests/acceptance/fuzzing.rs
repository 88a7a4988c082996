//! Hazard 40: events that nobody would think of.

use std::collections::BTreeMap;
use std::fmt::Write;

use futures::future::join_all;
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};

use crate::fixtures::{Fixture, hand_over};
use crate::source::{Stored, manual, through_sns, through_sqs};
use crate::tracking::pipeline_event;
use crate::world::{Answer, World};

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

/// What every event is made from: all that the project keeps, each for its function; and what start-run and
/// track-run get of this very environment.
fn seeds(world: &World) -> Vec<(String, Value)> {
    let installed = &world.installed;
    let mut seeds: Vec<(String, Value)> = Fixture::all(world)
        .iter()
        .map(|fixture| {
            (
                fixture.function(|name| world.function(name)),
                fixture.event(&installed.source_bucket, &installed.pipeline),
            )
        })
        .collect();
    // An object and a run that are not there: whatever the dice say, nothing is started.
    let absent = Stored {
        key: manual("h40 a+b"),
        version: "absent".to_owned(),
        etag: "e".to_owned(),
        size: 1,
    };
    let notified = absent.notification(world, "A1");
    for event in [
        absent.event(world, "A1"),
        through_sns(&notified),
        through_sqs(&notified),
        notified,
    ] {
        seeds.push((world.function("start-run"), event));
    }
    let run = "00000000-0000-0000-0000-000000000000";
    for level in ["Pipeline", "Stage", "Action"] {
        let event = pipeline_event(world, run, level, "SUCCEEDED");
        seeds.push((world.function("track-run"), event));
    }
    seeds
}

/// Whether the function refused the event; whatever it did, it said so in a way of its own.
fn is_refusal(function: &str, answer: &Answer, event: &str) -> bool {
    assert!(
        !answer.failed || REPORTED.contains(&answer.error_type()),
        "{function} crashed: {answer:?} at {event}"
    );
    assert!(
        !answer.text().contains("panic"),
        "{function} panicked: {answer:?} at {event}"
    );
    // A page's answer is never the server's fault.
    let status = answer.payload.get("statusCode").and_then(Value::as_u64);
    assert!(
        status.is_none_or(|status| status < 500),
        "{function}: {answer:?} at {event}"
    );
    answer.failed
}

/// How many events a function has at once. Some have little concurrency; the page lets whoever comes with a link that
/// it does not know wait for a second.
fn at_once(function: &str) -> usize {
    if function.ends_with("-answer-approval") {
        4
    } else {
        1
    }
}

/// Hands each function its events, all functions side by side; answers how many each took, and how many it refused.
async fn deliver(world: &World, events: &[(&str, Vec<u8>)]) -> BTreeMap<String, [usize; 2]> {
    let mut by_function: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
    for (function, event) in events {
        by_function.entry(function).or_default().push(event);
    }
    let delivered = by_function.into_iter().map(async |(function, events)| {
        let answers = stream::iter(events).map(async |event| {
            let answer = hand_over(world, function, event).await;
            is_refusal(function, &answer, &String::from_utf8_lossy(event))
        });
        let refusals: Vec<bool> = answers.buffer_unordered(at_once(function)).collect().await;
        let refused = refusals.iter().filter(|refused| **refused).count();
        (function.to_owned(), [refusals.len() - refused, refused])
    });
    join_all(delivered).await.into_iter().collect()
}

pub(crate) async fn h40_fuzzed_events_never_panic(world: &World) {
    const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
    /// Of each seed. More find no more, and the whole stays within seconds.
    const MUTATIONS: usize = 16;
    let mut dice = Dice(SEED);
    let seeds = seeds(world);
    let mut events = Vec::new();
    for (function, event) in &seeds {
        for _ in 0..MUTATIONS {
            let event = mutated(event, &mut dice).to_string();
            events.push((function.as_str(), event.into_bytes()));
        }
    }
    // The dice must reach both what is understood and what is not, or they prove nothing: of each function, but that
    // the sweep reads nothing of its event, and that no deployment is there for the hook.
    let counts = deliver(world, &events).await;
    for (function, [taken, refused]) in &counts {
        assert!(
            *taken > 10 || function.ends_with("-before-traffic"),
            "{function} takes too few: {counts:?}"
        );
        assert!(
            *refused > 10 || function.ends_with("-sweep"),
            "{function} refuses too few: {counts:?}"
        );
    }

    // Bytes that are hardly JSON any more.
    let mut events = Vec::new();
    for at in 0..300 {
        let (function, event) = &seeds[at % seeds.len()];
        let mut bytes = event.to_string().into_bytes();
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(bytes.len());
            bytes[at] = b"{}[]\",:\\0e-tnf \x7f"[dice.roll(15)];
        }
        // Lambda itself refuses what is no JSON.
        if serde_json::from_slice::<Value>(&bytes).is_ok() {
            events.push((function.as_str(), bytes));
        }
    }
    assert!(events.len() > 100, "{} were still JSON", events.len());
    deliver(world, &events).await;
}
