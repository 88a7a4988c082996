//! Doing it: resources are made and changed wave by wave; what fails is undone.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use indexmap::IndexMap;
use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use crate::engine::Inner;
use crate::graph::waves;
use crate::intrinsics::{Lookup, Place, Scope, decide, resolve_dynamic};
use crate::parameters::scalar;
use crate::resources::{self, Context, Made, Recreation, absent};
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

/// What an error says in an event.
fn told(error: &AwsError) -> String {
    if error.code == "ValidationError" {
        return error.message.clone();
    }
    format!(
        "Resource handler returned message: \"{}\" (HandlerErrorCode: {})",
        error.message, error.code
    )
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

    pub(crate) fn note(&self, id: &str, record: &Record, status: &'static str, reason: Option<&str>) {
        let now = self.now();
        self.with(id, |stack| stack.resource_event(now, record, status, reason));
    }

    /// Calls a resource's module.
    pub(crate) async fn perform<'a, R>(
        &'a self,
        id: &'a str,
        record: &'a Record,
        undoing: bool,
        act: impl AsyncFnOnce(&Context<'_>) -> Result<R, AwsError>,
    ) -> Result<R, AwsError> {
        let stack_name = self.with(id, |stack| stack.name.clone()).unwrap_or_default();
        let cancelled = || self.with(id, |stack| stack.cancelled).unwrap_or(false);
        let cx = Context {
            cloud: self.cloud.as_ref(),
            stack_name: &stack_name,
            logical: &record.logical,
            update_policy: &record.update_policy,
            undoing,
            cancelled: &cancelled,
            project_root: &self.project_root,
        };
        act(&cx).await
    }

    /// Brings one resource to what the goal says.
    async fn apply(
        &self,
        id: &str,
        frame: &Frame,
        logical: &str,
    ) -> Result<Option<Undo>, (AwsError, Option<Undo>)> {
        let plain = |error| (error, None);
        let lookup = self.present(id);
        let scope = frame.scope(&lookup);
        let resource = &frame.goal.template.resources[logical];
        let old = lookup.records.get(logical).cloned();
        let mut record = Record {
            logical: logical.to_owned(),
            kind: resource.kind.clone(),
            physical: old.as_ref().map(|old| old.physical.clone()).unwrap_or_default(),
            attributes: old.as_ref().map(|old| old.attributes.clone()).unwrap_or_default(),
            properties: json!({}),
            update_policy: Value::Null,
            deletion_policy: resource.deletion_policy,
            metadata: resource.metadata.clone(),
            status: if old.is_some() {
                "UPDATE_IN_PROGRESS"
            } else {
                "CREATE_IN_PROGRESS"
            },
            reason: None,
            at: self.now(),
        };
        let failed = if old.is_some() {
            "UPDATE_FAILED"
        } else {
            "CREATE_FAILED"
        };
        let refuse = |record: &Record, error: AwsError, undo: Option<Undo>| {
            self.note(id, record, failed, Some(&told(&error)));
            (error, undo)
        };
        let evaluated = scope.evaluate(&resource.properties).and_then(|properties| {
            Ok((
                properties.unwrap_or_else(|| json!({})),
                scope.evaluate(&resource.update_policy)?.unwrap_or(Value::Null),
            ))
        });
        let (properties, update_policy) = evaluated.map_err(|error| refuse(&record, error, None))?;
        record.properties = properties;
        record.update_policy = update_policy;
        match old {
            None => self
                .make(id, record, None)
                .await
                .map_err(plain)
                .map(|record| Some(Undo::Created(record))),
            Some(old) if old.kind != record.kind => {
                let error = crate::invalid(format!(
                    "Update of resource type is not permitted. The new template modifies resource type of the following resources: [{logical}]"
                ));
                Err(refuse(&record, error, None))
            }
            Some(old) if old.properties == record.properties => {
                self.with(id, |stack| {
                    if let Some(known) = stack.resources.get_mut(logical) {
                        known.update_policy = record.update_policy.clone();
                        known.deletion_policy = record.deletion_policy;
                        known.metadata = record.metadata.clone();
                    }
                });
                Ok(None)
            }
            Some(old) if replaces(&old, &record) => {
                if let Err(error) = renamed(&old, &record) {
                    return Err(refuse(&record, error, None));
                }
                let keep = resource.replace_policy.retains();
                let after = self.make(id, record, Some(&old)).await.map_err(plain)?;
                Ok(Some(Undo::Replaced {
                    before: old,
                    after,
                    keep,
                }))
            }
            Some(old) => self.change(id, old, record).await,
        }
    }

    /// Makes a resource, new or in place of an old one.
    async fn make(&self, id: &str, mut record: Record, old: Option<&Record>) -> Result<Record, AwsError> {
        let (doing, done, failed, why) = match old {
            None => ("CREATE_IN_PROGRESS", "CREATE_COMPLETE", "CREATE_FAILED", None),
            Some(_) => (
                "UPDATE_IN_PROGRESS",
                "UPDATE_COMPLETE",
                "UPDATE_FAILED",
                Some(
                    "Requested update requires the creation of a new physical resource; hence creating one.",
                ),
            ),
        };
        self.note(id, &record, doing, why);
        let work = async || {
            let properties = resolve_dynamic(self.cloud.as_ref(), &record.properties).await?;
            let kind = resources::kind(&record.kind)?;
            self.perform(id, &record, false, async |cx| kind.create(cx, &properties).await)
                .await
        };
        match work().await {
            Ok(Made { physical, attributes }) => {
                record.physical = physical;
                record.attributes = attributes;
                self.with(id, |stack| {
                    stack.resources.insert(record.logical.clone(), record.clone())
                });
                self.note(id, &record, done, None);
                Ok(record)
            }
            Err(error) => {
                self.note(id, &record, failed, Some(&told(&error)));
                Err(error)
            }
        }
    }

    /// Changes a resource in place.
    async fn change(
        &self,
        id: &str,
        old: Record,
        mut record: Record,
    ) -> Result<Option<Undo>, (AwsError, Option<Undo>)> {
        self.note(id, &record, "UPDATE_IN_PROGRESS", None);
        match self.move_to(id, &old, &record, false).await {
            Ok(made) => {
                record.attributes = made.attributes;
                self.with(id, |stack| {
                    stack.resources.insert(record.logical.clone(), record.clone())
                });
                self.note(id, &record, "UPDATE_COMPLETE", None);
                Ok(Some(Undo::Updated {
                    before: old,
                    after: record,
                }))
            }
            Err(error) => {
                self.note(id, &record, "UPDATE_FAILED", Some(&told(&error)));
                // It may have been changed halfway: taking it back is part of undoing.
                Err((
                    error,
                    Some(Undo::Updated {
                        before: old,
                        after: record,
                    }),
                ))
            }
        }
    }

    pub(crate) async fn move_to(
        &self,
        id: &str,
        from: &Record,
        to: &Record,
        undoing: bool,
    ) -> Result<Made, AwsError> {
        let before = resolve_dynamic(self.cloud.as_ref(), &from.properties).await?;
        let after = resolve_dynamic(self.cloud.as_ref(), &to.properties).await?;
        let kind = resources::kind(&to.kind)?;
        let made = Made {
            physical: from.physical.clone(),
            attributes: from.attributes.clone(),
        };
        self.perform(id, to, undoing, async |cx| {
            kind.update(cx, &made, &before, &after).await
        })
        .await
    }

    /// Deletes a physical resource, unless its policy keeps it. `undone`: it is of the operation's own making.
    pub(crate) async fn destroy(&self, id: &str, record: &Record, keep: bool) -> Result<(), AwsError> {
        if keep {
            self.note(id, record, "DELETE_SKIPPED", None);
            return Ok(());
        }
        self.note(id, record, "DELETE_IN_PROGRESS", None);
        let made = Made {
            physical: record.physical.clone(),
            attributes: record.attributes.clone(),
        };
        let result = match resources::kind(&record.kind) {
            Ok(kind) => {
                self.perform(id, record, true, async |cx| {
                    kind.delete(cx, &made, &record.properties).await
                })
                .await
            }
            Err(error) => Err(error),
        };
        match result {
            Err(error) if !absent(&error) => {
                self.note(id, record, "DELETE_FAILED", Some(&told(&error)));
                Err(error)
            }
            _ => {
                self.note(id, record, "DELETE_COMPLETE", None);
                Ok(())
            }
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

fn changed<'a>(old: &'a Record, new: &'a Record) -> impl Iterator<Item = &'a String> {
    let (before, after) = (old.properties.as_object(), new.properties.as_object());
    let names = before.into_iter().chain(after).flat_map(|map| map.keys());
    names.filter(|name| old.properties.get(*name) != new.properties.get(*name))
}

fn replaces(old: &Record, new: &Record) -> bool {
    changed(old, new).any(|name| resources::recreation(&new.kind, name) == Recreation::Always)
}

/// A name can be taken only once: what bears its own name cannot be replaced under it.
fn renamed(old: &Record, new: &Record) -> Result<(), AwsError> {
    let Some(naming) = resources::kind(&new.kind)?.naming() else {
        return Ok(());
    };
    match (old.properties.get(naming), new.properties.get(naming)) {
        (Some(before), Some(after)) if before == after => Err(crate::invalid(format!(
            "CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename {} and \
             update the stack again.",
            scalar(after).unwrap_or_default()
        ))),
        _ => Ok(()),
    }
}
