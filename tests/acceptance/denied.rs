//! Hazard 99: each permission of each function is taken away in turn, by an explicit deny on its role, in a cloud that
//! nothing else uses. Whatever then asks for it fails closed: it says which permission is missing, and what it could
//! not make sure of does not happen.

use std::sync::Arc;

use serde_json::{Value, json};
use signalbox_decision::rollback::mapping::GROUP_TAG;
use signalbox_local::running::Running;
use signalbox_local::sample::Behaviour;

use crate::approvals::{Visitor, ask, upload};
use crate::denied_turns::{Denied, Turns};
use crate::privileges;
use crate::rollback_cloud::{RollbackCloud, cloud};
use crate::rollback_group::Group;
use crate::rollback_pipeline::Production;
use crate::runs::{self, asked, status};
use crate::site::{Plan, Site};
use crate::source::{manual, put};
use crate::validation_asked::{AskedJob, asked_by_codedeploy};
use crate::validation_site::{self, Order};
use crate::world::{ANN, Answer, BEN, MANUAL, World, package, until};

pub(crate) async fn h99_each_permission_denied_in_turn_fails_closed(_: &World) {
    let world = World::start().await.unwrap();
    privileges::expect_refusals(&world.running);
    let mut turns = Turns::default();
    sweep_only_when_asked(&world.running, &world.installed.environment).await;
    // While little is open: a sweep looks at all of it.
    sweeps(&world, &mut turns).await;
    starts(&world, &mut turns).await;
    requests(&world, &mut turns).await;
    answers(&world, &mut turns).await;
    tracks(&world, &mut turns).await;
    let rollbacks = cloud(&world).await;
    privileges::expect_refusals(&rollbacks.running);
    sweep_only_when_asked(&rollbacks.running, "staging").await;
    sweeps_deployments(&rollbacks, &mut turns).await;
    rolls_back(&rollbacks, &mut turns).await;
    rolls_back_a_pipeline(&rollbacks, &mut turns).await;
    validates(&world, &mut turns).await;
    answers_of_runs_side_by_side(&world, &mut turns).await;
    requests_behind_change_sets(&world, &mut turns).await;
    world.stop().await;
    turns.assert_closed();
}

async fn sweep_only_when_asked(running: &Running, environment: &str) {
    let rule = json!({ "Name": format!("signalbox-{environment}-sweep") });
    running.call("events", "DisableRule", rule).await.unwrap();
}

async fn starts(world: &World, turns: &mut Turns) {
    let denied = Denied::of(&world.running, &world.function("start-run")).await;
    let branch = format!("source/denied{MANUAL}package.zip");
    let drive = async |action: &str| {
        // A package that starts a run, one that is built only, and one that is refused.
        let mut last = None;
        for (key, bytes) in [
            (manual("denied"), package()),
            (branch.clone(), package()),
            (manual("denied"), b"no package".to_vec()),
        ] {
            let stored = put(world, &key, bytes).await;
            let event = stored.event(world, "0055AED6DCD90281E5");
            let answer = world.invoke("start-run", &event).await;
            let runs = world.runs_of(&stored.version).await;
            let is_refused = denied.refusals(action) > 0;
            last = Some((answer, (!runs.is_empty()).then(|| format!("it started {runs:?}"))));
            if is_refused {
                break;
            }
        }
        last.unwrap()
    };
    denied.in_turn(turns, drive).await;
}

/// The event that told of something about a run.
async fn told(world: &World, detail_type: &str, run: &str, word: &str) -> Value {
    until(&format!("an event with {word} of {run}"), async || {
        let seen = world.running.events.events_seen();
        seen.into_iter().find(|event| {
            event["detail-type"] == detail_type
                && event["detail"]["execution-id"] == run
                && event.to_string().contains(word)
        })
    })
    .await
}

/// Nobody but this trial asks for approval: what starts an approval reaches no function by itself.
async fn requests(world: &World, turns: &mut Turns) {
    let denied = Denied::of(&world.running, &world.function("request-approval")).await;
    let rule = json!({ "Name": world.function("approval-started") });
    world
        .running
        .call("events", "DisableRule", rule.clone())
        .await
        .unwrap();
    let drive = async |_: &str| {
        let run = world.run_of(&upload(world, "Round the totals").await).await;
        asked(world, &run, 1).await;
        let event = told(
            world,
            "CodePipeline Action Execution State Change",
            &run,
            "\"Approval\"",
        )
        .await;
        let answer = world.invoke("request-approval", &event).await;
        // Out of the way, for the next run that comes.
        runs::answer(world, &run, 1, "Rejected").await;
        (answer, None)
    };
    denied.in_turn(turns, drive).await;
    world.running.call("events", "EnableRule", rule).await.unwrap();
}

async fn answers(world: &World, turns: &mut Turns) {
    let denied = Denied::of(&world.running, &world.function("answer-approval")).await;
    let drive = async |_: &str| {
        let asked = ask(world).await;
        let visitor = Visitor::new(world);
        let (mut code, mut page) = visitor.get(&asked.ann).await;
        if code.is_success() {
            (code, page) = visitor.decide(&asked.ann, "approve", "").await;
        }
        let status = status(world, &asked.run).await;
        let harm = (status == "Succeeded").then(|| "the run was approved".to_owned());
        let failed = !code.is_success();
        (
            Answer {
                payload: json!(page),
                failed,
            },
            harm,
        )
    };
    denied.in_turn(turns, drive).await;
}

async fn tracks(world: &World, turns: &mut Turns) {
    let denied = Denied::of(&world.running, &world.function("track-run")).await;
    let drive = async |_: &str| {
        let asked = ask(world).await;
        let event = told(
            world,
            "CodePipeline Pipeline Execution State Change",
            &asked.run,
            "STARTED",
        )
        .await;
        (world.invoke("track-run", &event).await, None)
    };
    denied.in_turn(turns, drive).await;
}

async fn sweeps(world: &World, turns: &mut Turns) {
    let denied = Denied::of(&world.running, &world.function("sweep")).await;
    let policy = json!({
        "version": 1, "approvers": [{ "email": ANN }, { "email": BEN }], "reminders": ["PT1S"],
    });
    let input = json!({
        "Name": format!("/signalbox/{}/approval-policy", world.installed.environment), "Type": "String",
        "Overwrite": true, "Value": policy.to_string(),
    });
    world.running.call("ssm", "PutParameter", input).await.unwrap();
    ask(world).await;
    let drive = async |action: &str| {
        if action != "sns:Publish" {
            return (world.invoke("sweep", &json!({})).await, None);
        }
        // Somebody of whom nobody has been reminded, once it is time.
        ask(world).await;
        let answer = until("a reminder", async || {
            let answer = world.invoke("sweep", &json!({})).await;
            (denied.refusals(action) > 0).then_some(answer)
        });
        (answer.await, None)
    };
    denied.in_turn(turns, drive).await;
}

async fn rolls_back(rollbacks: &Arc<RollbackCloud>, turns: &mut Turns) {
    let denied = Denied::of(&rollbacks.running, "signalbox-staging-roll-back").await;
    let drive = async |action: &str| {
        let group = Group::held(rollbacks).await;
        let bad = group.in_flight(1, 2).await;
        group.alarm().await;
        let event = rollbacks.raised(&group.alarm).await;
        let mut answer = rollbacks.answer(&event).await;
        if group.status(&bad).await == "InProgress" {
            group.stop(&bad).await;
        }
        let mut harm = answer
            .text()
            .contains("ignored")
            .then(|| "it took the alarm for nothing".to_owned());
        if denied.refusals(action) == 0 {
            // Then by a person's command, after the canary.
            harm = None;
            group.until_free().await;
            group.deployed(1, 3).await;
            let commands = [
                json!({ "command": "roll-back", "version": "1", "group": group.name }),
                json!({ "command": "freeze", "stage": "Test" }),
                json!({ "command": "unfreeze", "stage": "Test" }),
                json!({ "command": "status" }),
            ];
            for mut command in commands {
                if command["command"] != "status" {
                    command["by"] = json!("ann@example.com");
                    command["reason"] = json!("customers call");
                }
                answer = rollbacks.answer(&command).await;
                if denied.refusals(action) > 0 {
                    break;
                }
            }
        }
        (answer, harm)
    };
    denied.in_turn(turns, drive).await;
}

/// Beside a deployment whose alarm is red, and of which nobody has heard.
async fn sweeps_deployments(rollbacks: &Arc<RollbackCloud>, turns: &mut Turns) {
    let denied = Denied::of(&rollbacks.running, "signalbox-staging-sweep").await;
    let drive = async |action: &str| {
        let group = Group::held(rollbacks).await;
        let open = group.in_flight(1, 2).await;
        match action {
            "cloudwatch:ListTagsForResource" => {
                tagged_alarm(rollbacks, &rollbacks.installed.function, &group.name).await;
            }
            _ => group.alarm().await,
        }
        let input = json!({ "FunctionName": denied.function });
        let answer = rollbacks.call("lambda", "Invoke", input).await;
        if group.status(&open).await == "InProgress" {
            group.stop(&open).await;
        }
        (Answer::of(&answer), None)
    };
    denied.in_turn(turns, drive).await;
}

/// A red alarm of the application that only its tag links to the group; its name.
async fn tagged_alarm(rollbacks: &RollbackCloud, application: &str, group: &str) -> String {
    let name = format!("{application}-{}", uuid::Uuid::new_v4().simple());
    rollbacks
        .make_alarm(&name, json!([{ "Key": GROUP_TAG, "Value": group }]))
        .await;
    rollbacks.set_alarm(&name, "ALARM").await;
    name
}

/// After a run's release, in a pipeline whose stacks go back with their aliases.
async fn rolls_back_a_pipeline(rollbacks: &Arc<RollbackCloud>, turns: &mut Turns) {
    let production = Production::install(rollbacks.clone()).await;
    let denied = Denied::of(&rollbacks.running, "signalbox-production-roll-back").await;
    // The drive hands the events over.
    let rule = json!({ "Name": "signalbox-production-alarm-raised" });
    rollbacks.call("events", "DisableRule", rule).await;
    sweep_only_when_asked(&rollbacks.running, "production").await;
    let mut released = 0;
    let mut release = async || {
        released += 1;
        let transition = json!({
            "pipelineName": production.installed.pipeline, "stageName": "Release", "transitionType": "Inbound",
        });
        rollbacks
            .call("codepipeline", "EnableStageTransition", transition)
            .await;
        let good = format!("1.{released}.0");
        production.release(&good, Behaviour::Good).await;
    };
    release().await;
    let drive = async |_: &str| {
        release().await;
        let group = format!("{}-live", production.installed.function);
        let alarm = tagged_alarm(rollbacks, &production.installed.function, &group).await;
        let event = rollbacks.raised(&alarm).await;
        let answer = rollbacks.answer_of(&denied.function, &event).await;
        rollbacks.set_alarm(&alarm, "OK").await;
        until("the stack to stand still", async || {
            production.stack_version().await
        })
        .await;
        (answer, None)
    };
    denied.in_turn(turns, drive).await;
}

async fn validates(world: &World, turns: &mut Turns) {
    let site = validation_site::site_alone(world).await;
    let mut policy = validation_site::policy();
    // Nobody but the checks asks anything of the versions here: there is nothing to wait for.
    policy["canary"]["wait_seconds"] = json!(1);
    site.set_policy(&policy.to_string()).await;
    for (hook, function) in [
        ("BeforeAllowTraffic", validation_site::BEFORE),
        ("AfterAllowTraffic", validation_site::AFTER),
    ] {
        let denied = Denied::of(&world.running, function).await;
        let drive = async |action: &str| {
            // Only a canary is analysed.
            let order = match action {
                "cloudwatch:GetMetricData" => Order::canary(Behaviour::Good),
                _ => Order::before(Behaviour::Good),
            };
            let (begun, event) = asked_by_codedeploy(world, &site, hook, order).await;
            let answer = world.invoke_named(function, &event).await;
            let stop = json!({ "deploymentId": begun.0 });
            let _ = world.running.call("codedeploy", "StopDeployment", stop).await;
            let ended = site.end(begun).await;
            let harm = (ended.status == "Succeeded").then(|| "the version was let through".to_owned());
            (answer, harm)
        };
        denied.in_turn(turns, drive).await;
    }
    let denied = Denied::of(&world.running, validation_site::JOB).await;
    let drive = async |action: &str| {
        let mut last = None;
        // One that watches, over several calls, and one that fails.
        for parameters in [
            json!({ "checks": ["invocation", "error-handling", "logs"], "watch_seconds": 1 }),
            json!({ "checks": "everything" }),
        ] {
            let mut job = AskedJob::begin(world, &site, &parameters).await;
            loop {
                let event = job.next(world).await;
                let answer = world.invoke_named(validation_site::JOB, &event).await;
                let goes_on = answer.text().contains("the job goes on");
                last = Some(answer);
                if !goes_on || denied.refusals(action) > 0 {
                    break;
                }
            }
            if denied.refusals(action) > 0 {
                let status = job.status(world).await;
                let harm = (status == "Succeeded").then(|| "the action succeeded".to_owned());
                return (last.unwrap(), harm);
            }
        }
        (last.unwrap(), None)
    };
    denied.in_turn(turns, drive).await;
}

/// In a pipeline of parallel runs, where the approval's state is asked for by the run.
async fn answers_of_runs_side_by_side(world: &World, turns: &mut Turns) {
    let plan = Plan {
        environment: "beside",
        mode: "PARALLEL",
        policy: json!({ "version": 1, "approvers": [{ "email": ANN }] }),
        slack: None,
    };
    let site = Site::make(world, plan).await;
    let denied = Denied::of(&world.running, &site.function("answer-approval")).await;
    let drive = async |_: &str| {
        let run = site.start(world).await;
        let url = site.link(world, ANN, &run).await;
        // The pipeline's state shows the newest.
        let newest = site.start(world).await;
        site.link(world, ANN, &newest).await;
        let (status, page) = Visitor::new(world).get(&url).await;
        site.assert_open(world, &run).await;
        let answer = Answer {
            payload: json!(page),
            failed: !status.is_success(),
        };
        (answer, None)
    };
    denied.in_turn(turns, drive).await;
}

/// In a pipeline that prepares a change set, and whose policy rejects what is superseded.
async fn requests_behind_change_sets(world: &World, turns: &mut Turns) {
    let plan = Plan {
        environment: "behind",
        mode: "QUEUED",
        policy: json!({ "version": 1, "approvers": [{ "email": ANN }], "superseded": "reject" }),
        slack: None,
    };
    let site = Site::make(world, plan).await;
    site.prepare_a_change_set(world).await;
    let denied = Denied::of(&world.running, &site.function("request-approval")).await;
    let drive = async |_: &str| {
        let first = site.start(world).await;
        site.link(world, ANN, &first).await;
        let newer = site.start(world).await;
        site.waits_behind(world, &newer).await;
        let kind = "CodePipeline Action Execution State Change";
        let event = told(world, kind, &first, "\"Approval\"").await;
        let answer = world.invoke_named(&denied.function, &event).await;
        // The first is rejected where nothing was refused.
        if site.status(world, &first).await == "InProgress" {
            site.stop(world, &first).await;
        }
        site.stop(world, &newer).await;
        (answer, None)
    };
    denied.in_turn(turns, drive).await;
}
