//! `docs/configuration.md`, from the template and from the functions' sources: what they say is what is meant.

mod variables;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_yaml_ng::{Mapping, Value};

use variables::Variable;

/// Where the text is, below the project.
const FILE: &str = "docs/configuration.md";

const HEAD: &str = "<!-- Written by `cargo run --bin xtask -- configuration` from template.yaml and the functions' \
                    sources; a test fails where it is out of date. -->\n\n\
                    # Configuration\n\n\
                    Everything that can be set. A stack is set by its parameters; they become the environment \
                    variables of its functions, which nobody sets by hand. A function reads its variables once, at \
                    its start, and reports everything that is wrong with them at once, in its log.\n";

/// Writes the text anew.
pub(crate) fn run() -> io::Result<()> {
    let project = project();
    let text = text(&project)?;
    let file = project.join(FILE);
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(file, text)
}

fn project() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

fn text(project: &Path) -> io::Result<String> {
    let template = fs::read_to_string(project.join("template.yaml"))?;
    let template: Value = serde_yaml_ng::from_str(&template).map_err(io::Error::other)?;
    let mut out = HEAD.to_owned();
    out.push_str("\n## The stack's parameters\n\nOf `template.yaml`, one stack for each environment.\n");
    parameters(&mut out, &template);
    out.push_str(
        "\n## The functions' environment variables\n\nSet by the stack. *Required* ones have no default in the code; \
         an empty variable is an unset one.\n",
    );
    functions(&mut out, &template, project)?;
    Ok(out)
}

// Writing into a string cannot fail.

fn parameters(out: &mut String, template: &Value) {
    let Some(parameters) = template.get("Parameters").and_then(Value::as_mapping) else {
        return;
    };
    let groups = template
        .get("Metadata")
        .and_then(|it| it.get("AWS::CloudFormation::Interface")?.get("ParameterGroups"));
    let mut left: Vec<&str> = parameters.keys().filter_map(Value::as_str).collect();
    for group in groups.and_then(Value::as_sequence).into_iter().flatten() {
        let label = group.get("Label").and_then(|it| it.get("default")?.as_str());
        let names = group.get("Parameters").and_then(Value::as_sequence);
        let names: Vec<&str> = names.into_iter().flatten().filter_map(Value::as_str).collect();
        left.retain(|name| !names.contains(name));
        section(out, label.unwrap_or("Others"), &names, parameters);
    }
    if !left.is_empty() {
        section(out, "Others", &left, parameters);
    }
}

fn section(out: &mut String, label: &str, names: &[&str], parameters: &Mapping) {
    let _ = writeln!(
        out,
        "\n### {}\n\n| parameter | default | may be | meaning |\n|---|---|---|---|",
        prose(label)
    );
    for name in names {
        let Some(parameter) = parameters.get(*name) else {
            continue;
        };
        let description = parameter.get("Description").and_then(Value::as_str);
        let _ = writeln!(
            out,
            "| `{name}` | {} | {} | {} |",
            default(parameter),
            allowed(parameter),
            prose(description.unwrap_or_default())
        );
    }
}

fn default(parameter: &Value) -> String {
    match parameter.get("Default") {
        None => "*required*".to_owned(),
        Some(value) if value.as_str() == Some("") => "*empty*".to_owned(),
        Some(value) => code(&plain(value)),
    }
}

fn allowed(parameter: &Value) -> String {
    let of = |name: &str| parameter.get(name).map(plain);
    if let Some(values) = parameter.get("AllowedValues").and_then(Value::as_sequence) {
        let values: Vec<String> = values.iter().map(|value| code(&plain(value))).collect();
        return values.join(", ");
    }
    if let Some(constraint) = of("ConstraintDescription") {
        return prose(constraint.trim_end_matches('.'));
    }
    match (of("MinValue"), of("MaxValue"), of("MinLength"), of("MaxLength")) {
        (Some(least), Some(most), ..) => format!("{least} to {most}"),
        (_, _, Some(least), Some(most)) => format!("{least} to {most} characters"),
        (.., Some(most)) => format!("at most {most} characters"),
        _ => String::new(),
    }
}

fn functions(out: &mut String, template: &Value, project: &Path) -> io::Result<()> {
    let by_all = variables::read_below(&project.join("shared/bootstrap/src"))?;
    let slack = variables::read_below(&project.join("shared/slack/src"))?;
    let globals = template
        .get("Globals")
        .and_then(|it| it.get("Function")?.get("Environment")?.get("Variables"));
    let resources = template.get("Resources").and_then(Value::as_mapping);
    let functions = resources
        .into_iter()
        .flat_map(Mapping::values)
        .filter(|it| it.get("Type").and_then(Value::as_str) == Some("AWS::Serverless::Function"))
        .filter_map(|function| function.get("Properties"));
    // Functions that run one binary with the same variables share a section.
    let mut sections: Vec<(Vec<String>, String)> = Vec::new();
    for properties in functions {
        let Some(binary) = properties
            .get("CodeUri")
            .and_then(Value::as_str)
            .and_then(|uri| uri.strip_suffix("/bootstrap.zip")?.rsplit('/').next())
        else {
            continue;
        };
        let mut known = variables::read_below(&project.join("functions").join(binary).join("src"))?;
        known.extend(by_all.clone());
        let manifest = fs::read_to_string(project.join("functions").join(binary).join("Cargo.toml"))?;
        if manifest.contains("signalbox-slack") {
            known.extend(slack.clone());
        }
        let own = properties.get("Environment").and_then(|it| it.get("Variables"));
        let table = table(&[globals, own], &known);
        let name = properties.get("FunctionName").map(plain).unwrap_or_default();
        let name = name.replace("${Environment}", "{environment}");
        let last = sections.iter_mut().find(|(_, known)| *known == table);
        match last {
            Some((names, _)) => names.push(name),
            None => sections.push((vec![name], table)),
        }
    }
    for (names, table) in sections {
        let names: Vec<String> = names.iter().map(|name| code(name)).collect();
        let _ = write!(out, "\n### {}\n\n{table}", names.join(", "));
    }
    Ok(())
}

fn table(sets: &[Option<&Value>], known: &BTreeMap<String, Variable>) -> String {
    let mut out = "| variable | set by | default | meaning |\n|---|---|---|---|\n".to_owned();
    for (name, value) in sets.iter().flatten().filter_map(|set| set.as_mapping()).flatten() {
        let name = plain(name);
        // What is set for all is not read by each.
        let Some(variable) = known.get(&name) else {
            continue;
        };
        let default = variable.default.as_deref();
        let default = default.map_or_else(|| "*required*".to_owned(), shown);
        let meaning = prose(&variable.meaning);
        let _ = writeln!(out, "| `{name}` | {} | {default} | {meaning} |", set_by(value));
    }
    out
}

/// A default of the code: an expression, or nothing.
fn shown(default: &str) -> String {
    if default.is_empty() {
        "*none*".to_owned()
    } else {
        code(default)
    }
}

/// Where a variable's value comes from: parameters, else resources, else the value itself.
fn set_by(value: &Value) -> String {
    let mut names = Vec::new();
    referred(value, &mut names);
    if names.is_empty() {
        return code(&plain(value));
    }
    names.dedup();
    let names: Vec<String> = names.iter().map(|name| code(name)).collect();
    names.join(", ")
}

/// What `!Ref`, `!GetAtt` and `!Sub` name; of an `!If`, what stands in it.
fn referred(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Tagged(tagged) if tagged.tag == "Ref" || tagged.tag == "GetAtt" => {
            names.push(plain(&tagged.value));
        }
        Value::Tagged(tagged) if tagged.tag == "Sub" && names.is_empty() => {
            names.push(plain(&tagged.value).replace("${Environment}", "{environment}"));
        }
        // A name by convention is no reference to speak of, where a parameter stands beside it.
        Value::Tagged(tagged) if tagged.tag == "Sub" => {}
        Value::Tagged(tagged) => {
            let branches = tagged.value.as_sequence().into_iter().flatten().skip(1);
            branches.for_each(|branch| referred(branch, names));
        }
        _ => {}
    }
}

/// A scalar as text, tagged or not.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Tagged(tagged) => plain(&tagged.value),
        _ => String::new(),
    }
}

/// Text in a table: bars would end the cell, and angle brackets would be HTML.
fn prose(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").trim().to_owned()
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

#[cfg(test)]
mod tests;
