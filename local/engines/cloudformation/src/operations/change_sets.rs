//! Change sets: a goal, what it would change, and the way to it.

use std::sync::Arc;

use serde_json::{Value, json};
use signalbox_local_core::AwsError;
use uuid::Uuid;

use super::stacks::{begin_update, cannot_update, new_id};
use super::{flag, goal, required, text};
use crate::diff::plan;
use crate::engine::Inner;
use crate::invalid;
use crate::stack::{ChangeSet, Stack};

const NO_CHANGES: &str =
    "The submitted information didn't contain changes. Submit different information to create a change set.";

fn not_found(name: &str) -> AwsError {
    AwsError::new("ChangeSetNotFound", format!("ChangeSet [{name}] does not exist")).with_status(404)
}

pub(crate) async fn create(inner: &Arc<Inner>, input: &Value) -> Result<Value, AwsError> {
    let (stack_name, name) = (required(input, "StackName")?, required(input, "ChangeSetName")?);
    let kind = text(input, "ChangeSetType").unwrap_or_else(|| "UPDATE".to_owned());
    let known = inner
        .find_opt(&stack_name)
        .filter(|stack| stack.deleted.is_none());
    let stack = match (kind.as_str(), known) {
        ("CREATE", None) => Stack::new(
            new_id(inner, &stack_name),
            &stack_name,
            "REVIEW_IN_PROGRESS",
            inner.now(),
        ),
        ("CREATE", Some(stack)) if stack.status == "REVIEW_IN_PROGRESS" => stack,
        ("CREATE", Some(_)) => {
            return Err(invalid(format!(
                "Stack [{stack_name}] already exists and cannot be created again with the changeSet [{name}]."
            )));
        }
        ("UPDATE", None) => return Err(invalid(format!("Stack [{stack_name}] does not exist"))),
        ("UPDATE", Some(stack)) if !stack.can_update() => return Err(cannot_update(&stack)),
        ("UPDATE", Some(stack)) => stack,
        (other, _) => {
            return Err(invalid(format!(
                "the local cloud does not make change sets of type {other}"
            )));
        }
    };
    let exists = || {
        AwsError::new(
            "AlreadyExistsException",
            format!("ChangeSet {name} already exists"),
        )
    };
    if stack.change_sets.contains_key(&name) {
        return Err(exists());
    }
    let place = inner.place(&stack.name, &stack.id);
    let goal = goal(inner, input, &place, stack.goal.as_ref(), true).await?;
    let id = inner
        .cloud
        .account()
        .arn("cloudformation", &format!("changeSet/{name}/{}", Uuid::new_v4()));
    let set = ChangeSet {
        id: id.clone(),
        name: name.clone(),
        description: text(input, "Description"),
        creates: kind == "CREATE",
        created: inner.now(),
        status: "CREATE_IN_PROGRESS",
        reason: None,
        execution: "UNAVAILABLE",
        goal,
        changes: Vec::new(),
    };
    let stack_id = stack.id.clone();
    let is_new = {
        let mut stacks = inner.stacks();
        let is_new = !stacks.contains_key(&stack_id);
        let target = stacks.entry(stack_id.clone()).or_insert(stack);
        if target.change_sets.contains_key(&name) {
            return Err(exists());
        }
        target.change_sets.insert(name.clone(), set);
        is_new
    };
    if is_new {
        inner
            .status(&stack_id, "REVIEW_IN_PROGRESS", Some("User Initiated"))
            .await;
    }
    let (engine, for_stack) = (Arc::clone(inner), stack_id.clone());
    inner.spawn(async move { fill(&engine, &for_stack, &name) });
    Ok(json!({ "Id": id, "StackId": stack_id }))
}

/// Works out what the change set would change.
fn fill(inner: &Inner, stack_id: &str, name: &str) {
    let exports = inner.exports();
    inner.with(stack_id, |stack| {
        let Some(goal) = stack.change_sets.get(name).map(|set| set.goal.clone()) else {
            return;
        };
        let place = inner.place(&stack.name, &stack.id);
        let result = plan(stack, &goal, &place, &exports);
        let same_tags = stack.goal.as_ref().is_none_or(|before| before.tags == goal.tags);
        let Some(set) = stack.change_sets.get_mut(name) else {
            return;
        };
        match result {
            Ok(plan) if plan.changes.is_empty() && !plan.outputs_change && same_tags => {
                set.status = "FAILED";
                set.reason = Some(NO_CHANGES.to_owned());
            }
            Ok(plan) => {
                set.status = "CREATE_COMPLETE";
                set.execution = "AVAILABLE";
                set.changes = plan.changes;
            }
            Err(error) => {
                set.status = "FAILED";
                set.reason = Some(error.message);
            }
        }
    });
}

/// The change set that a request names, with its stack.
fn named(inner: &Inner, input: &Value) -> Result<(Stack, ChangeSet), AwsError> {
    let name = required(input, "ChangeSetName")?;
    let stack = match text(input, "StackName") {
        Some(stack) => inner
            .find_opt(&stack)
            .ok_or_else(|| invalid(format!("Stack [{stack}] does not exist")))?,
        None => {
            let stacks = inner.stacks();
            let owner = stacks
                .values()
                .find(|stack| stack.change_sets.values().any(|set| set.id == name));
            owner.cloned().ok_or_else(|| not_found(&name))?
        }
    };
    let set = stack
        .find_change_set(&name)
        .cloned()
        .ok_or_else(|| not_found(&name))?;
    Ok((stack, set))
}

pub(crate) fn describe(inner: &Inner, input: &Value) -> Result<Value, AwsError> {
    let (stack, set) = named(inner, input)?;
    Ok(set.describe(&stack, flag(input, "IncludePropertyValues")))
}

pub(crate) fn list(inner: &Inner, input: &Value) -> Result<Value, AwsError> {
    let name = required(input, "StackName")?;
    let stack = inner
        .find_opt(&name)
        .ok_or_else(|| invalid(format!("Stack [{name}] does not exist")))?;
    let summaries: Vec<Value> = stack
        .change_sets
        .values()
        .map(|set| set.summary(&stack))
        .collect();
    Ok(json!({ "Summaries": summaries }))
}

/// What is not there is deleted.
pub(crate) fn delete(inner: &Inner, input: &Value) -> Result<Value, AwsError> {
    match named(inner, input) {
        Ok((_, set)) if set.execution == "EXECUTE_IN_PROGRESS" => Err(AwsError::new(
            "InvalidChangeSetStatus",
            format!(
                "ChangeSet [{}] cannot be deleted in its current status of [EXECUTE_IN_PROGRESS]",
                set.id
            ),
        )),
        Ok((stack, set)) => {
            inner.with(&stack.id, |stack| stack.change_sets.shift_remove(&set.name));
            Ok(json!({}))
        }
        Err(error) if error.code == "ChangeSetNotFound" => Ok(json!({})),
        Err(error) => Err(error),
    }
}

pub(crate) fn execute(inner: &Arc<Inner>, input: &Value) -> Result<Value, AwsError> {
    let (stack, set) = named(inner, input)?;
    if set.execution != "AVAILABLE" {
        let status = if set.execution == "UNAVAILABLE" {
            set.status
        } else {
            set.execution
        };
        return Err(AwsError::new(
            "InvalidChangeSetStatus",
            format!(
                "ChangeSet [{}] cannot be executed in its current status of [{status}]",
                set.id
            ),
        ));
    }
    if set.creates {
        let begun = inner.with(&stack.id, |stack| {
            let ready = stack.status == "REVIEW_IN_PROGRESS";
            if ready {
                stack.status = "CREATE_IN_PROGRESS";
                stack.goal = Some(set.goal.clone());
                stack.keep_failed = flag(input, "DisableRollback");
            }
            ready
        });
        if begun != Some(true) {
            return Err(cannot_update(&stack));
        }
    } else {
        begin_update(inner, &stack.id)?;
    }
    inner.with(&stack.id, |stack| {
        // The others were made against what the stack no longer is.
        stack.change_sets.retain(|name, _| *name == set.name);
        if let Some(set) = stack.change_sets.get_mut(&set.name) {
            set.execution = "EXECUTE_IN_PROGRESS";
        }
        stack.change_set = Some(set.id.clone());
    });
    let (engine, id) = (Arc::clone(inner), stack.id);
    inner.spawn(async move {
        let begun = if set.creates {
            "CREATE_IN_PROGRESS"
        } else {
            "UPDATE_IN_PROGRESS"
        };
        engine.status(&id, begun, Some("User Initiated")).await;
        let done = if set.creates {
            Arc::clone(&engine).run_create(id.clone(), set.goal).await
        } else {
            Arc::clone(&engine).run_update(id.clone(), set.goal).await
        };
        engine.with(&id, |stack| {
            if let Some(known) = stack.change_sets.get_mut(&set.name)
                && known.id == set.id
            {
                known.execution = if done {
                    "EXECUTE_COMPLETE"
                } else {
                    "EXECUTE_FAILED"
                };
            }
        });
    });
    Ok(json!({}))
}
