//! A Lambda deployment's AppSpec: which function and alias, from which version to which.
//!
//! CloudFormation writes JSON, people write YAML, and every JSON document is YAML.

use std::collections::BTreeMap;

use serde::Deserialize;
use signalbox_decision::names::{FunctionName, VersionNumber};
use signalbox_decision::text::shown;

use crate::envelope::EventError;

/// What a Lambda deployment moves
/// (CodeDeploy user guide, "AppSpec 'resources' section").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSpec {
    /// The function.
    pub function: FunctionName,
    /// The alias whose traffic moves.
    pub alias: String,
    /// The version that the traffic leaves; absent for a first deployment.
    pub current: Option<VersionNumber>,
    /// The version that the traffic goes to.
    pub target: VersionNumber,
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "Resources", alias = "resources")]
    resources: Vec<BTreeMap<String, Resource>>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(rename = "Properties", alias = "properties")]
    properties: Properties,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(rename = "Name", alias = "name")]
    name: FunctionName,
    #[serde(rename = "Alias", alias = "alias")]
    alias: String,
    #[serde(rename = "CurrentVersion", alias = "currentversion", default)]
    current: Option<Number>,
    #[serde(rename = "TargetVersion", alias = "targetversion")]
    target: Number,
}

/// Versions are written with and without quotes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Text(String),
    Plain(u64),
}

impl Number {
    fn version(&self) -> Result<VersionNumber, EventError> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::Plain(number) => number.to_string(),
        };
        VersionNumber::new(text).map_err(|error| EventError::field(WHAT, "Resources[0].*.Properties", error))
    }
}

const WHAT: &str = "AppSpec";

impl AppSpec {
    /// Reads an AppSpec's text.
    ///
    /// # Errors
    /// What is missing or malformed. More than one resource is refused: CodeDeploy takes exactly one.
    pub fn parse(text: &str) -> Result<Self, EventError> {
        let document: Document = serde_yaml_ng::from_str(text).map_err(|error| EventError::Json {
            what: WHAT,
            // A parser's error repeats what it read, which anybody may have written.
            problem: shown(&error.to_string(), 200),
        })?;
        let mut resources = document.resources.into_iter().flat_map(BTreeMap::into_values);
        let (Some(Resource { properties }), None) = (resources.next(), resources.next()) else {
            return Err(EventError::field(
                WHAT,
                "Resources",
                "must name exactly one function",
            ));
        };
        Ok(Self {
            current: properties.current.as_ref().map(Number::version).transpose()?,
            target: properties.target.version()?,
            function: properties.name,
            alias: properties.alias,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cloudformations_json_and_a_persons_yaml_are_the_same() {
        let json = r#"{"version":0.0,"Resources":[{"f":{"Type":"AWS::Lambda::Function","Properties":
            {"Name":"app","Alias":"live","CurrentVersion":"3","TargetVersion":"4"}}}]}"#;
        let yaml = "version: 0.0\nResources:\n  - f:\n      Type: AWS::Lambda::Function\n      Properties:\n        Name: app\n        Alias: live\n        CurrentVersion: 3\n        TargetVersion: 4\n";
        let spec = AppSpec::parse(json).unwrap();
        assert_eq!(spec, AppSpec::parse(yaml).unwrap());
        assert_eq!((spec.current.unwrap().as_str(), spec.target.as_str()), ("3", "4"));
    }

    #[test]
    fn an_error_shows_no_control_characters_and_stays_short() {
        let text = format!(r#"{{"Resources":"\u001b[31m\r\n{}"}}"#, "x".repeat(1000));
        let error = AppSpec::parse(&text).unwrap_err().to_string();
        assert!(!error.contains(char::is_control) && error.len() < 300, "{error}");
    }

    #[test]
    fn two_resources_are_refused() {
        let two = r#"{"Resources":[{"a":{"Properties":{"Name":"a","Alias":"l","TargetVersion":"1"}}},
            {"b":{"Properties":{"Name":"b","Alias":"l","TargetVersion":"1"}}}]}"#;
        assert!(AppSpec::parse(two).is_err());
    }
}
