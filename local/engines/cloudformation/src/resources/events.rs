//! `AWS::Events::Rule`.

use async_trait::async_trait;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use super::shape::{booleans, document, list, merge, numbers, set, subset, tag_list, texts};
use super::{Context, Kind, Made, answered};

fn bus(properties: &Value) -> Value {
    subset(properties, &["EventBusName"])
}

fn target_ids(properties: &Value) -> Vec<String> {
    list(properties, "Targets")
        .iter()
        .flat_map(|target| super::shape::text(target, "Id"))
        .collect()
}

/// A call whose answer counts its failed entries.
async fn checked(cx: &Context<'_>, operation: &str, input: Value) -> Result<(), AwsError> {
    let answer = cx.call("events", operation, input).await?;
    match answer.get("FailedEntryCount").and_then(Value::as_u64) {
        None | Some(0) => Ok(()),
        Some(_) => {
            let first = answer.pointer("/FailedEntries/0").cloned().unwrap_or_default();
            let told = texts(
                &json!({ "all": [first.get("TargetId"), first.get("ErrorMessage")] }),
                "all",
            )
            .join(": ");
            Err(AwsError::new(
                "FailedEntries",
                format!("{operation} failed for a target: {told}"),
            ))
        }
    }
}

async fn put(cx: &Context<'_>, name: &str, properties: &Value, with_tags: bool) -> Result<Value, AwsError> {
    let mut input = subset(
        properties,
        &[
            "Description",
            "EventBusName",
            "RoleArn",
            "ScheduleExpression",
            "State",
        ],
    );
    set(&mut input, "Name", name);
    if let Some(pattern) = properties.get("EventPattern") {
        set(&mut input, "EventPattern", document(pattern));
    }
    if with_tags && properties.get("Tags").is_some() {
        set(&mut input, "Tags", tag_list(properties));
    }
    let answer = cx.call("events", "PutRule", input).await?;
    let mut targets = Value::Array(list(properties, "Targets"));
    if targets.as_array().is_some_and(|all| !all.is_empty()) {
        numbers(
            &mut targets,
            &["MaximumEventAgeInSeconds", "MaximumRetryAttempts", "TaskCount"],
        );
        booleans(&mut targets, &["WithDecoupled"]);
        let mut input = json!({ "Rule": name, "Targets": targets });
        merge(&mut input, bus(properties));
        checked(cx, "PutTargets", input).await?;
    }
    Ok(answered(&answer, "RuleArn", || {
        cx.account().arn("events", &format!("rule/{name}"))
    }))
}

async fn remove_targets(
    cx: &Context<'_>,
    name: &str,
    properties: &Value,
    ids: &[String],
) -> Result<(), AwsError> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut input = json!({ "Rule": name, "Ids": ids });
    merge(&mut input, bus(properties));
    checked(cx, "RemoveTargets", input).await
}

pub(super) struct Rule;

#[async_trait]
impl Kind for Rule {
    fn replacing(&self) -> &'static [&'static str] {
        &["Name", "EventBusName"]
    }

    fn naming(&self) -> Option<&'static str> {
        Some("Name")
    }

    async fn create(&self, cx: &Context<'_>, properties: &Value) -> Result<Made, AwsError> {
        let name = cx.name(properties, "Name", 64);
        let arn = put(cx, &name, properties, true).await?;
        Ok(Made::new(name).with("Arn", arn))
    }

    async fn update(
        &self,
        cx: &Context<'_>,
        made: &Made,
        before: &Value,
        after: &Value,
    ) -> Result<Made, AwsError> {
        put(cx, &made.physical, after, false).await?;
        let kept = target_ids(after);
        let gone: Vec<String> = target_ids(before)
            .into_iter()
            .filter(|id| !kept.contains(id))
            .collect();
        remove_targets(cx, &made.physical, after, &gone).await?;
        Ok(made.clone())
    }

    async fn delete(&self, cx: &Context<'_>, made: &Made, properties: &Value) -> Result<(), AwsError> {
        remove_targets(cx, &made.physical, properties, &target_ids(properties)).await?;
        let mut input = json!({ "Name": made.physical });
        merge(&mut input, bus(properties));
        cx.call("events", "DeleteRule", input).await?;
        Ok(())
    }
}
