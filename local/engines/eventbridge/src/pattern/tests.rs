//! The operators one by one, then what is refused, then that nothing panics.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Pattern;

fn matches(pattern: &Value, event: &Value) -> bool {
    Pattern::parse(&pattern.to_string()).unwrap().matches(event)
}

/// (what it shows, pattern, events that match, events that do not).
type Case = (&'static str, Value, Vec<Value>, Vec<Value>);

fn operators() -> Vec<Case> {
    let a = |value: Value| json!({"a": value});
    vec![
        (
            "exact",
            json!({"a": ["x", "y"]}),
            vec![a(json!("x")), a(json!("y"))],
            vec![a(json!("X")), json!({})],
        ),
        (
            "null",
            json!({"a": [null]}),
            vec![a(json!(null))],
            vec![a(json!("null")), json!({}), a(json!(""))],
        ),
        (
            "empty string",
            json!({"a": [""]}),
            vec![a(json!(""))],
            vec![a(json!(null)), json!({})],
        ),
        (
            "boolean",
            json!({"a": [true]}),
            vec![a(json!(true))],
            vec![a(json!("true")), a(json!(false))],
        ),
        (
            "number as written",
            json!({"a": [300]}),
            vec![a(json!(300))],
            vec![a(json!(300.0)), a(json!("300"))],
        ),
        (
            "prefix",
            json!({"a": [{"prefix": "us-"}]}),
            vec![a(json!("us-east-1"))],
            vec![a(json!("eu-us-")), a(json!(1))],
        ),
        (
            "prefix, any case",
            json!({"a": [{"prefix": {"equals-ignore-case": "EventB"}}]}),
            vec![a(json!("eVENTbridge"))],
            vec![a(json!("events"))],
        ),
        (
            "suffix",
            json!({"a": [{"suffix": ".png"}]}),
            vec![a(json!("x.png"))],
            vec![a(json!("x.PNG"))],
        ),
        (
            "suffix, any case",
            json!({"a": [{"suffix": {"equals-ignore-case": ".png"}}]}),
            vec![a(json!("x.PnG"))],
            vec![a(json!("x.jpg"))],
        ),
        (
            "any case",
            json!({"a": [{"equals-ignore-case": "Alice"}]}),
            vec![a(json!("aLICE"))],
            vec![a(json!("alic"))],
        ),
        (
            "anything but a string",
            json!({"a": [{"anything-but": "initializing"}]}),
            vec![a(json!("running")), a(json!(7)), a(json!(null))],
            vec![a(json!("initializing")), json!({})],
        ),
        (
            "anything but a number",
            json!({"a": [{"anything-but": 123}]}),
            vec![a(json!(1))],
            vec![a(json!(123))],
        ),
        (
            "anything but strings",
            json!({"a": [{"anything-but": ["stopped", "overloaded"]}]}),
            vec![a(json!("running"))],
            vec![a(json!("stopped")), a(json!("overloaded"))],
        ),
        (
            "anything but numbers",
            json!({"a": [{"anything-but": [100, 200]}]}),
            vec![a(json!(300)), a(json!("100"))],
            vec![a(json!(100)), a(json!(200))],
        ),
        (
            "anything but a prefix",
            json!({"a": [{"anything-but": {"prefix": "init"}}]}),
            vec![a(json!("running"))],
            vec![a(json!("initializing"))],
        ),
        (
            "anything but prefixes",
            json!({"a": [{"anything-but": {"prefix": ["init", "stop"]}}]}),
            vec![a(json!("running"))],
            vec![a(json!("initializing")), a(json!("stopped"))],
        ),
        (
            "anything but a suffix",
            json!({"a": [{"anything-but": {"suffix": [".txt", ".rtf"]}}]}),
            vec![a(json!("x.md"))],
            vec![a(json!("x.txt")), a(json!("x.rtf"))],
        ),
        (
            "anything but, any case",
            json!({"a": [{"anything-but": {"equals-ignore-case": ["initializing", "stopped"]}}]}),
            vec![a(json!("running"))],
            vec![a(json!("INITIALIZING")), a(json!("Stopped"))],
        ),
        (
            "anything but a wildcard",
            json!({"a": [{"anything-but": {"wildcard": "*/lib/*"}}]}),
            vec![a(json!("/bin/x"))],
            vec![a(json!("/usr/lib/x"))],
        ),
        (
            "numeric range",
            json!({"a": [{"numeric": [">", 0, "<=", 5]}]}),
            vec![a(json!(0.1)), a(json!(5))],
            vec![a(json!(0)), a(json!(5.1)), a(json!("3"))],
        ),
        (
            "numeric equality",
            json!({"a": [{"numeric": ["=", 300]}]}),
            vec![a(json!(300.0))],
            vec![a(json!(301))],
        ),
        (
            "numeric below",
            json!({"a": [{"numeric": ["<", 10]}]}),
            vec![a(json!(-4))],
            vec![a(json!(10))],
        ),
        (
            "exists",
            json!({"a": [{"exists": true}]}),
            vec![a(json!("")), a(json!(null)), a(json!([1]))],
            vec![json!({}), a(json!({"b": 1})), a(json!([]))],
        ),
        (
            "absent, also below what is absent",
            json!({"a": {"b": [{"exists": false}]}}),
            vec![
                json!({}),
                json!({"a": {}}),
                json!({"a": {"c": 1}}),
                json!({"a": 1}),
            ],
            vec![json!({"a": {"b": null}})],
        ),
        (
            "wildcard",
            json!({"a": [{"wildcard": "dir/*.png"}]}),
            vec![a(json!("dir/.png")), a(json!("dir/a/b.png"))],
            vec![a(json!("dir.png")), a(json!("dir/x.png.txt"))],
        ),
        (
            "wildcard in the middle",
            json!({"a": [{"wildcard": "a*b*b"}]}),
            vec![a(json!("abb")), a(json!("aXbYb"))],
            vec![a(json!("ab"))],
        ),
        (
            "wildcard escaped",
            json!({"a": [{"wildcard": "a\\*b\\\\*"}]}),
            vec![a(json!("a*b\\z"))],
            vec![a(json!("axb\\z"))],
        ),
        (
            "cidr",
            json!({"a": [{"cidr": "10.0.0.0/24"}]}),
            vec![a(json!("10.0.0.255"))],
            vec![a(json!("10.0.1.0")), a(json!("no address")), a(json!("::1"))],
        ),
        (
            "cidr, all",
            json!({"a": [{"cidr": "0.0.0.0/0"}]}),
            vec![a(json!("203.0.113.9"))],
            vec![a(json!("2001:db8::1"))],
        ),
        (
            "cidr, version 6",
            json!({"a": [{"cidr": "2001:db8::/32"}]}),
            vec![a(json!("2001:db8:1::9"))],
            vec![a(json!("2001:db9::"))],
        ),
        (
            "array in the event",
            json!({"a": ["x"]}),
            vec![a(json!(["w", "x"])), a(json!([["x"]]))],
            vec![a(json!(["w"])), a(json!([]))],
        ),
        (
            "array of objects: one element has to satisfy all",
            json!({"a": {"b": ["1"], "c": ["2"]}}),
            vec![a(json!([{"b": "0"}, {"b": "1", "c": "2"}]))],
            vec![a(json!([{"b": "1"}, {"c": "2"}]))],
        ),
        (
            "or",
            json!({"z": ["1"], "$or": [{"a": ["x"]}, {"b": {"c": [{"numeric": [">", 3]}]}}]}),
            vec![json!({"z": "1", "a": "x"}), json!({"z": "1", "b": {"c": 4}})],
            vec![json!({"z": "1", "a": "y", "b": {"c": 3}}), json!({"a": "x"})],
        ),
        (
            "or within a field",
            json!({"detail": {"$or": [{"a": ["x"]}, {"b": ["y"]}]}}),
            vec![json!({"detail": {"b": "y"}})],
            vec![json!({"detail": {"b": "x"}}), json!({"b": "y"})],
        ),
        (
            "alternatives of several kinds",
            json!({"a": ["x", {"prefix": "y"}, {"exists": false}]}),
            vec![json!({}), a(json!("yes")), a(json!("x"))],
            vec![a(json!("z"))],
        ),
    ]
}

#[test]
fn operators_match_what_aws_says_they_match() {
    for (name, pattern, matching, others) in operators() {
        for event in matching {
            assert!(
                matches(&pattern, &event),
                "{name}: {pattern} should match {event}"
            );
        }
        for event in others {
            assert!(
                !matches(&pattern, &event),
                "{name}: {pattern} should not match {event}"
            );
        }
    }
}

#[test]
fn a_real_event_matches_the_rule_that_waits_for_it() {
    let pattern = json!({
        "source": ["aws.codepipeline"],
        "detail-type": ["CodePipeline Action Execution State Change"],
        "detail": {"pipeline": ["release"], "state": ["STARTED"], "type": {"category": ["Approval"]}}
    });
    let event = |state: &str| {
        json!({
            "version": "0", "id": "1", "source": "aws.codepipeline", "account": "123456789012",
            "detail-type": "CodePipeline Action Execution State Change", "resources": [],
            "detail": {"pipeline": "release", "version": 3.0, "state": state, "type": {"category": "Approval"}}
        })
    };
    assert!(matches(&pattern, &event("STARTED")));
    assert!(!matches(&pattern, &event("FAILED")));
}

#[test]
fn what_is_no_pattern_is_refused_with_its_reason() {
    for (pattern, reason) in [
        ("[]", "Filter is not an object"),
        ("{", "not valid JSON"),
        ("{}", "Empty objects are not allowed"),
        (r#"{"a": []}"#, "Empty arrays are not allowed"),
        (r#"{"a": {}}"#, "Empty objects are not allowed"),
        (r#"{"a": "x"}"#, "\"a\" must be an object or an array"),
        (
            r#"{"a": [["x"]]}"#,
            "Match value must be String, number, true, false, or null",
        ),
        (r#"{"a": [{"prefx": "x"}]}"#, "Unrecognized match type prefx"),
        (
            r#"{"a": [{"prefix": 1}]}"#,
            "prefix match pattern must be a string",
        ),
        (
            r#"{"a": [{"prefix": "x", "suffix": "y"}]}"#,
            "Only one key allowed in match expression",
        ),
        (
            r#"{"a": [{"exists": "yes"}]}"#,
            "exists match pattern must be either true or false.",
        ),
        (r#"{"a": [{"numeric": [">"]}]}"#, "Bad numeric range"),
        (r#"{"a": [{"numeric": []}]}"#, "Invalid member in numeric match"),
        (
            r#"{"a": [{"numeric": ["~", 1]}]}"#,
            "Unrecognized numeric range operator: ~",
        ),
        (
            r#"{"a": [{"numeric": [">", 5, "<", 1]}]}"#,
            "Bottom must be less than top",
        ),
        (
            r#"{"a": [{"numeric": ["=", 6000000000]}]}"#,
            "between -5.0E9 and +5.0E9",
        ),
        (r#"{"a": [{"cidr": "10.0.0.0"}]}"#, "Malformed CIDR"),
        (r#"{"a": [{"cidr": "10.0.0.0/33"}]}"#, "Malformed CIDR"),
        (
            r#"{"a": [{"wildcard": "a**b"}]}"#,
            "Consecutive wildcard characters at pos 1",
        ),
        (
            r#"{"a": [{"wildcard": "a\\b"}]}"#,
            "Invalid escape character at pos 1",
        ),
        (r#"{"a": [{"anything-but": []}]}"#, "Inside anything but list"),
        (
            r#"{"a": [{"anything-but": ["x", 1]}]}"#,
            "mixed type is not supported",
        ),
        (
            r#"{"a": [{"anything-but": {"numeric": 1}}]}"#,
            "Unsupported anything-but pattern: numeric",
        ),
        (r#"{"a": [{"anything-but": true}]}"#, "Value of anything-but"),
    ] {
        let refused = Pattern::parse(pattern).unwrap_err().to_string();
        assert!(
            refused.starts_with("Event pattern is not valid. Reason: "),
            "{pattern}: {refused}"
        );
        assert!(refused.contains(reason), "{pattern}: {refused}");
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|it| json!(it)),
        "[a-z*\\\\/.0-9é]{0,6}".prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("a".to_owned()),
        Just("$or".to_owned()),
        Just("prefix".to_owned()),
        Just("suffix".to_owned()),
        Just("numeric".to_owned()),
        Just("anything-but".to_owned()),
        Just("wildcard".to_owned()),
        Just("cidr".to_owned()),
        Just("exists".to_owned()),
        Just("equals-ignore-case".to_owned()),
    ];
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_pattern_and_no_event_makes_it_panic(pattern in json_value(), event in json_value()) {
        if let Ok(pattern) = Pattern::parse(&pattern.to_string()) {
            let _ = pattern.matches(&event);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,64}") {
        let _ = Pattern::parse(&text);
    }

    #[test]
    fn a_wildcard_of_one_star_matches_everything(text in ".{0,16}") {
        let everything = matches(&json!({"a": [{"wildcard": "*"}]}), &json!({"a": text}));
        prop_assert!(everything);
    }

    #[test]
    fn exact_and_anything_but_are_opposites(one in "[a-c]{1,2}", other in "[a-c]{1,2}") {
        let event = json!({"a": other});
        let exact = matches(&json!({"a": [one.clone()]}), &event);
        let anything_but = matches(&json!({"a": [{"anything-but": one}]}), &event);
        prop_assert_ne!(exact, anything_but);
    }
}
