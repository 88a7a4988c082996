//! The engines speak as AWS's own service models say: every operation that an engine names is driven by
//! boto3, which checks inputs and reads answers by the model, and the gateway refuses an answer that leaves
//! it. An operation that no script drives fails the suite, and so does an error, whoever meets it, that the
//! model does not list for its operation.

use std::collections::BTreeSet;
use std::io::Write;

use serde_json::Value;
use tokio::process::Command;

use crate::tools::{run, with_aws};
use crate::world::World;

/// The gateway's own: a function URL is no operation of Lambda's API.
const PSEUDO: &str = "InvokeFunctionUrl";

/// What each service must be seen to refuse, at least, in AWS's typed errors.
const REFUSALS: usize = 3;

/// What the engine of a service names, without the gateway's own.
fn named(world: &World, service: &str) -> BTreeSet<String> {
    let engines = world.running.cloud.operations();
    let (_, operations) = engines.iter().find(|(name, _)| *name == service).unwrap();
    operations
        .iter()
        .filter(|name| **name != PSEUDO)
        .map(|name| (*name).to_owned())
        .collect()
}

pub(crate) async fn every_operation_of_an_engine_is_one_of_awss_model(world: &World) {
    let engines = world.running.cloud.operations();
    assert_eq!(
        engines.len(),
        7,
        "each engine has a script of its own below: {engines:?}"
    );
    for (service, _) in engines {
        let model = world.running.cloud.models().get(service).unwrap();
        let unknown: Vec<String> = named(world, service)
            .into_iter()
            .filter(|name| !model.has_operation(name))
            .collect();
        assert!(
            unknown.is_empty(),
            "AWS's {service} has no operations {unknown:?}"
        );
    }
}

/// Whether all that the engines refused so far, in the shared cloud and in the rollbacks', was refused by codes that
/// AWS's models list; says which were not. To be asked at the end.
pub(crate) fn every_error_is_listed(world: &World) -> bool {
    let rollbacks = world.rollbacks.get().map(|rollbacks| &rollbacks.running);
    let clouds = [Some(&world.running), rollbacks].into_iter().flatten();
    let unlisted: BTreeSet<_> = clouds
        .flat_map(|running| running.cloud.models().unlisted())
        .collect();
    let mut out = std::io::stdout().lock();
    for one in &unlisted {
        let _ = writeln!(
            out,
            "the {} engine answered {} with {}, which AWS's model does not list for it",
            one.service, one.operation, one.code
        );
    }
    unlisted.is_empty()
}

pub(crate) async fn the_emulator_serves_many_callers_at_once(world: &World) {
    let project = &world.running.paths.project;
    let mut command = Command::new(&world.running.tools.python);
    command
        .arg(project.join("tests/acceptance/python/emulator_at_once.py"))
        .arg(project.join("local/python/moto_launcher.py"));
    let said = run(&mut command, "").await;
    assert!(said.succeeded, "{}", said.err);
    let report: Value = serde_json::from_str(said.out.trim()).unwrap();
    assert!(report["calls"].as_u64().unwrap() >= 500, "{report}");
    assert_eq!(report["wrong"], serde_json::json!([]));
}

/// Runs the script of a service; compares what it drove with what the engine names.
async fn drive(world: &World, service: &str) {
    let script = world
        .running
        .paths
        .project
        .join(format!("tests/acceptance/python/{service}.py"));
    let mut command = with_aws(world, Command::new(&world.running.tools.python));
    let suffix: String = uuid::Uuid::new_v4()
        .simple()
        .to_string()
        .chars()
        .take(8)
        .collect();
    command.arg(script).env("SIGNALBOX_SUFFIX", suffix);
    let said = run(&mut command, "").await;
    assert!(said.succeeded, "{service}.py failed:\n{}", said.err);
    let report: Value = serde_json::from_str(said.out.trim()).unwrap();
    let texts = |value: &Value| -> BTreeSet<String> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()
    };
    let (driven, named) = (texts(&report["exercised"]), named(world, service));
    let missed: Vec<_> = named.difference(&driven).collect();
    assert!(
        missed.is_empty(),
        "{service}.py drives no {missed:?}, which the engine names"
    );
    let more: Vec<_> = driven.difference(&named).collect();
    assert!(
        more.is_empty(),
        "the {service} engine answered {more:?}, which it does not name"
    );
    let refusals: BTreeSet<&str> = report["errors"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|error| error["exception"].as_str())
        .collect();
    assert!(
        refusals.len() >= REFUSALS,
        "{service}.py meets only the errors {refusals:?}"
    );
}

pub(crate) async fn boto3_drives_every_operation_of_codepipeline(world: &World) {
    drive(world, "codepipeline").await;
}

pub(crate) async fn boto3_drives_every_operation_of_codebuild(world: &World) {
    drive(world, "codebuild").await;
}

pub(crate) async fn boto3_drives_every_operation_of_codedeploy(world: &World) {
    drive(world, "codedeploy").await;
}

pub(crate) async fn boto3_drives_every_operation_of_lambda(world: &World) {
    drive(world, "lambda").await;
}

pub(crate) async fn boto3_drives_every_operation_of_cloudwatch(world: &World) {
    drive(world, "cloudwatch").await;
}

pub(crate) async fn boto3_drives_every_operation_of_eventbridge(world: &World) {
    drive(world, "events").await;
}

pub(crate) async fn boto3_drives_every_operation_of_cloudformation(world: &World) {
    drive(world, "cloudformation").await;
}
