//! Intrinsic functions, conditions, rules, and dynamic references.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::{Captures, Regex};
use serde_json::{Map, Value, json};
use signalbox_local_core::{Account, AwsError, Caller, Cloud};

use crate::invalid;
use crate::parameters::{Parameters, scalar};
use crate::template::Template;

/// What AWS shows in a change set for a value that exists only once it has been executed.
pub(crate) const KNOWN_AFTER_APPLY: &str = "{{changeSet:KNOWN_AFTER_APPLY}}";

/// Where values of resources come from: from what exists, or, for a change set, from what would.
pub(crate) trait Lookup: Sync {
    /// What `Ref` of a resource evaluates to; nothing where it does not exist (yet).
    fn reference(&self, logical: &str) -> Option<Value>;
    /// What `Fn::GetAtt` of a resource evaluates to.
    fn attribute(&self, logical: &str, attribute: &str) -> Option<Value>;
}

/// No resources: conditions and rules may not refer to any.
pub(crate) struct NoResources;

impl Lookup for NoResources {
    fn reference(&self, _: &str) -> Option<Value> {
        None
    }

    fn attribute(&self, _: &str, _: &str) -> Option<Value> {
        None
    }
}

/// What the pseudo parameters say.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) account: Account,
    pub(crate) stack_name: String,
    pub(crate) stack_id: String,
}

/// Everything that an expression can refer to.
pub(crate) struct Scope<'a> {
    pub(crate) template: &'a Template,
    pub(crate) parameters: &'a Parameters,
    pub(crate) conditions: &'a BTreeMap<String, bool>,
    pub(crate) place: &'a Place,
    pub(crate) exports: &'a BTreeMap<String, String>,
    pub(crate) lookup: &'a dyn Lookup,
}

static VARIABLE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\$\{(!?)([^}]*)\}").ok());

/// Every `${…}` of a `Fn::Sub` text that is not a literal.
pub(crate) fn variables(text: &str) -> Vec<String> {
    let Some(regex) = VARIABLE.as_ref() else {
        return Vec::new();
    };
    regex
        .captures_iter(text)
        .filter(|found| found[1].is_empty())
        .map(|found| found[2].trim().to_owned())
        .collect()
}

/// The single function of an object such as `{"Ref": …}`.
pub(crate) fn function(value: &Value) -> Option<(&str, &Value)> {
    let map = value.as_object()?;
    let (name, argument) = map.iter().next()?;
    let known = map.len() == 1 && (name == "Ref" || name == "Condition" || name.starts_with("Fn::"));
    known.then_some((name.as_str(), argument))
}

/// The two parts of a `Fn::GetAtt`, in either form.
pub(crate) fn attribute_parts(argument: &Value) -> Option<(String, String)> {
    match argument {
        Value::String(text) => text.split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())),
        Value::Array(parts) => match parts.as_slice() {
            [Value::String(logical), Value::String(attribute)] => Some((logical.clone(), attribute.clone())),
            _ => None,
        },
        _ => None,
    }
}

fn malformed(name: &str) -> AwsError {
    invalid(format!(
        "Template error: every {name} object has an argument of the wrong form."
    ))
}

fn arguments<'v, const N: usize>(name: &str, value: &'v Value) -> Result<&'v [Value; N], AwsError> {
    value
        .as_array()
        .and_then(|items| items.as_slice().try_into().ok())
        .ok_or_else(|| malformed(name))
}

impl Scope<'_> {
    /// Evaluates an expression; nothing where it comes to `AWS::NoValue`.
    ///
    /// # Errors
    /// `ValidationError` naming the function and what it refers to.
    pub(crate) fn evaluate(&self, value: &Value) -> Result<Option<Value>, AwsError> {
        if let Some((name, argument)) = function(value)
            && name != "Condition"
        {
            return self.call(name, argument);
        }
        Ok(Some(match value {
            Value::Object(map) => {
                let mut evaluated = Map::new();
                for (key, member) in map {
                    if let Some(member) = self.evaluate(member)? {
                        evaluated.insert(key.clone(), member);
                    }
                }
                Value::Object(evaluated)
            }
            Value::Array(items) => {
                let mut evaluated = Vec::with_capacity(items.len());
                for item in items {
                    evaluated.extend(self.evaluate(item)?);
                }
                Value::Array(evaluated)
            }
            plain => plain.clone(),
        }))
    }

    fn value(&self, name: &str, value: &Value) -> Result<Value, AwsError> {
        self.evaluate(value)?.ok_or_else(|| malformed(name))
    }

    /// Evaluates to text.
    pub(crate) fn text(&self, name: &str, value: &Value) -> Result<String, AwsError> {
        scalar(&self.value(name, value)?).ok_or_else(|| malformed(name))
    }

    fn list(&self, name: &str, value: &Value) -> Result<Vec<Value>, AwsError> {
        match self.value(name, value)? {
            Value::Array(items) => Ok(items),
            // What is not known yet stays so, whatever is made of it.
            Value::String(text) if text.contains(KNOWN_AFTER_APPLY) => Ok(vec![Value::String(text)]),
            _ => Err(malformed(name)),
        }
    }

    fn call(&self, name: &str, argument: &Value) -> Result<Option<Value>, AwsError> {
        Ok(Some(match name {
            "Ref" => {
                let target = argument.as_str().ok_or_else(|| malformed(name))?;
                if target == "AWS::NoValue" {
                    return Ok(None);
                }
                self.reference(target)?
            }
            "Fn::GetAtt" => {
                let (logical, attribute) = match argument {
                    Value::Array(parts) if parts.len() == 2 => {
                        (self.text(name, &parts[0])?, self.text(name, &parts[1])?)
                    }
                    other => attribute_parts(other).ok_or_else(|| malformed(name))?,
                };
                self.attribute(&logical, &attribute)?
            }
            "Fn::If" => {
                let [condition, yes, no] = arguments(name, argument)?;
                let condition = condition.as_str().ok_or_else(|| malformed(name))?;
                return self.evaluate(if self.condition(condition)? { yes } else { no });
            }
            "Fn::Sub" => Value::String(self.substitute(argument)?),
            "Fn::Join" => {
                let [delimiter, items] = arguments(name, argument)?;
                let items = self.list(name, items)?;
                let texts: Option<Vec<String>> = items.iter().map(scalar).collect();
                Value::String(
                    texts
                        .ok_or_else(|| malformed(name))?
                        .join(&self.text(name, delimiter)?),
                )
            }
            "Fn::Select" => {
                let [index, items] = arguments(name, argument)?;
                let index: usize = self.text(name, index)?.parse().map_err(|_| malformed(name))?;
                let items = self.list(name, items)?;
                items.get(index).cloned().ok_or_else(|| {
                    invalid(format!(
                        "Template error: Fn::Select cannot select nonexistent value at index {index}"
                    ))
                })?
            }
            "Fn::Split" => {
                let [delimiter, text] = arguments(name, argument)?;
                let (delimiter, text) = (self.text(name, delimiter)?, self.text(name, text)?);
                Value::Array(
                    text.split(&delimiter)
                        .map(|part| Value::String(part.to_owned()))
                        .collect(),
                )
            }
            "Fn::Base64" => Value::String(STANDARD.encode(self.text(name, argument)?)),
            "Fn::FindInMap" => {
                let parts = argument
                    .as_array()
                    .filter(|parts| parts.len() >= 3)
                    .ok_or_else(|| malformed(name))?;
                self.find_in_map(
                    &self.text(name, &parts[0])?,
                    &self.text(name, &parts[1])?,
                    &self.text(name, &parts[2])?,
                )?
            }
            "Fn::GetAZs" => {
                let region = Some(self.text(name, argument)?).filter(|text| !text.is_empty());
                let region = region.unwrap_or_else(|| self.place.account.region.clone());
                json!([format!("{region}a"), format!("{region}b"), format!("{region}c")])
            }
            "Fn::ImportValue" => {
                let export = self.text(name, argument)?;
                let value = self.exports.get(&export);
                Value::String(
                    value
                        .cloned()
                        .ok_or_else(|| invalid(format!("No export named {export} found.")))?,
                )
            }
            "Fn::Equals" | "Fn::And" | "Fn::Or" | "Fn::Not" => {
                Value::Bool(self.truth(&json!({ name: argument }))?)
            }
            other => {
                return Err(invalid(format!(
                    "Template error: the function {other} is not known here"
                )));
            }
        }))
    }

    fn reference(&self, target: &str) -> Result<Value, AwsError> {
        let account = &self.place.account;
        Ok(match target {
            "AWS::Region" => json!(account.region),
            "AWS::AccountId" => json!(account.id),
            "AWS::Partition" => json!("aws"),
            "AWS::URLSuffix" => json!("amazonaws.com"),
            "AWS::StackName" => json!(self.place.stack_name),
            "AWS::StackId" => json!(self.place.stack_id),
            "AWS::NotificationARNs" => json!([]),
            name => {
                if let Some(parameter) = self.parameters.get(name) {
                    return Ok(parameter.value());
                }
                self.lookup.reference(name).ok_or_else(|| self.unresolved(name))?
            }
        })
    }

    fn attribute(&self, logical: &str, attribute: &str) -> Result<Value, AwsError> {
        if !self.template.resources.contains_key(logical) {
            return Err(self.unresolved(logical));
        }
        self.lookup.attribute(logical, attribute).ok_or_else(|| {
            invalid(format!(
                "Template error: resource {logical} does not support attribute type {attribute} in Fn::GetAtt"
            ))
        })
    }

    fn unresolved(&self, name: &str) -> AwsError {
        invalid(format!(
            "Template format error: Unresolved resource dependencies [{name}] in the Resources block of the template"
        ))
    }

    fn substitute(&self, argument: &Value) -> Result<String, AwsError> {
        let (text, own) = match argument {
            Value::String(text) => (text.as_str(), None),
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(text), Value::Object(own)] => (text.as_str(), Some(own)),
                _ => return Err(malformed("Fn::Sub")),
            },
            _ => return Err(malformed("Fn::Sub")),
        };
        let Some(regex) = VARIABLE.as_ref() else {
            return Err(malformed("Fn::Sub"));
        };
        let mut failure = None;
        let substituted = regex.replace_all(text, |found: &Captures<'_>| {
            if !found[1].is_empty() {
                return format!("${{{}}}", &found[2]);
            }
            self.variable(found[2].trim(), own).unwrap_or_else(|error| {
                failure.get_or_insert(error);
                String::new()
            })
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(substituted.into_owned()),
        }
    }

    fn variable(&self, name: &str, own: Option<&Map<String, Value>>) -> Result<String, AwsError> {
        if let Some(value) = own.and_then(|own| own.get(name)) {
            return self.text("Fn::Sub", value);
        }
        let value = match name.split_once('.') {
            Some((logical, attribute)) => self.attribute(logical, attribute)?,
            None => self.reference(name)?,
        };
        match value {
            Value::Array(items) => Ok(items.iter().filter_map(scalar).collect::<Vec<_>>().join(",")),
            value => scalar(&value).ok_or_else(|| malformed("Fn::Sub")),
        }
    }

    fn find_in_map(&self, map: &str, top: &str, second: &str) -> Result<Value, AwsError> {
        let found = self
            .template
            .mappings
            .get(map)
            .and_then(|m| m.get(top))
            .and_then(|m| m.get(second));
        found.cloned().ok_or_else(|| {
            invalid(format!(
                "Template error: Unable to get mapping for {map}::{top}::{second}"
            ))
        })
    }

    fn condition(&self, name: &str) -> Result<bool, AwsError> {
        if let Some(decided) = self.conditions.get(name) {
            return Ok(*decided);
        }
        Err(invalid(format!(
            "Template error: unresolved condition dependency {name} in Fn::If"
        )))
    }

    /// Decides an expression of the Conditions or Rules section.
    fn truth(&self, expression: &Value) -> Result<bool, AwsError> {
        let Some((name, argument)) = function(expression) else {
            return scalar(expression)
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| {
                    invalid("Template error: a condition must be a function that is true or false")
                });
        };
        let many = || argument.as_array().ok_or_else(|| malformed(name));
        Ok(match name {
            "Condition" => self.condition(argument.as_str().ok_or_else(|| malformed(name))?)?,
            "Fn::Not" => {
                let [inner] = arguments(name, argument)?;
                !self.truth(inner)?
            }
            "Fn::And" => {
                let mut all = true;
                for inner in many()? {
                    all &= self.truth(inner)?;
                }
                all
            }
            "Fn::Or" => {
                let mut any = false;
                for inner in many()? {
                    any |= self.truth(inner)?;
                }
                any
            }
            "Fn::Equals" => {
                let [left, right] = arguments(name, argument)?;
                let (left, right) = (self.value(name, left)?, self.value(name, right)?);
                match (scalar(&left), scalar(&right)) {
                    (Some(left), Some(right)) => left == right,
                    _ => left == right,
                }
            }
            "Fn::Contains" | "Fn::EachMemberIn" => {
                let [left, right] = arguments(name, argument)?;
                let one = |value| {
                    Ok::<_, AwsError>(match self.value(name, value)? {
                        Value::Array(items) => items,
                        single => vec![single],
                    })
                };
                let (left, right) = (one(left)?, one(right)?);
                let (members, within) = if name == "Fn::Contains" {
                    (right, left)
                } else {
                    (left, right)
                };
                members.iter().all(|member| within.contains(member))
            }
            "Fn::EachMemberEquals" => {
                let [members, value] = arguments(name, argument)?;
                let value = self.value(name, value)?;
                self.list(name, members)?.iter().all(|member| *member == value)
            }
            _ => scalar(&self.value(name, expression)?)
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| malformed(name))?,
        })
    }
}

/// Decides all conditions of a template, and checks its rules.
///
/// # Errors
/// `ValidationError` for a cycle, an unknown name, or a rule that does not hold.
pub(crate) fn decide(
    template: &Template,
    parameters: &Parameters,
    place: &Place,
    exports: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, bool>, AwsError> {
    let mut decided = BTreeMap::new();
    // Conditions refer to one another in any order: as many rounds as there are conditions suffice.
    for _ in 0..=template.conditions.len() {
        let mut next = decided.clone();
        for (name, expression) in &template.conditions {
            let scope = Scope {
                template,
                parameters,
                conditions: &decided,
                place,
                exports,
                lookup: &NoResources,
            };
            if let Ok(value) = scope.truth(expression) {
                next.insert(name.clone(), value);
            }
        }
        if next.len() == decided.len() {
            break;
        }
        decided = next;
    }
    let scope = Scope {
        template,
        parameters,
        conditions: &decided,
        place,
        exports,
        lookup: &NoResources,
    };
    for (name, expression) in &template.conditions {
        if !decided.contains_key(name) {
            scope.truth(expression)?;
        }
    }
    for (name, rule) in &template.rules {
        if let Some(condition) = rule.get("RuleCondition")
            && !scope.truth(condition)?
        {
            continue;
        }
        for assertion in rule
            .get("Assertions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if !scope.truth(assertion.get("Assert").unwrap_or(&Value::Null))? {
                let told = assertion
                    .get("AssertDescription")
                    .and_then(Value::as_str)
                    .unwrap_or("it does not hold");
                return Err(invalid(format!("Template error: rule {name} failed: {told}")));
            }
        }
    }
    Ok(decided)
}

static DYNAMIC: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\{\{resolve:(ssm|ssm-secure|secretsmanager):([^}]+)\}\}").ok());

/// Replaces `{{resolve:ssm:…}}` and `{{resolve:secretsmanager:…}}`. Done right before a call, so that the
/// stack itself only ever keeps the reference.
///
/// # Errors
/// `ValidationError` naming the reference, never a value.
pub(crate) async fn resolve_dynamic(cloud: &dyn Cloud, value: &Value) -> Result<Value, AwsError> {
    let Some(regex) = DYNAMIC.as_ref() else {
        return Ok(value.clone());
    };
    let mut text = value.to_string();
    let found: Vec<(String, String, String)> = regex
        .captures_iter(&text)
        .map(|found| (found[0].to_owned(), found[1].to_owned(), found[2].to_owned()))
        .collect();
    if found.is_empty() {
        return Ok(value.clone());
    }
    let caller = Caller::service("cloudformation.amazonaws.com");
    for (whole, service, reference) in found {
        let failed = |why: &str| invalid(format!("Could not resolve {whole}: {why}"));
        let plain = if service == "secretsmanager" {
            secret(cloud, &caller, &reference)
                .await
                .map_err(|why| failed(&why))?
        } else {
            let input = json!({ "Name": reference, "WithDecryption": true });
            let answer = cloud
                .call(&caller, "ssm", "GetParameter", input)
                .await
                .map_err(|e| failed(&e.to_string()))?;
            let value = answer.pointer("/Parameter/Value").and_then(Value::as_str);
            value
                .map(str::to_owned)
                .ok_or_else(|| failed("the parameter has no value"))?
        };
        let escaped = Value::String(plain).to_string();
        text = text.replace(
            &whole,
            escaped
                .trim_start_matches('"')
                .strip_suffix('"')
                .unwrap_or_default(),
        );
    }
    Ok(serde_json::from_str(&text)?)
}

async fn secret(cloud: &dyn Cloud, caller: &Caller, reference: &str) -> Result<String, String> {
    let parts: Vec<&str> = reference.split(':').collect();
    let id_parts = if reference.starts_with("arn:") { 7 } else { 1 };
    let id = parts.get(..id_parts).unwrap_or_default().join(":");
    let part = |index: usize| {
        parts
            .get(id_parts + index)
            .copied()
            .filter(|text| !text.is_empty())
    };
    let mut input = json!({ "SecretId": id });
    if let Some(stage) = part(2) {
        input["VersionStage"] = json!(stage);
    }
    if let Some(version) = part(3) {
        input["VersionId"] = json!(version);
    }
    let answer = cloud
        .call(caller, "secretsmanager", "GetSecretValue", input)
        .await
        .map_err(|error| error.to_string())?;
    let text = answer
        .get("SecretString")
        .and_then(Value::as_str)
        .ok_or("the secret has no text")?;
    let Some(key) = part(1) else {
        return Ok(text.to_owned());
    };
    let parsed: Value = serde_json::from_str(text).map_err(|_| "the secret is not JSON".to_owned())?;
    parsed
        .get(key)
        .and_then(scalar)
        .ok_or_else(|| format!("the secret has no key {key}"))
}

#[cfg(test)]
mod tests {
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
}
