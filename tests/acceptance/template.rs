//! template.yaml and the code agree: functions, environment variables, failure queues, logs, traces; and the
//! tools that AWS gives accept both templates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use signalbox_local::functions;
use tokio::process::Command;

use crate::tools::run;
use crate::transformed::{APPLICATION, CONTROL_PLANE, Resource, Template, referred};
use crate::world::World;

/// The ways in which `Reader` reads a variable.
const READS: [&str; 4] = [".required", ".optional", ".or", ".list"];

/// The variables that a source text reads: `.required("NAME"`, `.or::<u32>(\n"NAME"`.
fn read_in(source: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (method, (at, _)) in READS
        .iter()
        .flat_map(|it| source.match_indices(it).map(move |at| (it, at)))
    {
        let mut rest = &source[at + method.len()..];
        if rest.starts_with("::<") {
            rest = rest
                .split_once('(')
                .map_or("", |(generic, _)| &rest[generic.len()..]);
        }
        let Some(argument) = rest.strip_prefix('(') else {
            continue;
        };
        let Some(literal) = argument.trim_start().strip_prefix('"') else {
            continue;
        };
        let name = literal.split('"').next().unwrap_or_default();
        if !name.is_empty()
            && name
                .bytes()
                .all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_')
        {
            names.insert(name.to_owned());
        }
    }
    names
}

/// The variables that the Rust files of a directory read, without those that Lambda itself sets.
fn read_below(directory: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(read_below(&path));
        } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            // A file's own tests come last.
            names.extend(read_in(source.split("#[cfg(test)]").next().unwrap()));
        }
    }
    names.retain(|name| !name.starts_with("AWS_"));
    names
}

fn variables((_, function): Resource<'_>) -> BTreeSet<String> {
    let variables = &function["Properties"]["Environment"]["Variables"];
    variables.as_object().unwrap().keys().cloned().collect()
}

/// The crate whose binary a function runs.
fn binary<'a>((name, function): Resource<'a>) -> &'a str {
    let code = &function["Properties"]["Code"];
    assert_eq!(
        code["S3Bucket"], "local-binary",
        "{name} is no binary of this project"
    );
    code["S3Key"].as_str().unwrap()
}

pub(crate) async fn every_variable_that_a_function_reads_is_set_for_it_and_no_other(world: &World) {
    let template = Template::load(world, CONTROL_PLANE).await;
    let project = &world.running.paths.project;
    let by_bootstrap = read_below(&project.join("shared/bootstrap/src"));
    assert!(
        by_bootstrap.contains("LOG_LEVEL"),
        "the scan finds nothing: {by_bootstrap:?}"
    );
    let functions = template.functions();
    let shared = functions
        .iter()
        .map(|it| variables(*it))
        .reduce(|a, b| a.intersection(&b).cloned().collect());
    let mut unread = shared.clone().unwrap();
    for function in functions {
        let (name, set) = (function.0, variables(function));
        let mut read = read_below(&project.join("functions").join(binary(function)).join("src"));
        read.extend(by_bootstrap.iter().cloned());
        let manifest = std::fs::read_to_string(
            project
                .join("functions")
                .join(binary(function))
                .join("Cargo.toml"),
        );
        if manifest.unwrap().contains("signalbox-slack") {
            read.extend(read_below(&project.join("shared/slack/src")));
        }
        let missing: Vec<_> = read.difference(&set).collect();
        assert!(
            missing.is_empty(),
            "{name} reads {missing:?}, which template.yaml does not set"
        );
        let own: BTreeSet<_> = set.difference(shared.as_ref().unwrap()).cloned().collect();
        let useless: Vec<_> = own.difference(&read).collect();
        assert!(
            useless.is_empty(),
            "template.yaml sets {useless:?} for {name}, which does not read them"
        );
        unread.retain(|variable| !read.contains(variable));
    }
    assert!(
        unread.is_empty(),
        "template.yaml sets {unread:?} for all, and nobody reads them"
    );
}

pub(crate) async fn every_crate_of_functions_is_in_the_template_and_no_other(world: &World) {
    let template = Template::load(world, CONTROL_PLANE).await;
    let deployed: BTreeSet<&str> = template.functions().into_iter().map(binary).collect();
    let crates = functions::names(&world.running.paths.project).unwrap();
    assert_eq!(deployed, crates.iter().map(String::as_str).collect());
}

/// The functions that something invokes and does not wait for: targets of rules, hooks, jobs.
fn is_asynchronous(template: &Template, name: &str) -> bool {
    // What only answers requests has a URL.
    !template
        .of_type("AWS::Lambda::Url")
        .any(|(_, url)| referred(&url["Properties"]["TargetFunctionArn"]) == Some(name))
}

/// Whether a schedule invokes the function, and nothing else does.
fn is_scheduled(template: &Template, name: &str) -> bool {
    let mut rules = template.of_type("AWS::Events::Rule").filter(|(_, rule)| {
        let targets = rule["Properties"]["Targets"].as_array().unwrap();
        targets
            .iter()
            .any(|target| referred(&target["Arn"]) == Some(name))
    });
    let first = rules.next();
    first.is_some_and(|(_, rule)| !rule["Properties"]["ScheduleExpression"].is_null())
        && rules.next().is_none()
}

pub(crate) async fn every_function_keeps_logs_for_a_time_and_sends_traces(world: &World) {
    for file in [CONTROL_PLANE, APPLICATION] {
        let template = Template::load(world, file).await;
        for (name, function) in template.functions() {
            let properties = &function["Properties"];
            assert_eq!(
                properties["TracingConfig"]["Mode"], "Active",
                "{name} sends no traces"
            );
            let group = referred(&properties["LoggingConfig"]["LogGroup"]);
            let group =
                template.resource(group.unwrap_or_else(|| panic!("{name} has no log group of its own")));
            assert!(
                !group["Properties"]["RetentionInDays"].is_null(),
                "{name}'s logs are kept for ever"
            );
        }
    }
}

pub(crate) async fn what_an_asynchronous_function_fails_at_is_kept(world: &World) {
    let template = Template::load(world, CONTROL_PLANE).await;
    let destinations: BTreeMap<&str, &Value> = template
        .of_type("AWS::Lambda::EventInvokeConfig")
        .map(|(_, config)| {
            (
                referred(&config["Properties"]["FunctionName"]).unwrap(),
                &config["Properties"],
            )
        })
        .collect();
    let mut asynchronous = 0;
    for (name, function) in template.functions() {
        if !is_asynchronous(&template, name) {
            assert!(
                !destinations.contains_key(name.as_str()),
                "{name} is invoked by requests only"
            );
            continue;
        }
        asynchronous += 1;
        assert!(
            function["Properties"]["DeadLetterConfig"].is_null(),
            "{name} has a dead-letter queue beside its on-failure destination: each failure would stand there twice"
        );
        let config = destinations
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} has no EventInvokeConfig"));
        // A schedule comes again by itself, and a retry would only run beside it.
        let retries = if is_scheduled(&template, name) { 0 } else { 2 };
        assert_eq!(config["MaximumRetryAttempts"], retries, "{name}");
        let failed = referred(&config["DestinationConfig"]["OnFailure"]["Destination"]);
        let failed = failed.unwrap_or_else(|| panic!("{name} has no on-failure destination"));
        let queue = template.resource(failed);
        assert_eq!(queue["Type"], "AWS::SQS::Queue", "{name}");
        assert_eq!(
            queue["Properties"]["MessageRetentionPeriod"], 1_209_600,
            "{name}: the longest that SQS keeps"
        );
        // And somebody hears of it, without any function's help.
        let alarm = template
            .of_type("AWS::CloudWatch::Alarm")
            .find(|(_, alarm)| referred(&alarm["Properties"]["Dimensions"][0]["Value"]) == Some(failed));
        let (alarm, properties) = alarm.unwrap_or_else(|| panic!("nobody hears what {name} fails at"));
        let topic = referred(&properties["Properties"]["AlarmActions"][0]);
        let topic = template.resource(topic.unwrap_or_else(|| panic!("{alarm} tells nobody")));
        assert_eq!(topic["Type"], "AWS::SNS::Topic");
    }
    assert!(
        asynchronous >= 7,
        "only {asynchronous} functions count as asynchronous"
    );
}

pub(crate) async fn what_a_rule_cannot_hand_over_is_kept(world: &World) {
    let template = Template::load(world, CONTROL_PLANE).await;
    let policies: Vec<_> = template.of_type("AWS::SQS::QueuePolicy").collect();
    let mut rules = 0;
    for (name, rule) in template.of_type("AWS::Events::Rule") {
        rules += 1;
        let scheduled = !rule["Properties"]["ScheduleExpression"].is_null();
        assert!(
            scheduled || rule["Properties"]["EventPattern"]["account"].is_array(),
            "{name} takes other accounts' events"
        );
        for target in rule["Properties"]["Targets"].as_array().unwrap() {
            let retries = if scheduled { 3 } else { 185 };
            assert_eq!(target["RetryPolicy"]["MaximumRetryAttempts"], retries, "{name}");
            let queue =
                referred(&target["DeadLetterConfig"]["Arn"]).unwrap_or_else(|| panic!("{name} has no queue"));
            let may_send = policies.iter().any(|(_, policy)| {
                let properties = &policy["Properties"];
                referred(&properties["Queues"][0]) == Some(queue)
                    && properties["PolicyDocument"]
                        .to_string()
                        .contains("events.amazonaws.com")
            });
            assert!(
                may_send,
                "{queue} does not let EventBridge in, so {name} loses what it cannot hand over"
            );
        }
    }
    assert!(rules >= 5, "only {rules} rules");
}

pub(crate) async fn every_parameter_says_what_it_is_and_what_it_may_be(world: &World) {
    const CONSTRAINTS: [&str; 6] = [
        "AllowedValues",
        "AllowedPattern",
        "MinLength",
        "MaxLength",
        "MinValue",
        "MaxValue",
    ];
    for file in [CONTROL_PLANE, APPLICATION] {
        let template = Template::load(world, file).await;
        for (name, parameter) in template.parameters() {
            let described = parameter["Description"]
                .as_str()
                .is_some_and(|text| text.len() >= 10);
            assert!(described, "{file}: {name} has no description");
            let constrained = CONSTRAINTS
                .iter()
                .any(|constraint| !parameter[*constraint].is_null());
            // Types such as List<AWS::EC2::Subnet::Id> are constraints themselves.
            let typed = parameter["Type"]
                .as_str()
                .is_some_and(|kind| kind.contains("AWS::"));
            assert!(constrained || typed, "{file}: {name} may be anything");
            let explained =
                parameter["AllowedPattern"].is_null() || parameter["ConstraintDescription"].is_string();
            assert!(
                explained,
                "{file}: whoever gives a wrong {name} is shown a regular expression"
            );
        }
    }
}

pub(crate) async fn cfn_lint_finds_nothing_in_either_template(world: &World) {
    let mut command = Command::new(world.running.tools.venv.join("bin/cfn-lint"));
    command
        .args([CONTROL_PLANE, APPLICATION])
        .current_dir(&world.running.paths.project);
    let said = run(&mut command, "").await;
    assert!(
        said.succeeded && said.out.trim().is_empty(),
        "{}{}",
        said.out,
        said.err
    );
}

pub(crate) async fn the_scan_for_variables_finds_each_way_of_reading_one(_: &World) {
    let source = "env.required(\"A\", \"x\"); env.or::<u32>(\n  \"B_2\", 3, \"y\"); env.list::<Vec<T>>(\"C\"); \
                  option.or(other); text.required(\"lower\"); env.optional(\"D\", \"z\")";
    assert_eq!(read_in(source), ["A", "B_2", "C", "D"].map(str::to_owned).into());
}
