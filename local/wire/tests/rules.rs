//! The model's rules: inputs that AWS would refuse, outputs that AWS could not give.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use proptest::prelude::{any, prop_assert_eq, proptest};
use serde_json::{Value, json};
use signalbox_local_wire::{
    Model, Models, Protocol, Unlisted, check_output, decode, encode, lists_error, validate,
};

fn model() -> Model {
    Model::load(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data"),
        "ledgers",
    )
    .unwrap()
}

fn message(input: &Value) -> String {
    validate(&model(), "PutEntry", input, Protocol::Json { minor: 1 })
        .unwrap_err()
        .message
}

#[test]
fn an_error_is_listed_for_its_operation_by_either_name_or_common_to_all() {
    let model = model();
    for (operation, code, listed) in [
        ("PutEntry", "EntryExistsException", true),
        // The code that `query` answers carry.
        ("PutEntry", "EntryExists", true),
        ("PutEntry", "ThrottlingException", true),
        ("Forget", "AccessDenied", true),
        // A shape of the model, and no error of this operation.
        ("Forget", "EntryExistsException", false),
        ("Forget", "EntryExists", false),
        ("PutEntry", "EntryLostException", false),
        // No error at all, though a shape.
        ("PutEntry", "Kind", false),
        ("Burn", "EntryExistsException", false),
    ] {
        assert_eq!(
            lists_error(&model, operation, code),
            listed,
            "{operation}: {code}"
        );
    }
}

#[test]
fn what_was_answered_against_the_model_is_remembered_once() {
    let models = Models::new(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data"));
    assert_eq!(models.unlisted(), []);
    let one = Unlisted {
        service: "ledgers".to_owned(),
        operation: "Forget".to_owned(),
        code: "EntryExistsException".to_owned(),
    };
    models.note_unlisted(one.clone());
    models.note_unlisted(one.clone());
    assert_eq!(models.unlisted(), [one]);
}

#[test]
fn each_rule_is_worded_as_aws_words_it() {
    for (input, expected) in [
        (
            json!({}),
            "Value null at 'name' failed to satisfy constraint: Member must not be null",
        ),
        (
            json!({"name": "ABC"}),
            "Value 'ABC' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]+",
        ),
        (
            json!({"name": "a", "kind": "Ajar"}),
            "Value 'Ajar' at 'kind' failed to satisfy constraint: Member must satisfy enum value set: [Open, Closed]",
        ),
        (
            json!({"name": "a", "size": 11}),
            "Value '11' at 'size' failed to satisfy constraint: Member must have value less than or equal to 10",
        ),
        (
            json!({"name": "a", "names": ["a", "b", "c"]}),
            "Value '[a, b, c]' at 'names' failed to satisfy constraint: Member must have length less than or equal to 2",
        ),
        (
            json!({"name": "a", "lines": [{"name": "x"}, {}]}),
            "Value null at 'lines.2.member.name' failed to satisfy constraint: Member must not be null",
        ),
    ] {
        assert_eq!(
            message(&input),
            format!("1 validation error detected: {expected}")
        );
    }
}

#[test]
fn a_secret_is_not_repeated() {
    let message = message(&json!({"name": "a", "secret": "abc"}));
    assert!(
        message.contains("Value at 'secret'") && !message.contains("abc"),
        "{message}"
    );
}

#[test]
fn all_broken_rules_are_counted() {
    let message = message(&json!({"name": "TOOLONGNAME", "size": 0}));
    assert!(message.starts_with("3 validation errors detected: "), "{message}");
}

#[test]
fn a_pattern_covers_the_whole_value() {
    assert!(
        validate(
            &model(),
            "PutEntry",
            &json!({"name": "ab\n"}),
            Protocol::Json { minor: 1 }
        )
        .is_err()
    );
    assert!(
        validate(
            &model(),
            "PutEntry",
            &json!({"name": "ab"}),
            Protocol::Json { minor: 1 }
        )
        .is_ok()
    );
}

#[test]
fn an_output_outside_of_the_model_is_named() {
    let good = json!({"id": "1", "kind": "Open", "labels": {"a": "b"}, "lines": [{"name": "x"}]});
    assert_eq!(check_output(&model(), "PutEntry", &good), Vec::<String>::new());
    for (output, expected) in [
        (json!({}), "id: required, but missing"),
        (
            json!({"id": "1", "extra": 1}),
            "extra: the model has no such member",
        ),
        (json!({"id": 1}), "id: expected a string, got 1"),
        (
            json!({"id": "1", "count": 1.5}),
            "count: expected a whole number, got 1.5",
        ),
        (
            json!({"id": "1", "kind": "Ajar"}),
            "kind: \"Ajar\" is none of [Open, Closed]",
        ),
        (
            json!({"id": "1", "at": "2026-01-01"}),
            "at: expected a time stamp, got \"2026-01-01\"",
        ),
        (
            json!({"id": "1", "lines": [{}]}),
            "lines[0].name: required, but missing",
        ),
        (json!([]), "output: expected a structure, got []"),
    ] {
        assert_eq!(check_output(&model(), "PutEntry", &output), [expected]);
    }
    assert_eq!(check_output(&model(), "Forget", &json!({})), Vec::<String>::new());
    assert_eq!(check_output(&model(), "Forget", &json!({"a": 1})).len(), 1);
}

proptest! {
    /// Whatever arrives, nothing panics; and what was read can be written.
    #[test]
    fn no_body_breaks_the_reader(body in any::<Vec<u8>>(), form in ".{0,200}") {
        let model = model();
        let parts = |headers: &[(&str, &str)], uri: &str| {
            let mut builder = http::Request::builder().method("POST").uri(uri);
            for (name, value) in headers {
                builder = builder.header(*name, *value);
            }
            builder.body(()).unwrap().into_parts().0
        };
        let _ = decode(&model, &parts(&[("x-amz-target", "L.PutEntry")], "/"), &body);
        let _ = decode(&model, &parts(&[("smithy-protocol", "rpc-v2-cbor")], "/service/x/operation/PutEntry"), &body);
        let form = format!("Action=PutEntry&name={form}&{form}");
        let _ = decode(&model, &parts(&[("content-type", "application/x-www-form-urlencoded")], "/"), form.as_bytes());
    }

    /// Text survives CBOR and JSON unchanged, whatever is in it.
    #[test]
    fn text_survives(text in any::<String>(), data in any::<Vec<u8>>()) {
        let model = model();
        let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, data);
        let value = json!({"labels": {"k": text}, "data": data});
        let answer = encode(&model, "PutEntry", Ok(&value), Protocol::Cbor, "r");
        let request = http::Request::builder().uri("/service/x/operation/PutEntry").header("smithy-protocol", "rpc-v2-cbor");
        let parts = request.body(()).unwrap().into_parts().0;
        prop_assert_eq!(decode(&model, &parts, answer.body()).unwrap().input, value);
    }
}
