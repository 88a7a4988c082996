//! The AppSpec of a Lambda deployment, in YAML or JSON.

use serde_json::{Map, Value, json};

/// What one deployment does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AppSpec {
    pub(crate) function: String,
    pub(crate) alias: String,
    pub(crate) current_version: String,
    pub(crate) target_version: String,
    pub(crate) before_allow_traffic: Option<String>,
    pub(crate) after_allow_traffic: Option<String>,
}

/// A member, however its first letter is written: AWS's own examples have both.
fn member<'v>(object: &'v Value, name: &str) -> Option<&'v Value> {
    object
        .as_object()?
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// Versions are written with and without quotation marks.
fn text(properties: &Value, name: &str) -> Result<String, String> {
    match member(properties, name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        _ => Err(format!("the function's properties lack {name}")),
    }
}

fn only_entry(map: &Map<String, Value>) -> Option<(&String, &Value)> {
    let mut entries = map.iter();
    match (entries.next(), entries.next()) {
        (Some(entry), None) => Some(entry),
        _ => None,
    }
}

impl AppSpec {
    /// # Errors
    /// What is wrong with it, for people.
    pub(crate) fn parse(content: &str) -> Result<Self, String> {
        let spec: Value = serde_yaml_ng::from_str(content)
            .map_err(|error| format!("it is neither YAML nor JSON: {error}"))?;
        let resource = match member(&spec, "Resources")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
        {
            Some([Value::Object(resource)]) => only_entry(resource),
            _ => None,
        };
        let Some((_, resource)) = resource else {
            return Err("it must list exactly one resource".to_owned());
        };
        if member(resource, "Type").and_then(Value::as_str) != Some("AWS::Lambda::Function") {
            return Err("the resource's Type must be AWS::Lambda::Function".to_owned());
        }
        let properties = member(resource, "Properties").ok_or("the resource lacks Properties")?;
        let mut parsed = Self {
            function: text(properties, "Name")?,
            alias: text(properties, "Alias")?,
            current_version: text(properties, "CurrentVersion")?,
            target_version: text(properties, "TargetVersion")?,
            before_allow_traffic: None,
            after_allow_traffic: None,
        };
        for hook in member(&spec, "Hooks")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            for (event, function) in hook.as_object().into_iter().flatten() {
                let function = function.as_str().map(str::to_owned);
                match event.as_str() {
                    "BeforeAllowTraffic" => parsed.before_allow_traffic = function,
                    "AfterAllowTraffic" => parsed.after_allow_traffic = function,
                    other => return Err(format!("{other} is no hook of a Lambda deployment")),
                }
            }
        }
        Ok(parsed)
    }

    /// The AppSpec that takes this one back; without hooks, for a rollback asks nobody.
    pub(crate) fn reversed(&self) -> Self {
        Self {
            function: self.function.clone(),
            alias: self.alias.clone(),
            current_version: self.target_version.clone(),
            target_version: self.current_version.clone(),
            before_allow_traffic: None,
            after_allow_traffic: None,
        }
    }

    pub(crate) fn to_content(&self) -> String {
        json!({
            "version": 0.0,
            "Resources": [{"TargetFunction": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Name": self.function, "Alias": self.alias,
                    "CurrentVersion": self.current_version, "TargetVersion": self.target_version,
                },
            }}],
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_and_json_say_the_same() {
        let yaml = "version: 0.0\nResources:\n  - fn:\n      Type: AWS::Lambda::Function\n      Properties:\n        Name: \"f\"\n        \
                    Alias: live\n        CurrentVersion: 1\n        TargetVersion: \"2\"\nHooks:\n  - BeforeAllowTraffic: \"CodeDeployHook_b\"\n  \
                    - AfterAllowTraffic: \"CodeDeployHook_a\"\n";
        let json = json!({
            "version": 0.0,
            "Resources": [{"fn": {"Type": "AWS::Lambda::Function",
                "Properties": {"Name": "f", "Alias": "live", "CurrentVersion": "1", "TargetVersion": "2"}}}],
            "Hooks": [{"BeforeAllowTraffic": "CodeDeployHook_b"}, {"AfterAllowTraffic": "CodeDeployHook_a"}],
        });
        let spec = AppSpec::parse(yaml).unwrap();
        assert_eq!(spec, AppSpec::parse(&json.to_string()).unwrap());
        assert_eq!(
            (spec.current_version.as_str(), spec.target_version.as_str()),
            ("1", "2")
        );
        assert_eq!(spec.before_allow_traffic.as_deref(), Some("CodeDeployHook_b"));
    }

    #[test]
    fn the_way_back_reads_like_any_other() {
        let there = AppSpec {
            function: "f".to_owned(),
            alias: "live".to_owned(),
            current_version: "1".to_owned(),
            target_version: "2".to_owned(),
            before_allow_traffic: Some("CodeDeployHook_b".to_owned()),
            after_allow_traffic: None,
        };
        let back = AppSpec::parse(&there.reversed().to_content()).unwrap();
        assert_eq!(back, there.reversed());
        assert_eq!(
            (back.target_version.as_str(), back.before_allow_traffic),
            ("1", None)
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (content, reason) in [
            ("{", "neither YAML nor JSON"),
            ("version: 0.0", "exactly one resource"),
            (
                r#"{"Resources": [{"a": {"Type": "AWS::ECS::Service"}}]}"#,
                "must be AWS::Lambda::Function",
            ),
            (
                r#"{"Resources": [{"a": {"Type": "AWS::Lambda::Function", "Properties": {"Name": "f"}}}]}"#,
                "lack Alias",
            ),
        ] {
            let refused = AppSpec::parse(content).unwrap_err();
            assert!(refused.contains(reason), "{content}: {refused}");
        }
    }
}
