//! Lambda.

use super::{Call, Needed};

/// The ARN that a name, a partial ARN or an ARN means, with its qualifier where it has one.
fn function_arn(call: &Call<'_>, name: &str, qualifier: Option<&str>) -> String {
    let rest = name.rsplit_once("function:").map_or(name, |(_, rest)| rest);
    let (name, own) = rest
        .split_once(':')
        .map_or((rest, None), |(name, own)| (name, Some(own)));
    match own.or(qualifier) {
        Some(qualifier) => call.arn(&format!("function:{name}:{qualifier}")),
        None => call.arn(&format!("function:{name}")),
    }
}

pub(super) fn needed(call: &Call<'_>) -> Vec<Needed> {
    // The action's name is not the operation's.
    let action = match call.operation {
        "Invoke" | "InvokeAsync" | "InvokeWithResponseStream" => "InvokeFunction",
        other => other,
    };
    let Some(name) = call.text("FunctionName") else {
        return vec![Needed::on(&call.action(action), Vec::new())];
    };
    let arn = function_arn(call, name, call.text("Qualifier"));
    vec![Needed::new(&call.action(action), &arn).with("lambda:FunctionArn", vec![arn.clone()])]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::of;
    use super::*;

    const PREFIX: &str = "arn:aws:lambda:us-east-1:123456789012:function:";

    #[test]
    fn a_function_is_the_same_however_it_is_named() {
        for name in [
            "f",
            "123456789012:function:f",
            "arn:aws:lambda:us-east-1:123456789012:function:f",
        ] {
            let needed = of(needed, "lambda", "Invoke", &json!({"FunctionName": name}));
            assert_eq!(
                needed,
                [("lambda:InvokeFunction".to_owned(), vec![format!("{PREFIX}f")])],
                "{name}"
            );
        }
    }

    #[test]
    fn a_qualifier_is_part_of_the_resource() {
        for input in [
            json!({"FunctionName": "f", "Qualifier": "live"}),
            json!({"FunctionName": "f:live"}),
        ] {
            assert_eq!(
                of(needed, "lambda", "Invoke", &input)[0].1,
                [format!("{PREFIX}f:live")]
            );
        }
        assert_eq!(of(needed, "lambda", "ListFunctions", &json!({}))[0].1, ["*"]);
    }
}
