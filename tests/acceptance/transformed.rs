//! The project's templates as CloudFormation executes them: through AWS's own translator of SAM.

use serde_json::{Map, Value, json};
use tokio::process::Command;

use crate::tools::run;
use crate::world::World;

pub(crate) const CONTROL_PLANE: &str = "template.yaml";
pub(crate) const APPLICATION: &str = "templates/lambda-deployment-template.yaml";

/// A template in its long form.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) file: &'static str,
    body: Value,
}

/// A resource, with its logical name.
pub(crate) type Resource<'a> = (&'a String, &'a Value);

impl Template {
    /// Reads and transforms a template; a mistake that the translator finds fails the test.
    pub(crate) async fn load(world: &World, file: &'static str) -> Self {
        let project = &world.running.paths.project;
        let text = std::fs::read_to_string(project.join(file)).unwrap();
        let parameters = json!({ "Environment": "staging" });
        let request = json!({ "template": text, "region": "us-east-1", "parameters": parameters });
        let mut command = Command::new(&world.running.tools.python);
        command
            .arg(project.join("local/python/transform.py"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        let said = run(&mut command, &request.to_string()).await;
        assert!(said.succeeded, "transform.py failed: {}", said.err);
        let answer: Value = serde_json::from_str(&said.out).unwrap();
        assert!(
            answer["errors"].is_null(),
            "{file} is refused: {}",
            answer["errors"]
        );
        Self {
            file,
            body: answer["template"].clone(),
        }
    }

    fn part(&self, name: &str) -> &Map<String, Value> {
        self.body[name]
            .as_object()
            .unwrap_or_else(|| panic!("{} has no {name}", self.file))
    }

    /// All parameters.
    pub(crate) fn parameters(&self) -> &Map<String, Value> {
        self.part("Parameters")
    }

    /// A resource by its logical name.
    pub(crate) fn resource(&self, name: &str) -> &Value {
        self.part("Resources")
            .get(name)
            .unwrap_or_else(|| panic!("{} has no resource {name}", self.file))
    }

    /// The resources of a type.
    pub(crate) fn of_type<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = Resource<'a>> {
        self.part("Resources")
            .iter()
            .filter(move |(_, resource)| resource["Type"] == kind)
    }

    /// The functions, which there must be.
    pub(crate) fn functions(&self) -> Vec<Resource<'_>> {
        let functions: Vec<_> = self.of_type("AWS::Lambda::Function").collect();
        assert!(!functions.is_empty(), "{} has no function", self.file);
        functions
    }
}

/// The logical name that an intrinsic refers to: `Ref`, `Fn::GetAtt`.
pub(crate) fn referred(value: &Value) -> Option<&str> {
    value["Ref"]
        .as_str()
        .or_else(|| value["Fn::GetAtt"][0].as_str())
        .or_else(|| {
            let dotted = value["Fn::GetAtt"].as_str()?;
            dotted.split('.').next()
        })
}

/// A value or a list of values, as policies write either.
pub(crate) fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}
