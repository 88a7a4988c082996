//! The documents agree with what they are about.

use super::*;

#[test]
fn the_configurations_document_is_up_to_date() {
    let project = project();
    let written = fs::read_to_string(project.join(FILE)).unwrap_or_default();
    assert!(
        written == text(&project).unwrap(),
        "{FILE} is out of date: `cargo run --bin xtask -- configuration` writes it"
    );
}

#[test]
fn every_variable_has_a_meaning() {
    let text = text(&project()).unwrap();
    let without: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("| `") && line.ends_with("|  |"))
        .collect();
    // `HOOK`-like ones are read in a way that the scan does not know, or not at all.
    assert!(without.is_empty(), "no meaning was found for {without:#?}");
}

/// The logical names of a template's resources of a type.
fn resources(file: &str, kind: &str) -> Vec<(String, Value)> {
    let text = fs::read_to_string(project().join(file)).unwrap();
    let template: Value = serde_yaml_ng::from_str(&text).unwrap();
    let all = template["Resources"].as_mapping().unwrap().clone();
    all.into_iter()
        .filter(|(_, it)| it["Type"] == kind)
        .map(|(name, it)| (plain(&name), it["Properties"].clone()))
        .collect()
}

/// The headings of the runbooks that speak of `name`.
fn is_in_a_heading(runbooks: &str, name: &str) -> bool {
    runbooks
        .lines()
        .any(|line| line.starts_with("### ") && line.contains(&format!("`{name}`")))
}

#[test]
fn every_alarm_and_every_dead_letter_queue_has_its_runbook() {
    let runbooks = fs::read_to_string(project().join("docs/operations.md")).unwrap();
    let mut missing = Vec::new();
    for file in ["template.yaml", "templates/lambda-deployment-template.yaml"] {
        for (kind, property) in [
            ("AWS::CloudWatch::Alarm", "AlarmName"),
            ("AWS::CloudWatch::CompositeAlarm", "AlarmName"),
            ("AWS::SQS::Queue", "QueueName"),
        ] {
            for (_, properties) in resources(file, kind) {
                let name = plain(&properties[property])
                    .replace("${ControlPlaneName}", "signalbox")
                    .replace("${Environment}", "{environment}")
                    .replace("${FunctionName}", "{function}");
                if !is_in_a_heading(&runbooks, &name) {
                    missing.push(format!("{file}: {name}"));
                }
            }
        }
    }
    // Those of Terraform: the keys of a map, each with a description.
    let file = "infrastructure/modules/pipeline/alarms.tf";
    let text = fs::read_to_string(project().join(file)).unwrap();
    let keys: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("    ")?.strip_suffix(" = {"))
        .filter(|key| !key.starts_with(' '))
        .collect();
    assert!(keys.contains(&"pipeline-failed"), "{keys:?}");
    for key in keys {
        if !is_in_a_heading(&runbooks, &format!("signalbox-{{environment}}-{key}")) {
            missing.push(format!("{file}: {key}"));
        }
    }
    assert!(
        missing.is_empty(),
        "docs/operations.md has no section for {missing:#?}"
    );
}
