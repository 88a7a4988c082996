//! Creating, updating, reading and deleting pipelines.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use super::tags::{Tag, tag_list};
use super::{paging, pipeline, pipeline_mut};
use crate::control;
use crate::declaration::PipelineDeclaration;
use crate::engine::Inner;
use crate::schedule;
use crate::state::{Pipeline, epoch};
use crate::validate::validate;

#[derive(Deserialize)]
pub(super) struct CreateInput {
    pipeline: PipelineDeclaration,
    #[serde(default)]
    tags: Vec<Tag>,
}

pub(super) fn create(inner: &Arc<Inner>, input: CreateInput) -> Result<Value, AwsError> {
    let mut declaration = input.pipeline;
    declaration.version = 1;
    validate(&declaration, &inner.cloud.account().region)?;
    let tags: BTreeMap<String, String> = input.tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    inner.change(|state, change| {
        if state.pipelines.contains_key(&declaration.name) {
            return Err(AwsError::new(
                "PipelineNameInUseException",
                format!(
                    "A pipeline with the name '{}' already exists in account '{}'",
                    declaration.name, change.account.id
                ),
            ));
        }
        let answer = json!({ "pipeline": declaration, "tags": tag_list(&tags) });
        let name = declaration.name.clone();
        state
            .pipelines
            .insert(name, Pipeline::new(declaration, tags, change.now));
        Ok(answer)
    })
}

#[derive(Deserialize)]
pub(super) struct UpdateInput {
    pipeline: PipelineDeclaration,
}

/// Executions of the former structure are cancelled, as AWS cancels them; an update that changes
/// nothing leaves them alone.
pub(super) fn update(inner: &Arc<Inner>, input: UpdateInput) -> Result<Value, AwsError> {
    let mut declaration = input.pipeline;
    validate(&declaration, &inner.cloud.account().region)?;
    inner.change(|state, change| {
        let known = pipeline_mut(inner, state, &declaration.name)?;
        declaration.version = known.current.version;
        if declaration == *known.current {
            return Ok(json!({ "pipeline": declaration }));
        }
        control::cancel_all(known, change);
        declaration.version += 1;
        let answer = json!({ "pipeline": declaration });
        known.current = Arc::new(declaration);
        known.versions.push(known.current.clone());
        known.updated = change.now;
        schedule::advance(known, change);
        Ok(answer)
    })
}

#[derive(Deserialize)]
pub(super) struct GetInput {
    name: String,
    version: Option<u32>,
}

pub(super) fn get(inner: &Arc<Inner>, input: &GetInput) -> Result<Value, AwsError> {
    inner.read(|state| {
        let known = pipeline(inner, state, &input.name)?;
        let declaration = match input.version {
            None => &known.current,
            Some(version) => known
                .versions
                .iter()
                .find(|it| it.version == version)
                .ok_or_else(|| {
                    AwsError::new(
                        "PipelineVersionNotFoundException",
                        format!("Pipeline '{}' does not have a version {version}", input.name),
                    )
                })?,
        };
        Ok(json!({
            "pipeline": **declaration,
            "metadata": {
                "pipelineArn": Pipeline::arn(inner.cloud.account(), &input.name),
                "created": epoch(known.created),
                "updated": epoch(known.updated),
            },
        }))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListInput {
    next_token: Option<String>,
    max_results: Option<usize>,
}

pub(super) fn list(inner: &Arc<Inner>, input: &ListInput) -> Result<Value, AwsError> {
    let all = inner.read(|state| {
        state
            .pipelines
            .iter()
            .map(|(name, known)| {
                let summary = json!({
                    "name": name,
                    "version": known.current.version,
                    "pipelineType": known.current.pipeline_type,
                    "executionMode": known.current.execution_mode,
                    "created": epoch(known.created),
                    "updated": epoch(known.updated),
                });
                (name.clone(), summary)
            })
            .collect()
    });
    paging::page(
        "pipelines",
        all,
        input.max_results.unwrap_or(1000),
        input.next_token.as_deref(),
    )
}

#[derive(Deserialize)]
pub(super) struct DeleteInput {
    name: String,
}

/// Deleting what is not there succeeds, as in AWS.
pub(super) fn delete(inner: &Arc<Inner>, input: &DeleteInput) -> Value {
    inner.change(|state, change| {
        if let Some(mut known) = state.pipelines.remove(&input.name) {
            control::cancel_all(&mut known, change);
        }
        state.jobs.retain(|_, (pipeline, _, _)| *pipeline != input.name);
    });
    json!({})
}
