//! Stacks: creating, updating, deleting, describing.

use std::sync::Arc;

use serde_json::{Value, json};
use signalbox_local_core::AwsError;
use uuid::Uuid;

use super::{flag, goal, required, text, texts};
use crate::diff::plan;
use crate::engine::Inner;
use crate::invalid;
use crate::stack::Stack;

/// A new id for a stack of that name.
pub(super) fn new_id(inner: &Inner, name: &str) -> String {
    inner
        .cloud
        .account()
        .arn("cloudformation", &format!("stack/{name}/{}", Uuid::new_v4()))
}

fn does_not_exist(name: &str) -> AwsError {
    invalid(format!("Stack [{name}] does not exist"))
}

pub(super) fn cannot_update(stack: &Stack) -> AwsError {
    invalid(format!(
        "Stack:{} is in {} state and can not be updated.",
        stack.id, stack.status
    ))
}

pub(crate) async fn create(inner: &Arc<Inner>, input: &Value) -> Result<Value, AwsError> {
    let name = required(input, "StackName")?;
    let taken = || AwsError::new("AlreadyExistsException", format!("Stack [{name}] already exists"));
    if inner.find_opt(&name).is_some() {
        return Err(taken());
    }
    let id = new_id(inner, &name);
    let goal = goal(inner, input, &inner.place(&name, &id), None, false).await?;
    let mut stack = Stack::new(id.clone(), &name, "CREATE_IN_PROGRESS", inner.now());
    stack.goal = Some(goal.clone());
    stack.keep_failed =
        flag(input, "DisableRollback") || text(input, "OnFailure").as_deref() == Some("DO_NOTHING");
    stack.protected = flag(input, "EnableTerminationProtection");
    {
        let mut stacks = inner.stacks();
        if stacks
            .values()
            .any(|known| known.name == name && known.status != "DELETE_COMPLETE")
        {
            return Err(taken());
        }
        stacks.insert(id.clone(), stack);
    }
    let delete_failed = text(input, "OnFailure").as_deref() == Some("DELETE");
    inner
        .status(&id, "CREATE_IN_PROGRESS", Some("User Initiated"))
        .await;
    let (engine, stack_id) = (Arc::clone(inner), id.clone());
    inner.spawn(async move {
        let made = Arc::clone(&engine).run_create(stack_id.clone(), goal).await;
        if !made && delete_failed {
            engine.status(&stack_id, "DELETE_IN_PROGRESS", None).await;
            engine.run_delete(stack_id, Vec::new()).await;
        }
    });
    Ok(json!({ "StackId": id }))
}

pub(crate) async fn update(inner: &Arc<Inner>, input: &Value) -> Result<Value, AwsError> {
    let name = required(input, "StackName")?;
    let stack = inner.find_opt(&name).ok_or_else(|| does_not_exist(&name))?;
    if !stack.can_update() {
        return Err(cannot_update(&stack));
    }
    let place = inner.place(&stack.name, &stack.id);
    let goal = goal(inner, input, &place, stack.goal.as_ref(), false).await?;
    let plan = plan(&stack, &goal, &place, &inner.exports())?;
    let same_tags = stack.goal.as_ref().is_some_and(|before| before.tags == goal.tags);
    if plan.changes.is_empty() && !plan.outputs_change && same_tags {
        return Err(invalid("No updates are to be performed."));
    }
    begin_update(inner, &stack.id)?;
    inner
        .status(&stack.id, "UPDATE_IN_PROGRESS", Some("User Initiated"))
        .await;
    let (engine, id) = (Arc::clone(inner), stack.id.clone());
    inner.spawn(async move {
        engine.run_update(id, goal).await;
    });
    Ok(json!({ "StackId": stack.id }))
}

/// Takes the stack for an update, if nobody else has in the meantime.
pub(super) fn begin_update(inner: &Inner, id: &str) -> Result<(), AwsError> {
    let now = inner.now();
    let begun = inner.with(id, |stack| {
        if !stack.can_update() {
            return Err(cannot_update(stack));
        }
        stack.status = "UPDATE_IN_PROGRESS";
        stack.updated = Some(now);
        stack.cancelled = false;
        Ok(())
    });
    begun.unwrap_or_else(|| Err(does_not_exist(id)))
}

pub(crate) fn delete(inner: &Arc<Inner>, input: &Value) -> Result<Value, AwsError> {
    let name = required(input, "StackName")?;
    // What is not there is deleted.
    let Some(stack) = inner.find_opt(&name).filter(|stack| stack.deleted.is_none()) else {
        return Ok(json!({}));
    };
    if stack.protected {
        return Err(invalid(format!(
            "Stack [{}] cannot be deleted while TerminationProtection is enabled",
            stack.name
        )));
    }
    let begun = inner.with(&stack.id, |stack| {
        if stack.is_busy() {
            return false;
        }
        stack.status = "DELETE_IN_PROGRESS";
        true
    });
    if stack.status == "DELETE_IN_PROGRESS" {
        return Ok(json!({}));
    }
    if begun != Some(true) {
        return Err(invalid(format!(
            "Stack [{}] cannot be deleted while in status {}",
            stack.name, stack.status
        )));
    }
    let retained = texts(input, "RetainResources");
    let (engine, id) = (Arc::clone(inner), stack.id);
    inner.spawn(async move {
        engine
            .status(&id, "DELETE_IN_PROGRESS", Some("User Initiated"))
            .await;
        engine.run_delete(id, retained).await;
    });
    Ok(json!({}))
}

pub(crate) fn describe(inner: &Inner, input: &Value) -> Result<Value, AwsError> {
    let stacks = match text(input, "StackName") {
        Some(name) => vec![inner.find(&name)?.describe()],
        None => {
            let stacks = inner.stacks();
            stacks
                .values()
                .rev()
                .filter(|stack| stack.deleted.is_none())
                .map(Stack::describe)
                .collect()
        }
    };
    Ok(json!({ "Stacks": stacks }))
}

pub(crate) fn list(inner: &Inner, input: &Value) -> Value {
    let wanted = texts(input, "StackStatusFilter");
    let stacks = inner.stacks();
    let chosen = stacks
        .values()
        .rev()
        .filter(|stack| wanted.is_empty() || wanted.iter().any(|s| s == stack.status));
    json!({ "StackSummaries": chosen.map(Stack::summary).collect::<Vec<_>>() })
}

pub(crate) fn events(inner: &Inner, input: &Value) -> Result<Value, AwsError> {
    let name = required(input, "StackName")?;
    let stack = inner.find_opt(&name).ok_or_else(|| does_not_exist(&name))?;
    let newest_first: Vec<Value> = stack.events.into_iter().rev().collect();
    Ok(json!({ "StackEvents": newest_first }))
}

pub(crate) fn describe_resource(inner: &Inner, input: &Value) -> Result<Value, AwsError> {
    let (name, logical) = (
        required(input, "StackName")?,
        required(input, "LogicalResourceId")?,
    );
    let stack = inner
        .find_opt(&name)
        .ok_or_else(|| invalid(format!("Stack '{name}' does not exist")))?;
    let record = stack
        .resources
        .get(&logical)
        .ok_or_else(|| invalid(format!("Resource {logical} does not exist for stack {name}")))?;
    let mut detail = stack.describe_resource(record, "LastUpdatedTimestamp", true);
    if !record.metadata.is_null() {
        detail["Metadata"] = json!(record.metadata.to_string());
    }
    Ok(json!({ "StackResourceDetail": detail }))
}

pub(crate) fn describe_resources(inner: &Inner, input: &Value) -> Result<Value, AwsError> {
    let stack = match (text(input, "StackName"), text(input, "PhysicalResourceId")) {
        (Some(name), _) => inner.find(&name)?,
        (None, Some(physical)) => {
            let stacks = inner.stacks();
            let owner = stacks
                .values()
                .find(|stack| stack.resources.values().any(|r| r.physical == physical));
            owner
                .cloned()
                .ok_or_else(|| invalid(format!("Stack for {physical} does not exist")))?
        }
        (None, None) => {
            return Err(invalid(
                "One of StackName or PhysicalResourceId must be specified",
            ));
        }
    };
    let logical = text(input, "LogicalResourceId");
    let chosen = stack
        .resources
        .values()
        .filter(|record| logical.as_ref().is_none_or(|one| *one == record.logical));
    let resources: Vec<Value> = chosen
        .map(|record| stack.describe_resource(record, "Timestamp", true))
        .collect();
    Ok(json!({ "StackResources": resources }))
}

pub(crate) fn list_resources(inner: &Inner, input: &Value) -> Result<Value, AwsError> {
    let name = required(input, "StackName")?;
    let stack = inner.find(&name)?;
    let resources = stack.resources.values();
    let summaries: Vec<Value> = resources
        .map(|record| stack.describe_resource(record, "LastUpdatedTimestamp", false))
        .collect();
    Ok(json!({ "StackResourceSummaries": summaries }))
}

pub(crate) fn cancel(inner: &Inner, input: &Value) -> Result<Value, AwsError> {
    let name = required(input, "StackName")?;
    let stack = inner.find_opt(&name).ok_or_else(|| does_not_exist(&name))?;
    let cancelled = inner.with(&stack.id, |stack| {
        stack.cancelled = stack.status == "UPDATE_IN_PROGRESS";
        stack.cancelled
    });
    if cancelled == Some(true) {
        Ok(json!({}))
    } else {
        Err(invalid(
            "CancelUpdateStack cannot be called from current stack status",
        ))
    }
}

pub(crate) fn continue_rollback(inner: &Arc<Inner>, input: &Value) -> Result<Value, AwsError> {
    let name = required(input, "StackName")?;
    let stack = inner.find_opt(&name).ok_or_else(|| does_not_exist(&name))?;
    let skip = texts(input, "ResourcesToSkip");
    let begun = inner.with(&stack.id, |stack| {
        (stack.status == "UPDATE_ROLLBACK_FAILED").then(|| {
            stack.status = "UPDATE_ROLLBACK_IN_PROGRESS";
            std::mem::take(&mut stack.pending)
        })
    });
    let Some(pending) = begun.flatten() else {
        return Err(invalid(format!(
            "Stack:{} is in {} state and can not continue to roll back",
            stack.id, stack.status
        )));
    };
    let (engine, id) = (Arc::clone(inner), stack.id);
    inner.spawn(async move {
        engine
            .status(&id, "UPDATE_ROLLBACK_IN_PROGRESS", Some("User Initiated"))
            .await;
        engine.take_back(&id, pending, &skip).await;
    });
    Ok(json!({}))
}

pub(crate) fn protect(inner: &Inner, input: &Value) -> Result<Value, AwsError> {
    let name = required(input, "StackName")?;
    let stack = inner.find_opt(&name).ok_or_else(|| does_not_exist(&name))?;
    inner.with(&stack.id, |stack| {
        stack.protected = flag(input, "EnableTerminationProtection");
    });
    Ok(json!({ "StackId": stack.id }))
}
