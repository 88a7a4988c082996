//! The functions: there, able to run, and the hooks under names that CodeDeploy may call.

use std::collections::HashMap;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::types::{LastUpdateStatus, State};
use futures::future::join_all;
use signalbox_bootstrap::aws_failure;

use super::check::Check;
use super::finding::Finding;
use super::stack::{Function, Template};
use crate::access::Cloud;

/// CodeDeploy's managed role may invoke functions of this name only.
/// <https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html>
pub(super) const HOOK_PREFIX: &str = "CodeDeployHook_";

/// The functions as they are deployed.
#[derive(Debug, Default)]
pub(super) struct Deployed {
    /// By whole name.
    functions: HashMap<String, Found>,
}

#[derive(Debug, Default)]
struct Found {
    arn: String,
    variables: HashMap<String, String>,
}

impl Deployed {
    fn find(&self, name: &str) -> Option<&Found> {
        let end = format!("-{name}");
        let mut functions = self.functions.iter();
        let found = functions.find(|(whole, _)| *whole == name || whole.ends_with(&end));
        found.map(|(_, function)| function)
    }

    /// A variable of the function whose name ends so; set, and not empty.
    pub(super) fn variable(&self, function: &str, name: &str) -> Option<String> {
        let value = self.find(function)?.variables.get(name)?;
        (!value.is_empty()).then(|| value.clone())
    }

    /// A function's ARN.
    pub(super) fn arn(&self, function: &str) -> Option<&str> {
        self.find(function).map(|found| found.arn.as_str())
    }
}

pub(super) async fn check(cloud: &Cloud, template: &Template) -> (Deployed, Vec<Finding>) {
    let client = Client::new(cloud.sdk());
    let looked = join_all(template.functions.iter().map(|function| look(&client, function))).await;
    let (mut deployed, mut findings) = (Deployed::default(), Vec::new());
    for (function, (found, finding)) in template.functions.iter().zip(looked) {
        if let Some(found) = found {
            deployed.functions.insert(function.name.clone(), found);
        }
        findings.extend(finding);
    }
    (deployed, findings)
}

async fn look(client: &Client, function: &Function) -> (Option<Found>, Vec<Finding>) {
    const CHECK: Check = Check::Functions;
    let name = function.name.as_str();
    let answer = client
        .get_function_configuration()
        .function_name(name)
        .send()
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let fix = "Deploy the stack again: sam deploy, as the README's section on installing says.";
            let finding = Finding::failed(CHECK, name, &aws_failure(&error), fix);
            return (None, vec![finding]);
        }
    };
    let variables = answer.environment().and_then(|it| it.variables()).cloned();
    let found = Found {
        arn: answer.function_arn().unwrap_or_default().to_owned(),
        variables: variables.unwrap_or_default(),
    };
    let reason = answer
        .state_reason()
        .or(answer.last_update_status_reason())
        .unwrap_or("AWS gives no reason");
    let mut findings = vec![match (answer.state(), answer.last_update_status()) {
        (Some(State::Failed), _) | (_, Some(LastUpdateStatus::Failed)) => Finding::wrong(
            CHECK,
            name,
            format!("its last change failed: {reason}"),
            "Deploy the stack again, with binaries for the stack's parameter Architecture.",
        ),
        (Some(State::Pending), _) => Finding::doubtful(
            CHECK,
            name,
            format!("it is not ready yet: {reason}"),
            "Look again in a minute.",
        ),
        _ => Finding::sound(CHECK, name, "it is there and can run"),
    }];
    findings.extend(function.hook.as_ref().map(|hook| of_hook(name, hook)));
    (Some(found), findings)
}

fn of_hook(name: &str, hook: &str) -> Finding {
    if name.starts_with(HOOK_PREFIX) {
        Finding::sound(
            Check::HookNames,
            name,
            format!("CodeDeploy may call it as {hook}"),
        )
    } else {
        Finding::wrong(
            Check::HookNames,
            name,
            format!(
                "it is the hook {hook}, and CodeDeploy's managed role may not call a function of this name"
            ),
            format!("Name it {HOOK_PREFIX}…, or allow CodeDeploy's role lambda:InvokeFunction on it."),
        )
    }
}
