//! Timelines, saved only by who has read the latest.

use jiff::{SignedDuration, Timestamp};
use signalbox_decision::timeline::{Subject, Timeline};

use crate::table::{Put, RowKey, row};
use crate::{Ledger, LedgerError};

/// As long as AWS itself lists a run's actions (12 months), and a month more.
const KEPT: SignedDuration = SignedDuration::from_hours(400 * 24);

/// A timeline, and what to save its successor with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoredTimeline {
    /// The timeline; an empty one where none has been saved.
    pub timeline: Timeline,
    /// Counts its saves; `None` before the first.
    pub version: Option<u64>,
}

/// What became of a save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a stale timeline has to be loaded and reconciled again"]
pub enum Saved {
    /// It was saved, under this version.
    Saved(u64),
    /// Somebody else saved meanwhile: load again.
    Stale,
}

fn key(subject: &Subject) -> RowKey {
    match subject {
        Subject::Run { pipeline, execution } => {
            RowKey::new(format!("PIPELINE#{pipeline}"), format!("RUN#{execution}"))
        }
        Subject::Build { id } => RowKey::new(format!("BUILD#{id}"), "TIMELINE"),
        Subject::Deployment { id } => RowKey::new(format!("DEPLOYMENT#{id}"), "TIMELINE"),
    }
}

impl Ledger {
    /// The timeline of a subject.
    ///
    /// # Errors
    /// If the ledger cannot tell.
    pub async fn load_timeline(&self, subject: &Subject) -> Result<StoredTimeline, LedgerError> {
        let found = self.table.read::<Timeline>(&key(subject), None).await?;
        Ok(
            found.map_or_else(StoredTimeline::default, |(timeline, version)| StoredTimeline {
                timeline,
                version: Some(version),
            }),
        )
    }

    /// Saves a timeline, if the saved one is still the one of `expected` (as loaded).
    ///
    /// # Errors
    /// If the ledger cannot save it.
    pub async fn save_timeline(
        &self,
        subject: &Subject,
        timeline: &Timeline,
        expected: Option<u64>,
        now: Timestamp,
    ) -> Result<Saved, LedgerError> {
        let key = key(subject);
        let version = expected.unwrap_or(0) + 1;
        let row = row(&key, version, now.saturating_add(KEPT).ok(), timeline)?;
        Ok(match self.table.put(&key, row, expected).await? {
            Put::Written => Saved::Saved(version),
            Put::Changed(_) => Saved::Stale,
        })
    }
}
