//! Whatever people do to a pipeline, in whatever order: one execution to a stage, nothing runs in an
//! execution that has ended, events agree with states, and nobody is stuck in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use signalbox_local_core::{Caller, Engine};

use crate::world::{PIPELINE, World, action, last_stage};

/// A small generator with a seed, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        // Knuth's MMIX constants.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

const STAGES: [&str; 3] = ["Source", "Build", "Approval"];

async fn all(world: &World, operation: &str, member: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut input = json!({ "pipelineName": PIPELINE });
    loop {
        let page = world.call(operation, input.clone()).await;
        found.extend(page[member].as_array().unwrap().iter().cloned());
        match page.get("nextToken") {
            Some(token) => input["nextToken"] = token.clone(),
            None => return found,
        }
    }
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap().to_owned()
}

async fn check(world: &World, parallel: bool) {
    let executions = all(world, "ListPipelineExecutions", "pipelineExecutionSummaries").await;
    let status: BTreeMap<String, String> = executions
        .iter()
        .map(|run| (text(run, "pipelineExecutionId"), text(run, "status")))
        .collect();
    let mut inside: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for action in all(world, "ListActionExecutions", "actionExecutionDetails").await {
        if action["status"] == "InProgress" {
            let run = text(&action, "pipelineExecutionId");
            assert!(
                ["InProgress", "Stopping"].contains(&status[&run].as_str()),
                "{action} runs in {}",
                status[&run]
            );
            inside.entry(text(&action, "stageName")).or_default().insert(run);
        }
    }
    for (stage, runs) in inside {
        assert!(parallel || runs.len() == 1, "{stage} holds {runs:?}");
    }
}

/// Whatever the engine answers: a refusal is as good as a success here.
async fn attempt(world: &World, operation: &str, input: Value) {
    let _ = world.engine.call(&Caller::Admin, operation, input).await;
}

async fn act(world: &World, dice: &mut Dice, runs: &mut Vec<String>) {
    let run = if runs.is_empty() {
        String::new()
    } else {
        runs[dice.below(runs.len())].clone()
    };
    let stage = STAGES[dice.below(3)];
    let on_run = json!({ "pipelineName": PIPELINE, "pipelineExecutionId": run });
    let with = |more: Value| {
        let mut input = on_run.clone();
        input
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        input
    };
    match dice.below(10) {
        0..=2 => {
            let answer = world
                .engine
                .call(
                    &Caller::Admin,
                    "StartPipelineExecution",
                    json!({ "name": PIPELINE }),
                )
                .await;
            runs.extend(answer.ok().map(|answer| text(&answer, "pipelineExecutionId")));
        }
        3 => {
            attempt(
                world,
                "StopPipelineExecution",
                with(json!({ "abandon": dice.below(2) == 0 })),
            )
            .await;
        }
        4 => {
            let mode = ["FAILED_ACTIONS", "ALL_ACTIONS"][dice.below(2)];
            attempt(
                world,
                "RetryStageExecution",
                with(json!({ "stageName": stage, "retryMode": mode })),
            )
            .await;
        }
        5 => {
            let input =
                json!({ "pipelineName": PIPELINE, "stageName": stage, "targetPipelineExecutionId": run });
            attempt(world, "RollbackStage", input).await;
        }
        6 => {
            let operation = ["DisableStageTransition", "EnableStageTransition"][dice.below(2)];
            let input = json!({
                "pipelineName": PIPELINE, "stageName": stage, "transitionType": "Inbound", "reason": "test",
            });
            attempt(world, operation, input).await;
        }
        7 => answer_all(world, ["Approved", "Rejected"][dice.below(2)]).await,
        8 => world.end_builds(["SUCCEEDED", "FAILED"][dice.below(2)]),
        _ => tokio::time::sleep(Duration::from_millis(250)).await,
    }
}

async fn answer_all(world: &World, status: &str) {
    for action in all(world, "ListActionExecutions", "actionExecutionDetails").await {
        if action["actionName"] == "Approve" && action["status"] == "InProgress" {
            let input = json!({
                "pipelineName": PIPELINE, "stageName": "Approval", "actionName": "Approve",
                "token": action["output"]["executionResult"]["externalExecutionId"],
                "result": { "status": status, "summary": "" },
            });
            world.call("PutApprovalResult", input).await;
        }
    }
}

async fn nobody_is_stuck(world: &World) {
    for stage in STAGES {
        let input = json!({ "pipelineName": PIPELINE, "stageName": stage, "transitionType": "Inbound" });
        world.call("EnableStageTransition", input).await;
    }
    // Each round takes at least one execution a stage further.
    for _ in 0..60 {
        world.end_builds("SUCCEEDED");
        answer_all(world, "Approved").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for run in all(world, "ListPipelineExecutions", "pipelineExecutionSummaries").await {
        let id = text(&run, "pipelineExecutionId");
        let expected = match run["status"].as_str().unwrap() {
            ended @ ("Succeeded" | "Failed" | "Stopped" | "Superseded") => ended.to_uppercase(),
            other => panic!("{id} is still {other}"),
        };
        let events = world.events(&id);
        let last = events
            .iter()
            .rev()
            .find(|event| event.starts_with("pipeline "))
            .unwrap();
        assert_eq!(*last, format!("pipeline {expected}"));
        assert_eq!(
            events.iter().filter(|event| *event == "pipeline STARTED").count(),
            1
        );
    }
}

async fn play(mode: &'static str, seed: u64) {
    let world = World::new(|pipeline| {
        pipeline["executionMode"] = json!(mode);
        let failure = if mode == "PARALLEL" { "RETRY" } else { "ROLLBACK" };
        pipeline["stages"][1]["onFailure"] = json!({ "result": failure });
        last_stage(
            pipeline,
            "Approval",
            &[action("Approve", "Approval", "Manual", &json!({}))],
        );
    })
    .await;
    world.hold_builds(true);
    let mut dice = Dice(seed);
    let mut runs = Vec::new();
    for _ in 0..60 {
        act(&world, &mut dice, &mut runs).await;
        check(&world, mode == "PARALLEL").await;
    }
    nobody_is_stuck(&world).await;
}

#[tokio::test(start_paused = true)]
async fn superseded_pipelines_keep_their_promises() {
    for seed in 0..4 {
        play("SUPERSEDED", seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn queued_pipelines_keep_their_promises() {
    for seed in 0..4 {
        play("QUEUED", seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn parallel_pipelines_keep_their_promises() {
    for seed in 0..4 {
        play("PARALLEL", seed).await;
    }
}
