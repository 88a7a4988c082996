//! One resource: made, replaced, changed, deleted.

use serde_json::{Value, json};
use signalbox_local_core::AwsError;

use super::Frame;
use crate::engine::Inner;
use crate::intrinsics::resolve_dynamic;
use crate::parameters::scalar;
use crate::resources::{self, Context, Made, Recreation, absent};
use crate::stack::Record;
use crate::undo::Undo;

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
    pub(super) async fn apply(
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
