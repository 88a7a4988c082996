//! From text to a policy: every value is looked at, and every mistake is noted with its place.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::{
    BadRequest, Canary, CustomKind, CustomMetric, Inconclusive, Load, LogRules, MAX_BYTES, MAX_REQUESTS,
    Performance, Policy, Refusal, Request, Worse,
};
use crate::text::shown;

/// Every mistake of a document, each with its place in it. There is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(Vec<String>);

impl Mistakes {
    /// The mistakes, in the document's order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let s = if count == 1 { "" } else { "s" };
        write!(f, "{count} mistake{s}: {}", shown(&self.0.join("; "), 1500))
    }
}

impl std::error::Error for Mistakes {}

pub(super) fn policy(text: &str) -> Result<Policy, Mistakes> {
    let one = |mistake: String| Err(Mistakes(vec![mistake]));
    if text.len() > MAX_BYTES {
        return one(format!(
            "the document has {} bytes; at most {MAX_BYTES} are taken",
            text.len()
        ));
    }
    let document: Value = match serde_json::from_str(text) {
        Ok(document) => document,
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            return one(format!("line {line}, column {column}: this is no JSON document"));
        }
    };
    let mut mistakes = Vec::new();
    let policy = document_of(&Place::new("the document", &document), &mut mistakes);
    if mistakes.is_empty() {
        Ok(policy)
    } else {
        Err(Mistakes(mistakes))
    }
}

/// A value, and where it stands.
#[derive(Clone)]
struct Place<'a> {
    path: String,
    value: &'a Value,
}

/// An object whose fields are taken one by one; what is left over is not known.
struct Fields<'a> {
    path: String,
    fields: BTreeMap<&'a str, &'a Value>,
    known: Vec<&'static str>,
}

type Noted = Vec<String>;

impl<'a> Place<'a> {
    fn new(path: &str, value: &'a Value) -> Self {
        Self {
            path: path.to_owned(),
            value,
        }
    }

    fn wrong(&self, wanted: &str, noted: &mut Noted) {
        noted.push(format!("{}: {wanted} belongs here", self.path));
    }

    fn fields(&self, noted: &mut Noted) -> Fields<'a> {
        static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        let object = self.value.as_object().unwrap_or_else(|| {
            self.wrong("an object", noted);
            &NONE
        });
        Fields {
            path: if self.path == "the document" {
                String::new()
            } else {
                format!("{}.", self.path)
            },
            fields: object
                .iter()
                .map(|(name, value)| (name.as_str(), value))
                .collect(),
            known: Vec::new(),
        }
    }

    fn items(&self, range: RangeInclusive<usize>, noted: &mut Noted) -> Vec<Place<'a>> {
        let Some(items) = self.value.as_array() else {
            self.wrong("a list", noted);
            return Vec::new();
        };
        if !range.contains(&items.len()) {
            let (least, most) = (range.start(), range.end());
            noted.push(format!(
                "{}: {least} to {most} belong here, not {}",
                self.path,
                items.len()
            ));
        }
        items
            .iter()
            .enumerate()
            .map(|(at, value)| Place::new(&format!("{}[{at}]", self.path), value))
            .collect()
    }

    fn text(&self, noted: &mut Noted) -> String {
        match self.value.as_str() {
            Some(text) if (1..=255).contains(&text.len()) => text.to_owned(),
            _ => {
                self.wrong("a text of 1 to 255 characters", noted);
                String::new()
            }
        }
    }

    fn word<T: Copy>(&self, words: &[(&str, T)], default: T, noted: &mut Noted) -> T {
        let found = words.iter().find(|(word, _)| self.value.as_str() == Some(word));
        found.map_or_else(
            || {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                self.wrong(&format!("one of {}", known.join(", ")), noted);
                default
            },
            |(_, value)| *value,
        )
    }

    fn number(&self, range: RangeInclusive<f64>, noted: &mut Noted) -> f64 {
        match self.value.as_f64() {
            Some(number) if range.contains(&number) => number,
            _ => {
                self.wrong(
                    &format!("a number from {} to {}", range.start(), range.end()),
                    noted,
                );
                *range.start()
            }
        }
    }

    fn whole(&self, range: RangeInclusive<u32>, noted: &mut Noted) -> u32 {
        let whole = self.value.as_u64().and_then(|number| u32::try_from(number).ok());
        match whole {
            Some(number) if range.contains(&number) => number,
            _ => {
                self.wrong(
                    &format!("a whole number from {} to {}", range.start(), range.end()),
                    noted,
                );
                *range.start()
            }
        }
    }
}

impl<'a> Fields<'a> {
    /// The field's value; `null` is as good as left out.
    fn take(&mut self, name: &'static str) -> Option<Place<'a>> {
        self.known.push(name);
        let value = self.fields.remove(name).filter(|value| !value.is_null())?;
        Some(Place::new(&format!("{}{name}", self.path), value))
    }

    fn required(&mut self, name: &'static str, noted: &mut Noted) -> Option<Place<'a>> {
        let taken = self.take(name);
        if taken.is_none() {
            noted.push(format!("{}{name}: it is missing", self.path));
        }
        taken
    }

    fn number(
        &mut self,
        name: &'static str,
        range: RangeInclusive<f64>,
        default: f64,
        noted: &mut Noted,
    ) -> f64 {
        self.take(name)
            .map_or(default, |place| place.number(range, noted))
    }

    fn whole(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u32>,
        default: u32,
        noted: &mut Noted,
    ) -> u32 {
        self.take(name).map_or(default, |place| place.whole(range, noted))
    }

    fn end(self, noted: &mut Noted) {
        let known = self.known.join(", ");
        for name in self.fields.keys() {
            noted.push(format!(
                "{}{}: this is not known; known are {known}",
                self.path,
                shown(name, 40)
            ));
        }
    }
}

/// Lambda's longest time-out: no answer can take longer (milliseconds).
const MAX_MS: f64 = 900_000.0;

fn document_of(place: &Place<'_>, noted: &mut Noted) -> Policy {
    let default = Policy::default();
    let mut fields = place.fields(noted);
    if let Some(version) = fields.required("version", noted)
        && version.value.as_u64() != Some(1)
    {
        noted.push("version: only version 1 is known".to_owned());
    }
    let policy = Policy {
        warm_up_requests: fields.whole("warm_up_requests", 0..=100, default.warm_up_requests, noted),
        invocation: match fields.take("invocation") {
            None => default.invocation,
            Some(list) => list
                .items(1..=20, noted)
                .iter()
                .map(|item| request(item, noted))
                .collect(),
        },
        error_handling: match fields.take("error_handling") {
            None => default.error_handling,
            Some(list) => list
                .items(1..=20, noted)
                .iter()
                .map(|item| bad_request(item, noted))
                .collect(),
        },
        performance: fields
            .take("performance")
            .map_or_else(Performance::default, |place| performance(&place, noted)),
        load: fields
            .take("load")
            .map_or_else(Load::default, |place| load(&place, noted)),
        logs: fields
            .take("logs")
            .map_or_else(LogRules::default, |place| logs(&place, noted)),
        canary: fields
            .take("canary")
            .map_or_else(Canary::default, |place| canary(&place, noted)),
        inconclusive: fields.take("inconclusive").map_or(default.inconclusive, |place| {
            let words = [("fail", Inconclusive::Fail), ("pass", Inconclusive::Pass)];
            place.word(&words, Inconclusive::Fail, noted)
        }),
    };
    fields.end(noted);
    policy
}

fn request(place: &Place<'_>, noted: &mut Noted) -> Request {
    let mut fields = place.fields(noted);
    let payload = fields.required("payload", noted);
    let answer = fields.take("answer");
    fields.end(noted);
    Request {
        payload: payload.map_or(Value::Null, |place| place.value.clone()),
        answer: answer.map(|place| place.value.clone()),
    }
}

fn bad_request(place: &Place<'_>, noted: &mut Noted) -> BadRequest {
    let mut fields = place.fields(noted);
    let payload = fields.required("payload", noted);
    let words = [
        ("answer", Refusal::Answer),
        ("status-4xx", Refusal::Status4xx),
        ("function-error", Refusal::FunctionError),
        ("any", Refusal::Any),
    ];
    let refusal = fields.take("refusal").map_or(Refusal::Answer, |place| {
        place.word(&words, Refusal::Answer, noted)
    });
    fields.end(noted);
    BadRequest {
        payload: payload.map_or(Value::Null, |place| place.value.clone()),
        refusal,
    }
}

fn performance(place: &Place<'_>, noted: &mut Noted) -> Performance {
    let default = Performance::default();
    let mut fields = place.fields(noted);
    let found = Performance {
        requests: fields.whole("requests", 1..=MAX_REQUESTS, default.requests, noted),
        p50_ms: fields.number("p50_ms", 1.0..=MAX_MS, default.p50_ms, noted),
        p95_ms: fields.number("p95_ms", 1.0..=MAX_MS, default.p95_ms, noted),
        p99_ms: fields.number("p99_ms", 1.0..=MAX_MS, default.p99_ms, noted),
        compare_with_live: match fields.take("compare_with_live") {
            None => default.compare_with_live,
            Some(place) => place.value.as_bool().unwrap_or_else(|| {
                place.wrong("true or false", noted);
                default.compare_with_live
            }),
        },
        max_regression_percent: fields.number(
            "max_regression_percent",
            0.0..=10_000.0,
            default.max_regression_percent,
            noted,
        ),
        max_regression_ms: fields.number(
            "max_regression_ms",
            0.0..=MAX_MS,
            default.max_regression_ms,
            noted,
        ),
    };
    fields.end(noted);
    found
}

fn load(place: &Place<'_>, noted: &mut Noted) -> Load {
    let default = Load::default();
    let mut fields = place.fields(noted);
    let found = Load {
        concurrency: fields.whole("concurrency", 1..=100, default.concurrency, noted),
        requests: fields.whole("requests", 1..=MAX_REQUESTS, default.requests, noted),
        max_error_percent: fields.number("max_error_percent", 0.0..=100.0, default.max_error_percent, noted),
        max_throttles: fields.whole("max_throttles", 0..=1000, default.max_throttles, noted),
    };
    fields.end(noted);
    found
}

fn logs(place: &Place<'_>, noted: &mut Noted) -> LogRules {
    let default = LogRules::default();
    let mut fields = place.fields(noted);
    let mut texts = |name, default: Vec<String>, noted: &mut Noted| match fields.take(name) {
        None => default,
        Some(list) => list
            .items(0..=20, noted)
            .iter()
            .map(|item| text_of_line(item, noted))
            .collect(),
    };
    let found = LogRules {
        must_not_appear: texts("must_not_appear", default.must_not_appear, noted),
        must_appear: texts("must_appear", default.must_appear, noted),
    };
    fields.end(noted);
    found
}

/// It becomes part of a filter pattern, where a quotation mark ends a term.
fn text_of_line(place: &Place<'_>, noted: &mut Noted) -> String {
    let text = place.text(noted);
    if text.contains(['"', '\\']) || text.chars().any(char::is_control) {
        place.wrong(
            "a text without quotation marks, backslashes and line feeds",
            noted,
        );
    }
    text
}

fn canary(place: &Place<'_>, noted: &mut Noted) -> Canary {
    let default = Canary::default();
    let mut fields = place.fields(noted);
    let found = Canary {
        alpha: fields.number("alpha", 0.000_001..=0.2, default.alpha, noted),
        min_samples: u64::from(fields.whole("min_samples", 5..=100_000, 20, noted)),
        min_error_increase_percent: fields.number(
            "min_error_increase_percent",
            0.0..=100.0,
            default.min_error_increase_percent,
            noted,
        ),
        min_slowdown_percent: fields.number(
            "min_slowdown_percent",
            0.0..=10_000.0,
            default.min_slowdown_percent,
            noted,
        ),
        min_slowdown_ms: fields.number("min_slowdown_ms", 0.0..=MAX_MS, default.min_slowdown_ms, noted),
        wait_seconds: fields.whole("wait_seconds", 0..=180, default.wait_seconds, noted),
        custom_metrics: fields.take("custom_metrics").map_or_else(Vec::new, |list| {
            list.items(0..=10, noted)
                .iter()
                .map(|item| custom_metric(item, noted))
                .collect()
        }),
    };
    fields.end(noted);
    found
}

fn custom_metric(place: &Place<'_>, noted: &mut Noted) -> CustomMetric {
    let mut fields = place.fields(noted);
    let mut text = |name, noted: &mut Noted| {
        fields
            .required(name, noted)
            .map_or_else(String::new, |place| place.text(noted))
    };
    let (namespace, name) = (text("namespace", noted), text("name", noted));
    let mut dimensions = BTreeMap::new();
    if let Some(place) = fields.required("dimensions", noted) {
        match place.value.as_object() {
            None => place.wrong("an object", noted),
            Some(object) => {
                for (name, value) in object {
                    let value = Place::new(&format!("{}.{}", place.path, shown(name, 40)), value);
                    dimensions.insert(name.clone(), value.text(noted));
                }
                if dimensions.len() > 30 {
                    noted.push(format!("{}: CloudWatch takes at most 30 dimensions", place.path));
                }
                if !dimensions.values().any(|value| value.contains("{version}")) {
                    place.wrong("a value with {version} in it, to tell the versions apart,", noted);
                }
            }
        }
    }
    let kinds = [("count", CustomKind::Count), ("value", CustomKind::Value)];
    let kind = fields.required("kind", noted).map_or(CustomKind::Count, |place| {
        place.word(&kinds, CustomKind::Count, noted)
    });
    let directions = [("higher", Worse::Higher), ("lower", Worse::Lower)];
    let worse = fields.take("worse").map_or(Worse::Higher, |place| {
        place.word(&directions, Worse::Higher, noted)
    });
    let min_change_percent = fields.number("min_change_percent", 0.0..=10_000.0, 10.0, noted);
    fields.end(noted);
    CustomMetric {
        namespace,
        name,
        dimensions,
        kind,
        worse,
        min_change_percent,
    }
}

#[cfg(test)]
mod tests;
