//! Tests of the functions, conditions and rules.

use super::*;
use crate::parameters::Parameter;

struct One;

impl Lookup for One {
    fn reference(&self, logical: &str) -> Option<Value> {
        (logical == "Topic").then(|| json!("arn:topic"))
    }

    fn attribute(&self, logical: &str, attribute: &str) -> Option<Value> {
        (logical == "Topic" && attribute == "TopicName").then(|| json!("news"))
    }
}

fn template() -> Template {
    let processed = json!({
        "Mappings": { "Sizes": { "staging": { "Memory": 128 } } },
        "Conditions": {
            // Refers to one that is declared later in the order of names.
            "A": { "Fn::Not": [{ "Condition": "IsProduction" }] },
            "IsProduction": { "Fn::Equals": [{ "Ref": "Environment" }, "production"] },
            "Unreserved": { "Fn::Equals": [{ "Ref": "Count" }, -1] },
        },
        "Resources": { "Topic": { "Type": "AWS::SNS::Topic" } },
    });
    Template::parse("", processed, Vec::new()).unwrap()
}

fn parameters() -> Parameters {
    let of = |text: &str, is_list| Parameter {
        text: text.to_owned(),
        resolved: None,
        is_list,
        hidden: false,
    };
    Parameters::from([
        ("Environment".to_owned(), of("staging", false)),
        ("Count".to_owned(), of("-1", false)),
        ("Subnets".to_owned(), of("a, b", true)),
    ])
}

fn evaluate(expression: &Value) -> Result<Option<Value>, AwsError> {
    let (template, parameters) = (template(), parameters());
    let place = Place {
        account: Account::default(),
        stack_name: "app".to_owned(),
        stack_id: "id".to_owned(),
    };
    let exports = BTreeMap::from([("dead".to_owned(), "q".to_owned())]);
    let conditions = decide(&template, &parameters, &place, &exports).unwrap();
    let scope = Scope {
        template: &template,
        parameters: &parameters,
        conditions: &conditions,
        place: &place,
        exports: &exports,
        lookup: &One,
    };
    scope.evaluate(expression)
}

#[test]
fn functions_evaluate_as_in_aws() {
    for (expression, expected) in [
        (json!({ "Ref": "AWS::StackName" }), json!("app")),
        (json!({ "Ref": "Subnets" }), json!(["a", "b"])),
        (json!({ "Fn::GetAtt": "Topic.TopicName" }), json!("news")),
        (
            json!({ "Fn::Sub": "${AWS::Region}/${Environment}/${Topic}/${Topic.TopicName}/${!Kept}" }),
            json!("us-east-1/staging/arn:topic/news/${Kept}"),
        ),
        (
            json!({ "Fn::Sub": ["${A}-${Environment}", { "A": { "Ref": "Count" } }] }),
            json!("-1-staging"),
        ),
        (json!({ "Fn::Join": [",", { "Ref": "Subnets" }] }), json!("a,b")),
        (
            json!({ "Fn::Select": ["1", { "Fn::Split": ["/", "a/b/c"] }] }),
            json!("b"),
        ),
        (
            json!({ "Fn::FindInMap": ["Sizes", { "Ref": "Environment" }, "Memory"] }),
            json!(128),
        ),
        (json!({ "Fn::ImportValue": "dead" }), json!("q")),
        (json!({ "Fn::Base64": "hi" }), json!("aGk=")),
        (
            json!({ "Fn::Select": [2, { "Fn::GetAZs": "" }] }),
            json!("us-east-1c"),
        ),
        (json!({ "Fn::If": ["A", "yes", "no"] }), json!("yes")),
        (json!({ "Fn::If": ["Unreserved", "yes", "no"] }), json!("yes")),
    ] {
        assert_eq!(evaluate(&expression).unwrap(), Some(expected), "{expression}");
    }
}

#[test]
fn no_value_takes_members_and_items_away() {
    let nothing = json!({ "Fn::If": ["IsProduction", "x", { "Ref": "AWS::NoValue" }] });
    let evaluated = evaluate(&json!({ "Kept": 1, "Gone": nothing, "List": ["a", nothing] })).unwrap();
    assert_eq!(evaluated, Some(json!({ "Kept": 1, "List": ["a"] })));
}

#[test]
fn mistakes_are_named() {
    for (expression, part) in [
        (json!({ "Ref": "Tpoic" }), "[Tpoic]"),
        (json!({ "Fn::GetAtt": ["Topic", "Colour"] }), "Colour"),
        (json!({ "Fn::ImportValue": "x" }), "No export named x found."),
        (json!({ "Fn::Select": [9, ["a"]] }), "index 9"),
        (json!({ "Fn::Sub": "${Nope}" }), "[Nope]"),
        (
            json!({ "Fn::FindInMap": ["Sizes", "production", "Memory"] }),
            "Sizes::production::Memory",
        ),
    ] {
        let message = evaluate(&expression).unwrap_err().message;
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_rule_that_does_not_hold_is_told() {
    let rule = json!({
        "RuleCondition": { "Fn::Not": [{ "Fn::EachMemberEquals": [{ "Ref": "Subnets" }, ""] }] },
        "Assertions": [{ "Assert": { "Fn::Equals": [{ "Ref": "Environment" }, "production"] }, "AssertDescription": "only there" }],
    });
    let mut template = template();
    template.rules.insert("VpcOnlyInProduction".to_owned(), rule);
    let place = Place {
        account: Account::default(),
        stack_name: "app".to_owned(),
        stack_id: "id".to_owned(),
    };
    let refused = decide(&template, &parameters(), &place, &BTreeMap::new()).unwrap_err();
    assert_eq!(
        refused.message,
        "Template error: rule VpcOnlyInProduction failed: only there"
    );
}
