//! Doing it: resources are made and changed wave by wave; what fails is undone.

mod resource;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use indexmap::IndexMap;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use crate::engine::Inner;
use crate::graph::waves;
use crate::intrinsics::{Lookup, Place, Scope, decide};
use crate::parameters::scalar;
use crate::stack::{Goal, Output, Record, Stack, output_text};
use crate::template::Policy;
use crate::undo::Undo;

/// How many resources of a wave are worked on at once.
const AT_ONCE: usize = 8;

/// Resources as they are.
struct Present {
    records: IndexMap<String, Record>,
}

impl Lookup for Present {
    fn reference(&self, logical: &str) -> Option<Value> {
        self.records.get(logical).map(|record| json!(record.physical))
    }

    fn attribute(&self, logical: &str, attribute: &str) -> Option<Value> {
        self.records.get(logical)?.attributes.get(attribute).cloned()
    }
}

/// Evaluates the outputs.
///
/// # Errors
/// `ValidationError` for an output that refers to what is not there.
pub(crate) fn outputs(scope: &Scope<'_>) -> Result<Vec<Output>, AwsError> {
    let mut outputs = Vec::new();
    for (key, declared) in &scope.template.outputs {
        if let Some(condition) = declared.get("Condition").and_then(Value::as_str)
            && !scope.conditions.get(condition).copied().unwrap_or(false)
        {
            continue;
        }
        let Some(value) = scope.evaluate(declared.get("Value").unwrap_or(&Value::Null))? else {
            continue;
        };
        let export = declared
            .pointer("/Export/Name")
            .map(|name| scope.text("Export", name))
            .transpose()?;
        let description = declared.get("Description").and_then(scalar);
        outputs.push(Output {
            key: key.clone(),
            value: output_text(&value),
            description,
            export,
        });
    }
    Ok(outputs)
}

/// Everything a goal needs to be evaluated, but the resources.
struct Frame {
    goal: Goal,
    place: Place,
    exports: BTreeMap<String, String>,
    conditions: BTreeMap<String, bool>,
}

impl Frame {
    fn scope<'a>(&'a self, lookup: &'a Present) -> Scope<'a> {
        Scope {
            template: &self.goal.template,
            parameters: &self.goal.parameters,
            conditions: &self.conditions,
            place: &self.place,
            exports: &self.exports,
            lookup,
        }
    }
}

impl Inner {
    fn frame(&self, stack: &Stack, goal: &Goal) -> Result<Frame, AwsError> {
        let place = self.place(&stack.name, &stack.id);
        let exports = self.exports();
        let conditions = decide(&goal.template, &goal.parameters, &place, &exports)?;
        Ok(Frame {
            goal: goal.clone(),
            place,
            exports,
            conditions,
        })
    }

    fn present(&self, id: &str) -> Present {
        Present {
            records: self.with(id, |stack| stack.resources.clone()).unwrap_or_default(),
        }
    }

    /// All waves. What was done is in `undo` even where it fails.
    async fn forward(&self, id: &str, frame: &Frame, undo: &mut Vec<Undo>) -> Result<(), String> {
        let verb = if self.with(id, |stack| stack.status == "UPDATE_IN_PROGRESS") == Some(true) {
            "update"
        } else {
            "create"
        };
        let order = waves(&frame.goal.template, &frame.conditions).map_err(|error| error.message)?;
        for wave in order {
            if self.with(id, |stack| stack.cancelled).unwrap_or(true) {
                return Err("User Initiated".to_owned());
            }
            let results: Vec<_> = futures::stream::iter(wave)
                .map(async |logical| (self.apply(id, frame, &logical).await, logical))
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
            let mut failed = Vec::new();
            for (result, logical) in results {
                match result {
                    Ok(done) => undo.extend(done),
                    Err((error, begun)) => {
                        tracing::warn!(stack = id, resource = %logical, %error, "resource failed");
                        undo.extend(begun);
                        failed.push(logical);
                    }
                }
            }
            if self.with(id, |stack| stack.cancelled).unwrap_or(true) {
                return Err("User Initiated".to_owned());
            }
            if !failed.is_empty() {
                return Err(format!(
                    "The following resource(s) failed to {verb}: [{}].",
                    failed.join(", ")
                ));
            }
        }
        Ok(())
    }

    fn conclude(&self, id: &str, frame: &Frame) -> Result<(), String> {
        let lookup = self.present(id);
        let outputs = outputs(&frame.scope(&lookup)).map_err(|error| error.message)?;
        let order = waves(&frame.goal.template, &frame.conditions)
            .map_err(|error| error.message)?
            .concat();
        self.with(id, |stack| {
            stack.outputs = outputs;
            stack.goal = Some(frame.goal.clone());
            // Deletion goes backwards through this order.
            let place = |logical: &String| order.iter().position(|known| known == logical);
            stack.resources.sort_by(|a, _, b, _| place(a).cmp(&place(b)));
        });
        Ok(())
    }

    /// Makes a stack. Its status is `CREATE_IN_PROGRESS` already. Answers whether it came about.
    pub(crate) async fn run_create(self: Arc<Self>, id: String, goal: Goal) -> bool {
        let Some(stack) = self.with(&id, |stack| stack.clone()) else {
            return false;
        };
        let mut undo = Vec::new();
        let result = match self.frame(&stack, &goal) {
            Ok(frame) => match self.forward(&id, &frame, &mut undo).await {
                Ok(()) => self.conclude(&id, &frame),
                Err(reason) => Err(reason),
            },
            Err(error) => Err(error.message),
        };
        let Err(reason) = result else {
            self.status(&id, "CREATE_COMPLETE", None).await;
            return true;
        };
        if stack.keep_failed {
            self.status(&id, "CREATE_FAILED", Some(&reason)).await;
            return false;
        }
        self.status(
            &id,
            "ROLLBACK_IN_PROGRESS",
            Some(&format!("{reason} Rollback requested by user.")),
        )
        .await;
        let mut stuck = Vec::new();
        for made in undo.into_iter().rev() {
            if let Undo::Created(record) = made {
                let keep = record.deletion_policy == Policy::Retain;
                if self.destroy(&id, &record, keep).await.is_err() {
                    stuck.push(record.logical.clone());
                } else {
                    self.with(&id, |stack| stack.resources.shift_remove(&record.logical));
                }
            }
        }
        if stuck.is_empty() {
            self.status(&id, "ROLLBACK_COMPLETE", None).await;
        } else {
            let reason = format!(
                "The following resource(s) failed to delete: [{}].",
                stuck.join(", ")
            );
            self.status(&id, "ROLLBACK_FAILED", Some(&reason)).await;
        }
        false
    }

    /// Updates a stack. Its status is `UPDATE_IN_PROGRESS` already. Answers whether it came about.
    pub(crate) async fn run_update(self: Arc<Self>, id: String, goal: Goal) -> bool {
        let Some(stack) = self.with(&id, |stack| stack.clone()) else {
            return false;
        };
        let mut undo = Vec::new();
        let result = match self.frame(&stack, &goal) {
            Ok(frame) => match self.forward(&id, &frame, &mut undo).await {
                Ok(()) => self.conclude(&id, &frame).map(|()| frame),
                Err(reason) => Err(reason),
            },
            Err(error) => Err(error.message),
        };
        match result {
            Ok(frame) => {
                self.status(&id, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", None)
                    .await;
                self.clean_up(&id, &frame, undo).await;
                self.status(&id, "UPDATE_COMPLETE", None).await;
                true
            }
            Err(reason) => {
                self.status(&id, "UPDATE_ROLLBACK_IN_PROGRESS", Some(&reason))
                    .await;
                undo.reverse();
                self.take_back(&id, undo, &[]).await;
                false
            }
        }
    }

    /// After an update: what was replaced, and what the template no longer has. A failure here fails
    /// nothing, as in AWS; the resource is left behind.
    async fn clean_up(&self, id: &str, frame: &Frame, undo: Vec<Undo>) {
        for done in undo.into_iter().rev() {
            if let Undo::Replaced { before, keep, .. } = done {
                let _ = self.destroy(id, &before, keep).await;
            }
        }
        let order = waves(&frame.goal.template, &frame.conditions)
            .map(|waves| waves.concat())
            .unwrap_or_default();
        let gone: Vec<Record> = self
            .with(id, |stack| {
                stack
                    .resources
                    .values()
                    .rev()
                    .filter(|r| !order.contains(&r.logical))
                    .cloned()
                    .collect()
            })
            .unwrap_or_default();
        for record in gone {
            let _ = self.destroy(id, &record, record.deletion_policy.retains()).await;
            self.with(id, |stack| stack.resources.shift_remove(&record.logical));
        }
    }

    /// Deletes a stack. Its status is `DELETE_IN_PROGRESS` already.
    pub(crate) async fn run_delete(self: Arc<Self>, id: String, kept: Vec<String>) {
        let records: Vec<Record> = self
            .with(&id, |stack| stack.resources.values().rev().cloned().collect())
            .unwrap_or_default();
        let mut stuck = Vec::new();
        for record in records {
            let keep = record.deletion_policy.retains() || kept.contains(&record.logical);
            if self.destroy(&id, &record, keep).await.is_err() {
                stuck.push(record.logical.clone());
            } else {
                self.with(&id, |stack| stack.resources.shift_remove(&record.logical));
            }
        }
        if stuck.is_empty() {
            let now = self.now();
            self.with(&id, |stack| {
                stack.deleted = Some(now);
                stack.outputs.clear();
                stack.change_sets.clear();
            });
            self.status(&id, "DELETE_COMPLETE", None).await;
        } else {
            let reason = format!(
                "The following resource(s) failed to delete: [{}].",
                stuck.join(", ")
            );
            self.status(&id, "DELETE_FAILED", Some(&reason)).await;
        }
    }
}
