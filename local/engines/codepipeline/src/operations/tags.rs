//! Tags of pipelines.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use crate::engine::Inner;
use crate::state::{Pipeline, State};

#[derive(Deserialize, Serialize)]
pub(super) struct Tag {
    pub(super) key: String,
    pub(super) value: String,
}

pub(super) fn tag_list(tags: &BTreeMap<String, String>) -> Value {
    tags.iter()
        .map(|(key, value)| json!({ "key": key, "value": value }))
        .collect()
}

fn name_of(state: &State, inner: &Inner, arn: &str) -> Result<String, AwsError> {
    let account = inner.cloud.account();
    state
        .pipelines
        .keys()
        .find(|name| Pipeline::arn(account, name) == arn)
        .cloned()
        .ok_or_else(|| {
            AwsError::new(
                "ResourceNotFoundException",
                format!("The resource {arn} could not be found"),
            )
        })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AddInput {
    resource_arn: String,
    tags: Vec<Tag>,
}

pub(super) fn add(inner: &Arc<Inner>, input: AddInput) -> Result<Value, AwsError> {
    inner.change(|state, _| {
        let name = name_of(state, inner, &input.resource_arn)?;
        if let Some(known) = state.pipelines.get_mut(&name) {
            known
                .tags
                .extend(input.tags.into_iter().map(|tag| (tag.key, tag.value)));
        }
        Ok(json!({}))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RemoveInput {
    resource_arn: String,
    tag_keys: Vec<String>,
}

pub(super) fn remove(inner: &Arc<Inner>, input: &RemoveInput) -> Result<Value, AwsError> {
    inner.change(|state, _| {
        let name = name_of(state, inner, &input.resource_arn)?;
        if let Some(known) = state.pipelines.get_mut(&name) {
            known.tags.retain(|key, _| !input.tag_keys.contains(key));
        }
        Ok(json!({}))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListInput {
    resource_arn: String,
}

pub(super) fn list(inner: &Arc<Inner>, input: &ListInput) -> Result<Value, AwsError> {
    inner.read(|state| {
        let name = name_of(state, inner, &input.resource_arn)?;
        Ok(json!({ "tags": state.pipelines.get(&name).map(|known| tag_list(&known.tags)) }))
    })
}
