//! From a pattern's JSON to matchers. Whatever AWS refuses is refused here, with its reason.

use serde_json::{Map, Number, Value};

use super::matchers::{AnythingBut, Cidr, Comparison, Matcher, Text, Wildcard, fold};
use super::{Fields, InvalidPattern, Node};

/// AWS compares numbers between these bounds only.
const NUMBER_BOUND: f64 = 5.0e9;

type Parsed<T> = Result<T, InvalidPattern>;

fn invalid<T>(reason: impl Into<String>) -> Parsed<T> {
    Err(InvalidPattern(reason.into()))
}

pub(super) fn pattern(text: &str) -> Parsed<Fields> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| InvalidPattern(format!("not valid JSON: {error}")))?;
    let Value::Object(object) = value else {
        return invalid("Filter is not an object");
    };
    fields(&object)
}

fn fields(object: &Map<String, Value>) -> Parsed<Fields> {
    if object.is_empty() {
        return invalid("Empty objects are not allowed");
    }
    let mut parsed = Fields::default();
    for (name, value) in object {
        match value {
            Value::Array(alternatives) if name == "$or" && is_or_group(alternatives) => {
                parsed.any_of.push(
                    alternatives
                        .iter()
                        .filter_map(Value::as_object)
                        .map(fields)
                        .collect::<Parsed<Vec<_>>>()?,
                );
            }
            Value::Object(nested) => parsed.fields.push((name.clone(), Node::Nested(fields(nested)?))),
            Value::Array(alternatives) => {
                if alternatives.is_empty() {
                    return invalid("Empty arrays are not allowed");
                }
                let matchers = alternatives.iter().map(matcher).collect::<Parsed<Vec<_>>>()?;
                parsed.fields.push((name.clone(), Node::Leaf(matchers)));
            }
            _ => return invalid(format!("\"{name}\" must be an object or an array")),
        }
    }
    Ok(parsed)
}

/// `$or` is a group where it holds at least two objects that are not themselves matchers; anything else
/// is an ordinary field of that name.
fn is_or_group(alternatives: &[Value]) -> bool {
    const MATCH_TYPES: [&str; 8] = [
        "exists",
        "cidr",
        "numeric",
        "prefix",
        "suffix",
        "anything-but",
        "equals-ignore-case",
        "wildcard",
    ];
    alternatives.len() >= 2
        && alternatives.iter().all(|alternative| {
            alternative
                .as_object()
                .is_some_and(|fields| !fields.keys().any(|name| MATCH_TYPES.contains(&name.as_str())))
        })
}

fn matcher(value: &Value) -> Parsed<Matcher> {
    match value {
        Value::Object(object) => operator(object),
        Value::Array(_) => invalid("Match value must be String, number, true, false, or null"),
        scalar => Ok(Matcher::Exact(scalar.clone())),
    }
}

fn operator(object: &Map<String, Value>) -> Parsed<Matcher> {
    let mut entries = object.iter();
    let (Some((name, value)), None) = (entries.next(), entries.next()) else {
        return invalid("Only one key allowed in match expression");
    };
    match name.as_str() {
        "prefix" => text_or_ignoring_case("prefix", value).map(Matcher::Prefix),
        "suffix" => text_or_ignoring_case("suffix", value).map(Matcher::Suffix),
        "equals-ignore-case" => match value.as_str() {
            Some(text) => Ok(Matcher::EqualsIgnoreCase(fold(text))),
            None => invalid("equals-ignore-case match pattern must be a string"),
        },
        "wildcard" => wildcard(value).map(Matcher::Wildcard),
        "numeric" => numeric(value),
        "cidr" => match value.as_str().and_then(Cidr::parse) {
            Some(cidr) => Ok(Matcher::Cidr(cidr)),
            None => invalid("Malformed CIDR, one '/' required"),
        },
        "exists" => match value.as_bool() {
            Some(wanted) => Ok(Matcher::Exists(wanted)),
            None => invalid("exists match pattern must be either true or false."),
        },
        "anything-but" => anything_but(value).map(Matcher::AnythingBut),
        other => invalid(format!("Unrecognized match type {other}")),
    }
}

fn text_or_ignoring_case(operator: &str, value: &Value) -> Parsed<Text> {
    match value {
        Value::String(text) => Ok(Text {
            text: text.clone(),
            ignore_case: false,
        }),
        Value::Object(object) => match (
            object.len(),
            object.get("equals-ignore-case").and_then(Value::as_str),
        ) {
            (1, Some(text)) => Ok(Text {
                text: text.to_owned(),
                ignore_case: true,
            }),
            _ => invalid(format!(
                "{operator} match pattern must be a string or {{\"equals-ignore-case\": string}}"
            )),
        },
        _ => invalid(format!("{operator} match pattern must be a string")),
    }
}

fn wildcard(value: &Value) -> Parsed<Wildcard> {
    let Some(text) = value.as_str() else {
        return invalid("wildcard match pattern must be a string");
    };
    Wildcard::parse(text).map_err(InvalidPattern)
}

fn bounded(number: &Number) -> Parsed<f64> {
    match number.as_f64() {
        Some(value) if value.abs() <= NUMBER_BOUND => Ok(value),
        _ => invalid("Value of numeric must be between -5.0E9 and +5.0E9, inclusive"),
    }
}

fn numeric(value: &Value) -> Parsed<Matcher> {
    let Some(expression) = value.as_array() else {
        return invalid("Value of numeric must be an array.");
    };
    let mut bounds = Vec::new();
    for pair in expression.chunks(2) {
        let [Value::String(symbol), Value::Number(number)] = pair else {
            return invalid("Bad numeric range: expected an operator and a number");
        };
        let Some(comparison) = Comparison::parse(symbol) else {
            return invalid(format!("Unrecognized numeric range operator: {symbol}"));
        };
        bounds.push((comparison, bounded(number)?));
    }
    match bounds.as_slice() {
        [_] => Ok(Matcher::Numeric(bounds)),
        [
            (Comparison::Greater | Comparison::GreaterOrEqual, low),
            (Comparison::Less | Comparison::LessOrEqual, high),
        ] => {
            if low >= high {
                return invalid("Bottom must be less than top");
            }
            Ok(Matcher::Numeric(bounds))
        }
        [] => invalid("Invalid member in numeric match: ]"),
        _ => invalid("Bad numeric range: a lower bound and then an upper bound are expected"),
    }
}

fn anything_but(value: &Value) -> Parsed<AnythingBut> {
    match value {
        Value::String(text) => Ok(AnythingBut::Strings(vec![text.clone()])),
        Value::Number(number) => Ok(AnythingBut::Numbers(vec![number.clone()])),
        Value::Array(all) => {
            if let Some(strings) = strings(all) {
                Ok(AnythingBut::Strings(strings))
            } else if let Some(numbers) = numbers(all) {
                Ok(AnythingBut::Numbers(numbers))
            } else {
                invalid(
                    "Inside anything but list, either all values must be number or string, mixed type is not supported",
                )
            }
        }
        Value::Object(object) => anything_but_operator(object),
        _ => invalid("Value of anything-but must be an array or single string/number value."),
    }
}

fn anything_but_operator(object: &Map<String, Value>) -> Parsed<AnythingBut> {
    let mut entries = object.iter();
    let (Some((name, value)), None) = (entries.next(), entries.next()) else {
        return invalid("Only one key allowed in match expression");
    };
    let values: Vec<&Value> = match value {
        Value::Array(all) if !all.is_empty() => all.iter().collect(),
        Value::Array(_) => return invalid("Empty arrays are not allowed"),
        one => vec![one],
    };
    match name.as_str() {
        "prefix" => values
            .into_iter()
            .map(|one| text_or_ignoring_case("prefix", one))
            .collect::<Parsed<_>>()
            .map(AnythingBut::Prefixes),
        "suffix" => values
            .into_iter()
            .map(|one| text_or_ignoring_case("suffix", one))
            .collect::<Parsed<_>>()
            .map(AnythingBut::Suffixes),
        "wildcard" => values
            .into_iter()
            .map(wildcard)
            .collect::<Parsed<_>>()
            .map(AnythingBut::Wildcards),
        "equals-ignore-case" => values
            .into_iter()
            .map(|one| match one.as_str() {
                Some(text) => Ok(fold(text)),
                None => invalid("Inside anything but/ignore case list, all values must be strings"),
            })
            .collect::<Parsed<_>>()
            .map(AnythingBut::IgnoringCase),
        other => invalid(format!("Unsupported anything-but pattern: {other}")),
    }
}

/// All of them as strings; nothing where the list is empty or mixed.
fn strings(all: &[Value]) -> Option<Vec<String>> {
    if all.is_empty() {
        return None;
    }
    all.iter().map(|one| one.as_str().map(str::to_owned)).collect()
}

fn numbers(all: &[Value]) -> Option<Vec<Number>> {
    if all.is_empty() {
        return None;
    }
    all.iter().map(|one| one.as_number().cloned()).collect()
}
