//! Timelines, saved only by who has read the latest.

use jiff::{SignedDuration, Timestamp};
use signalbox_decision::timeline::{Subject, Timeline};

use crate::table::{MAX_BODY, Put, Row, RowKey, row};
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

    /// Saves a timeline, if the saved one is still the one of `expected` (as loaded). Of one that is larger
    /// than a row, what ended longest ago is left out, and it is noted how much ([`Timeline::dropped`]).
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
        let expires = now.saturating_add(KEPT).ok();
        let mut row = row(&key, version, expires, timeline)?;
        if row.body.len() > MAX_BODY {
            row = shortened(&key, version, expires, timeline)?;
        }
        Ok(match self.table.put(&key, row, expected).await? {
            Put::Written => Saved::Saved(version),
            Put::Changed(_) => Saved::Stale,
        })
    }
}

fn shortened(
    key: &RowKey,
    version: u64,
    expires: Option<Timestamp>,
    timeline: &Timeline,
) -> Result<Row, LedgerError> {
    let mut timeline = timeline.clone();
    let fits = |timeline: &Timeline| serde_json::to_vec(timeline).is_ok_and(|body| body.len() <= MAX_BODY);
    // What is too large even then is refused as such.
    let _ = timeline.shorten(fits);
    row(key, version, expires, &timeline)
}

#[cfg(test)]
mod tests {
    use signalbox_decision::names::DeploymentId;
    use signalbox_decision::timeline::{Action, Progress, State};

    use super::*;

    #[tokio::test]
    async fn a_timeline_that_outgrows_its_row_is_saved_without_its_oldest_part() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let ledger = Ledger::memory();
        let subject = Subject::Deployment {
            id: DeploymentId::new("d-1").unwrap(),
        };
        let mut timeline = Timeline::default();
        for at in 0..2_000_u32 {
            let ended = Timestamp::from_second(1_800_000_000 + i64::from(at)).ok();
            let action = Action {
                stage: "Build".to_owned(),
                name: "Build".to_owned(),
                category: "Build".to_owned(),
                provider: "CodeBuild".to_owned(),
                external: None,
                error: Some("it failed; ".repeat(40)),
                progress: Progress::seen(State::Failed, ended),
            };
            timeline.actions.insert(format!("{at:04}"), action);
        }
        let saved = ledger
            .save_timeline(&subject, &timeline, None, now)
            .await
            .unwrap();
        assert_eq!(saved, Saved::Saved(1));
        let kept = ledger.load_timeline(&subject).await.unwrap().timeline;
        assert!(kept.dropped > 0 && kept.actions.contains_key("1999") && !kept.actions.contains_key("0000"));
        assert_eq!(kept.actions.len() + kept.dropped as usize, 2_000);
    }
}
