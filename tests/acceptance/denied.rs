//! Hazard 99: each permission of each function is taken away in turn, by an explicit deny on its role, in a cloud that
//! nothing else uses. Whatever then asks for it fails closed: it says which permission is missing, and what it could
//! not make sure of does not happen.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use signalbox_local::running::Running;
use tokio::time::{sleep, timeout};

use crate::approvals::{Visitor, ask, upload};
use crate::privileges;
use crate::rollback_cloud::{RollbackCloud, cloud};
use crate::rollback_group::Group;
use crate::runs::{self, asked, status};
use crate::source::{manual, put};
use crate::validation::asked_by_codedeploy;
use crate::validation_site;
use crate::world::{Answer, MANUAL, World, package, until};

/// What a function does without, and goes on; its log has the refusal. Function, action, why that is right.
const GOES_ON: [(&str, &str, &str); 4] = [
    (
        "request-approval",
        "codepipeline:ListPipelineExecutions",
        "the request says that it is not known what is live: the approver decides with that before them",
    ),
    (
        "roll-back",
        "codepipeline:ListActionExecutions",
        "only the mark of the run is lost: a bad version does not stay because nobody knows whose it is",
    ),
    (
        "before-traffic",
        "cloudwatch:PutMetricData",
        "the verdict rests on what was measured, not on its publication",
    ),
    (
        "before-traffic",
        "dynamodb:PutItem",
        "the verdict rests on what was measured; its report is in the log",
    ),
];

/// A function, and its role with one action denied.
struct Denied<'a> {
    running: &'a Running,
    function: String,
    role: String,
}

impl<'a> Denied<'a> {
    async fn of(running: &'a Running, function: &str) -> Self {
        let input = json!({ "FunctionName": function });
        let answer = running
            .call("lambda", "GetFunctionConfiguration", input)
            .await
            .unwrap();
        Self {
            running,
            function: function.to_owned(),
            role: answer["Role"].as_str().unwrap().to_owned(),
        }
    }

    /// What its role allows, without what Lambda itself does with the role.
    fn actions(&self) -> Vec<String> {
        let grants = self.running.cloud.policies().grants(&self.role);
        let actions: BTreeSet<String> = grants.into_iter().map(|grant| grant.action).collect();
        let is_lambdas = |action: &String| {
            action.starts_with("logs:Create") || action.starts_with("logs:Put") || action == "sqs:SendMessage"
        };
        actions
            .into_iter()
            .filter(|action| !is_lambdas(action) && !action.starts_with("xray:"))
            .collect()
    }

    fn name(&self) -> &str {
        self.role.rsplit('/').next().unwrap()
    }

    async fn deny(&self, action: &str) {
        let document = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Deny", "Action": action, "Resource": "*" },
        ]});
        let input = json!({
            "RoleName": self.name(), "PolicyName": "denied", "PolicyDocument": document.to_string(),
        });
        self.running.call("iam", "PutRolePolicy", input).await.unwrap();
    }

    async fn allow(&self) {
        let input = json!({ "RoleName": self.name(), "PolicyName": "denied" });
        self.running.call("iam", "DeleteRolePolicy", input).await.unwrap();
    }

    /// How often the action was asked for in vain.
    fn refusals(&self, action: &str) -> u64 {
        let usage = self.running.cloud.policies().usage();
        usage
            .iter()
            .filter(|one| one.role == self.role && one.action == action && !one.allowed)
            .map(|one| one.calls)
            .sum()
    }

    /// Whether the function's log comes to have the refusal: it arrives a little later than the answer.
    async fn logs(&self, action: &str) -> bool {
        let group = format!("/aws/lambda/{}", self.function);
        let arrived = async {
            while !self.log(&group).await.contains(action) {
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(Duration::from_secs(20), arrived).await.is_ok()
    }

    async fn log(&self, group: &str) -> String {
        let mut text = String::new();
        let mut input = json!({ "logGroupName": group });
        loop {
            let page = self.running.call("logs", "FilterLogEvents", input.clone()).await;
            let page = page.unwrap();
            for event in page["events"].as_array().unwrap() {
                text.push_str(event["message"].as_str().unwrap());
            }
            match page["nextToken"].as_str() {
                Some(token) => input["nextToken"] = json!(token),
                None => return text,
            }
        }
    }

    /// Takes each permission away, drives the function, and gives the permission back. `drive` answers what the
    /// function said, and what it did that it must not do without `action`.
    async fn in_turn(&self, mut drive: impl AsyncFnMut(&str) -> (Answer, Option<String>)) -> Vec<String> {
        let mut amiss = Vec::new();
        let mut met = 0;
        for action in self.actions() {
            self.deny(&action).await;
            let (answer, harm) = drive(&action).await;
            self.allow().await;
            if self.refusals(&action) == 0 {
                continue;
            }
            let goes_on = GOES_ON
                .iter()
                .any(|(function, one, _)| self.function.ends_with(function) && *one == action);
            let answer_text = answer.text();
            if !answer.failed && !answer_text.contains(&action) && !goes_on {
                amiss.push(format!(
                    "{} without {action} answers {answer_text}",
                    self.function
                ));
            }
            if !answer_text.contains(&action) && !self.logs(&action).await {
                amiss.push(format!("{} without {action} says so nowhere", self.function));
            }
            if let Some(harm) = harm.filter(|_| !goes_on) {
                amiss.push(format!("{} without {action}: {harm}", self.function));
            }
            met += 1;
        }
        assert!(met > 0, "{} asked for nothing of what was denied", self.function);
        amiss
    }
}

pub(crate) async fn h99_each_permission_denied_in_turn_fails_closed(_: &World) {
    let world = World::start().await.unwrap();
    privileges::expect_refusals(&world.running);
    // While little is open: a sweep looks at all of it.
    let mut amiss = sweeps(&world).await;
    amiss.extend(starts(&world).await);
    amiss.extend(requests(&world).await);
    amiss.extend(answers(&world).await);
    amiss.extend(tracks(&world).await);
    let rollbacks = cloud(&world).await;
    privileges::expect_refusals(&rollbacks.running);
    amiss.extend(sweeps_deployments(&rollbacks).await);
    amiss.extend(rolls_back(&rollbacks).await);
    amiss.extend(validates(&world).await);
    world.stop().await;
    assert!(amiss.is_empty(), "{amiss:#?}");
}

async fn starts(world: &World) -> Vec<String> {
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
    denied.in_turn(drive).await
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
async fn requests(world: &World) -> Vec<String> {
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
    let amiss = denied.in_turn(drive).await;
    world.running.call("events", "EnableRule", rule).await.unwrap();
    amiss
}

async fn answers(world: &World) -> Vec<String> {
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
    denied.in_turn(drive).await
}

async fn tracks(world: &World) -> Vec<String> {
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
    denied.in_turn(drive).await
}

async fn sweeps(world: &World) -> Vec<String> {
    let denied = Denied::of(&world.running, &world.function("sweep")).await;
    ask(world).await;
    denied
        .in_turn(async |_: &str| (world.invoke("sweep", &json!({})).await, None))
        .await
}

async fn rolls_back(rollbacks: &Arc<RollbackCloud>) -> Vec<String> {
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
    denied.in_turn(drive).await
}

/// Beside a deployment whose alarm is red, and of which nobody has heard.
async fn sweeps_deployments(rollbacks: &Arc<RollbackCloud>) -> Vec<String> {
    let denied = Denied::of(&rollbacks.running, "signalbox-staging-sweep").await;
    let drive = async |_: &str| {
        let group = Group::held(rollbacks).await;
        let open = group.in_flight(1, 2).await;
        group.alarm().await;
        let input = json!({ "FunctionName": denied.function });
        let answer = rollbacks.call("lambda", "Invoke", input).await;
        if group.status(&open).await == "InProgress" {
            group.stop(&open).await;
        }
        (Answer::of(&answer), None)
    };
    denied.in_turn(drive).await
}

async fn validates(world: &World) -> Vec<String> {
    let site = validation_site::site_alone(world).await;
    let denied = Denied::of(&world.running, validation_site::BEFORE).await;
    let drive = async |_: &str| {
        let (begun, event) = asked_by_codedeploy(world, &site).await;
        let answer = world.invoke_named(validation_site::BEFORE, &event).await;
        let live = site.live().await;
        let harm = (live == begun.1).then(|| "the version got its traffic".to_owned());
        let stop = json!({ "deploymentId": begun.0 });
        let _ = world.running.call("codedeploy", "StopDeployment", stop).await;
        site.end(begun).await;
        (answer, harm)
    };
    denied.in_turn(drive).await
}
