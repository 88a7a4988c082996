//! What a target receives: the event, a part of it, a constant, or a text with parts of it.

use serde_json::Value;

/// The three ways to change the payload; a target has at most one.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    input: Option<String>,
    input_path: Option<String>,
    input_transformer: Option<Transformer>,
}

#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Transformer {
    #[serde(default)]
    input_paths_map: std::collections::BTreeMap<String, String>,
    input_template: String,
}

/// What a template may name beside the event's own fields.
pub(crate) struct Context<'a> {
    pub(crate) rule_arn: &'a str,
    pub(crate) rule_name: &'a str,
    pub(crate) ingestion_time: &'a str,
}

impl Input {
    /// Whether the target gets the event as it is.
    pub(crate) fn is_whole_event(&self) -> bool {
        *self == Self::default()
    }

    /// More than one way to change the payload, which AWS refuses.
    pub(crate) fn is_ambiguous(&self) -> bool {
        usize::from(self.input.is_some())
            + usize::from(self.input_path.is_some())
            + usize::from(self.input_transformer.is_some())
            > 1
    }

    /// The payload, as text.
    pub(crate) fn payload(&self, event: &Value, context: &Context<'_>) -> String {
        if let Some(constant) = &self.input {
            return constant.clone();
        }
        if let Some(path) = &self.input_path {
            return select(event, path).cloned().unwrap_or(Value::Null).to_string();
        }
        match &self.input_transformer {
            Some(transformer) => transformer.fill(event, context),
            None => event.to_string(),
        }
    }
}

impl Transformer {
    fn value(&self, name: &str, event: &Value, context: &Context<'_>) -> Option<Value> {
        match name {
            "aws.events.rule-arn" => Some(Value::from(context.rule_arn)),
            "aws.events.rule-name" => Some(Value::from(context.rule_name)),
            "aws.events.event.ingestion-time" => Some(Value::from(context.ingestion_time)),
            "aws.events.event" | "aws.events.event.json" => Some(event.clone()),
            _ => {
                let path = self.input_paths_map.get(name)?;
                // A path that leads nowhere yields an empty text, as in AWS.
                Some(select(event, path).cloned().unwrap_or_else(|| Value::from("")))
            }
        }
    }

    /// Replaces `<name>`: inside quotation marks by the value's text, elsewhere by its JSON.
    fn fill(&self, event: &Value, context: &Context<'_>) -> String {
        let mut filled = String::new();
        let mut quoted = false;
        let mut rest = self.input_template.as_str();
        while let Some(character) = rest.chars().next() {
            let placeholder = rest
                .strip_prefix('<')
                .and_then(|after| after.split_once('>'))
                .and_then(|(name, after)| Some((self.value(name, event, context)?, after)));
            if let Some((value, after)) = placeholder {
                filled.push_str(&if quoted {
                    inside_quotes(&value)
                } else {
                    value.to_string()
                });
                rest = after;
                continue;
            }
            let width = if character == '\\' {
                1 + rest[1..].chars().next().map_or(0, char::len_utf8)
            } else {
                character.len_utf8()
            };
            quoted ^= character == '"';
            filled.push_str(&rest[..width]);
            rest = &rest[width..];
        }
        filled
    }
}

fn inside_quotes(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let escaped = Value::from(text).to_string();
    escaped[1..escaped.len() - 1].to_owned()
}

/// A path such as `$.detail.items[0].name`; `['…']` for names with dots.
fn select<'v>(event: &'v Value, path: &str) -> Option<&'v Value> {
    let mut rest = path.strip_prefix('$')?;
    let mut value = event;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("['") {
            let (name, after) = after.split_once("']")?;
            value = value.get(name)?;
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (index, after) = after.split_once(']')?;
            value = value.get(index.parse::<usize>().ok()?)?;
            rest = after;
        } else {
            let after = rest.strip_prefix('.')?;
            let end = after.find(['.', '[']).unwrap_or(after.len());
            value = value.get(&after[..end])?;
            rest = &after[end..];
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn payload(input: Value) -> String {
        let input: Input = serde_json::from_value(input).unwrap();
        let event = json!({"source": "s", "detail": {"name": "a \"b\"", "n": 3, "list": [{"x": 1}], "odd.name": true}});
        let context = Context {
            rule_arn: "arn",
            rule_name: "rule",
            ingestion_time: "2026-01-01T00:00:00Z",
        };
        input.payload(&event, &context)
    }

    #[test]
    fn constant_and_path() {
        assert_eq!(payload(json!({"Input": "{\"k\":1}"})), "{\"k\":1}");
        assert_eq!(payload(json!({"InputPath": "$.detail.list[0].x"})), "1");
        assert_eq!(payload(json!({"InputPath": "$.detail['odd.name']"})), "true");
        assert_eq!(payload(json!({"InputPath": "$.detail.nothing"})), "null");
        assert_eq!(payload(json!({"InputPath": "$.source"})), "\"s\"");
    }

    #[test]
    fn a_template_stays_json() {
        let filled = payload(json!({"InputTransformer": {
            "InputPathsMap": {"name": "$.detail.name", "n": "$.detail.n", "none": "$.detail.none", "list": "$.detail.list"},
            "InputTemplate": "{\"text\": \"<name> is <n>, \\\"<none>\\\"\", \"n\": <n>, \"name\": <name>, \"list\": <list>, \
                              \"rule\": \"<aws.events.rule-name>\", \"kept\": \"<unknown>\", \"event\": <aws.events.event>}"
        }}));
        let filled: Value = serde_json::from_str(&filled).unwrap();
        assert_eq!(filled["text"], "a \"b\" is 3, \"\"");
        assert_eq!(filled["n"], 3);
        assert_eq!(filled["name"], "a \"b\"");
        assert_eq!(filled["list"], json!([{"x": 1}]));
        assert_eq!(filled["rule"], "rule");
        assert_eq!(filled["kept"], "<unknown>");
        assert_eq!(filled["event"]["source"], "s");
    }
}
