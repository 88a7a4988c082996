//! Taking a function's permissions away, one at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use signalbox_local::running::Running;
use tokio::time::{sleep, timeout};

use crate::world::Answer;

/// What a function does without, and goes on; its log has the refusal. Function, action, why that is right.
const GOES_ON: [(&str, &str, &str); 11] = [
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
        "roll-back",
        "codepipeline:GetPipeline",
        "the alias is back, and the notice says that the stack does not follow by itself, and why",
    ),
    (
        "roll-back",
        "codepipeline:ListPipelineExecutions",
        "as GetPipeline",
    ),
    ("roll-back", "codepipeline:GetPipelineExecution", "as GetPipeline"),
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
    ("after-traffic", "cloudwatch:PutMetricData", "as before-traffic"),
    ("after-traffic", "dynamodb:PutItem", "as before-traffic"),
    ("validate-job", "cloudwatch:PutMetricData", "as before-traffic"),
    (
        "request-approval",
        "cloudformation:DescribeChangeSet",
        "the request says that the changes are not known: the approver decides with that before them",
    ),
];

/// Granted, and met by no drive of its function: function, action, why.
const NOT_MET: [(&str, &str, &str); 2] = [
    (
        "before-traffic",
        "codedeploy:GetApplicationRevision",
        "where AWS names a deployment's revision by its digest alone, which the local CodeDeploy does not do",
    ),
    (
        "after-traffic",
        "codedeploy:GetApplicationRevision",
        "as before-traffic",
    ),
];

/// What came of all of it.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// What does not fail closed.
    amiss: Vec<String>,
    /// By the function's short name, and the action.
    granted: BTreeSet<(String, String)>,
    met: BTreeSet<(String, String)>,
}

impl Turns {
    /// Each permission was asked for while it was denied, or is listed, and everything fails closed.
    pub(crate) fn assert_closed(mut self) {
        let mut listed = BTreeSet::new();
        for (function, action) in self.granted.difference(&self.met) {
            let at = NOT_MET
                .iter()
                .position(|(of, one, _)| of == function && one == action);
            match at {
                Some(at) => drop(listed.insert(at)),
                None => self
                    .amiss
                    .push(format!("no drive of {function} asks for {action}")),
            }
        }
        for (at, (function, action, _)) in NOT_MET.iter().enumerate() {
            if !listed.contains(&at) {
                self.amiss.push(format!(
                    "{function} {action} is listed as met by no drive, and is met"
                ));
            }
        }
        assert!(self.amiss.is_empty(), "{:#?}", self.amiss);
    }
}

/// A function, and its role with one action denied.
pub(crate) struct Denied<'a> {
    running: &'a Running,
    pub(crate) function: String,
    role: String,
}

impl<'a> Denied<'a> {
    pub(crate) async fn of(running: &'a Running, function: &str) -> Self {
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

    /// Lets the next invocation begin with nothing remembered, such as a policy: a changed function gets new
    /// environments.
    async fn forget(&self) {
        let input = json!({
            "FunctionName": self.function, "Description": uuid::Uuid::new_v4().to_string(),
        });
        let changed = self
            .running
            .call("lambda", "UpdateFunctionConfiguration", input)
            .await;
        changed.unwrap();
    }

    /// How often the action was asked for in vain.
    pub(crate) fn refusals(&self, action: &str) -> u64 {
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

    /// The function's name in the template's terms, such as `sweep`.
    fn short_name(&self) -> String {
        let name = self.function.splitn(3, '-').nth(2);
        name.unwrap_or(&self.function).to_owned()
    }

    /// Takes each permission away, drives the function, and gives the permission back. `drive` answers what the
    /// function said, and what it did that it must not do without `action`.
    pub(crate) async fn in_turn(
        &self,
        turns: &mut Turns,
        mut drive: impl AsyncFnMut(&str) -> (Answer, Option<String>),
    ) {
        let name = self.short_name();
        for action in self.actions() {
            let turn = (name.clone(), action.clone());
            turns.granted.insert(turn.clone());
            if turns.met.contains(&turn) {
                continue;
            }
            self.deny(&action).await;
            self.forget().await;
            let (answer, harm) = drive(&action).await;
            self.allow().await;
            if self.refusals(&action) == 0 {
                continue;
            }
            turns.met.insert(turn);
            let goes_on = GOES_ON
                .iter()
                .any(|(function, one, _)| name == *function && *one == action);
            let text = answer.text();
            let mut amiss = |what: String| turns.amiss.push(format!("{name} without {action}{what}"));
            if !answer.failed && !text.contains(&action) && !goes_on {
                amiss(format!(" answers {text}"));
            }
            if !text.contains(&action) && !self.logs(&action).await {
                amiss(" says so nowhere".to_owned());
            }
            if let Some(harm) = harm.filter(|_| !goes_on) {
                amiss(format!(": {harm}"));
            }
        }
    }
}
