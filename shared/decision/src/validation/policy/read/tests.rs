use super::*;

#[test]
fn a_document_that_says_nothing_is_the_default() {
    assert_eq!(Policy::parse(r#"{"version":1}"#), Ok(Policy::default()));
    assert_eq!(
        Policy::parse(r#"{"version":1,"load":{},"logs":null}"#),
        Ok(Policy::default())
    );
}

#[test]
fn the_documented_example_is_sound() {
    let text = include_str!("../../policy.rs");
    let example: String = text
        .lines()
        .skip_while(|line| !line.contains("```json"))
        .skip(1)
        .take_while(|line| !line.contains("```"))
        .map(|line| line.trim_start_matches("//!"))
        .collect();
    let policy = Policy::parse(&example).unwrap();
    assert_eq!(policy.canary.custom_metrics.len(), 1);
    assert_eq!(policy.performance, Performance::default());
    assert_eq!(policy.load, Load::default());
}

#[test]
fn all_mistakes_are_named_at_once_with_their_places() {
    let text = r#"{"version":2,"lod":{},"load":{"concurrency":0,"max_error_percent":"1"},
        "invocation":[],"error_handling":[{"refusal":"no"}],"inconclusive":"maybe",
        "logs":{"must_not_appear":["a\"b"]},
        "canary":{"alpha":1,"custom_metrics":[{"namespace":"N","name":"n","dimensions":{"A":"b"},"kind":"x"}]}}"#;
    let error = Policy::parse(text).unwrap_err();
    for place in [
        "version:",
        "lod: this is not known",
        "load.concurrency: a whole number from 1 to 100",
        "load.max_error_percent: a number",
        "invocation: 1 to 20",
        "error_handling[0].payload: it is missing",
        "error_handling[0].refusal: one of answer, status-4xx, function-error, any",
        "inconclusive: one of fail, pass",
        "logs.must_not_appear[0]: a text without",
        "canary.alpha: a number from 0.000001 to 0.2",
        "canary.custom_metrics[0].dimensions: a value with {version}",
        "canary.custom_metrics[0].kind: one of count, value",
    ] {
        assert!(
            error.iter().any(|mistake| mistake.starts_with(place)),
            "{place}: {error}"
        );
    }
    assert!(error.to_string().starts_with("12 mistakes: "), "{error}");
}

#[test]
fn what_is_no_document_at_all_is_one_mistake() {
    for text in ["", "[1", "null", "7", r#""x""#] {
        assert!(Policy::parse(text).is_err(), "{text}");
    }
    assert!(Policy::parse(&format!(r#"{{"version":1,"x":"{}"}}"#, "y".repeat(MAX_BYTES))).is_err());
}
