//! Taking back what a failed update has done.

use crate::engine::Inner;
use crate::stack::Record;
use crate::template::Policy;

/// One thing that was done, with what it takes to undo it.
#[derive(Debug, Clone)]
pub(crate) enum Undo {
    /// It was not there before.
    Created(Record),
    /// It was changed in place, or an attempt to do so failed halfway.
    Updated { before: Record, after: Record },
    /// It was made anew; the old one still exists.
    Replaced {
        before: Record,
        after: Record,
        /// `UpdateReplacePolicy`: the one that loses its place stays.
        keep: bool,
    },
    /// All else is undone already; this only remains to be deleted.
    Leftover(Leftover),
}

/// A physical resource that an update had made before it failed.
#[derive(Debug, Clone)]
pub(crate) struct Leftover {
    record: Record,
    /// Its policy keeps it.
    keep: bool,
    /// The stack did not have it before: it forgets it. A replacement's name stays with what it replaced.
    forget: bool,
}

impl Leftover {
    fn new(record: Record, forget: bool) -> Self {
        Self {
            keep: record.deletion_policy == Policy::Retain,
            record,
            forget,
        }
    }
}

impl Undo {
    fn logical(&self) -> &str {
        match self {
            Self::Created(record) | Self::Leftover(Leftover { record, .. }) => &record.logical,
            Self::Updated { before, .. } | Self::Replaced { before, .. } => &before.logical,
        }
    }
}

impl Inner {
    /// Undoes these in their order, then deletes what the update had made. `skip` names resources that are
    /// left as they are (`ContinueUpdateRollback`).
    pub(crate) async fn take_back(&self, id: &str, undo: Vec<Undo>, skip: &[String]) {
        let mut litter = Vec::new();
        let mut left = undo.into_iter();
        while let Some(done) = left.next() {
            if skip.iter().any(|logical| logical == done.logical()) {
                continue;
            }
            match done {
                Undo::Created(record) => litter.push(Leftover::new(record, true)),
                Undo::Leftover(leftover) => litter.push(leftover),
                Undo::Replaced { before, after, .. } => {
                    self.restore(id, &before);
                    litter.push(Leftover::new(after, false));
                }
                Undo::Updated { before, after } => {
                    self.note(id, &before, "UPDATE_IN_PROGRESS", None);
                    if let Err(error) = self.move_to(id, &after, &before, true).await {
                        self.note(id, &before, "UPDATE_FAILED", Some(&error.message));
                        let reason = format!(
                            "The following resource(s) failed to update: [{}].",
                            before.logical
                        );
                        let mut pending = vec![Undo::Updated { before, after }];
                        pending.extend(left);
                        pending.extend(litter.into_iter().map(Undo::Leftover));
                        self.with(id, |stack| stack.pending = pending);
                        self.status(id, "UPDATE_ROLLBACK_FAILED", Some(&reason)).await;
                        return;
                    }
                    self.restore(id, &before);
                    self.note(id, &before, "UPDATE_COMPLETE", None);
                }
            }
        }
        self.with(id, |stack| stack.pending.clear());
        self.status(id, "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", None)
            .await;
        for Leftover { record, keep, forget } in litter {
            // Left behind where it fails; AWS does the same.
            let _ = self.destroy(id, &record, keep).await;
            if forget {
                self.with(id, |stack| stack.resources.shift_remove(&record.logical));
            }
        }
        self.status(id, "UPDATE_ROLLBACK_COMPLETE", None).await;
    }

    fn restore(&self, id: &str, record: &Record) {
        self.with(id, |stack| {
            stack.resources.insert(record.logical.clone(), record.clone())
        });
    }
}
