//! The highest sequencer of each source key: older uploads are not run.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use signalbox_decision::claim::digest;
use signalbox_decision::names::{BucketName, ObjectKey};
use signalbox_decision::start::Sequencer;

use crate::table::{RowKey, Step};
use crate::{Ledger, LedgerError};

/// S3 delivers for days, not for a year; a key that is not written for that long starts afresh.
const KEPT: SignedDuration = SignedDuration::from_hours(400 * 24);

/// Where an event stands among those of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an older upload must not be run"]
pub enum Advance {
    /// It is the newest so far, and is now recorded as that.
    Newest,
    /// It is the newest, and was recorded before: a repeated delivery.
    Same,
    /// A newer one has been seen.
    Older {
        /// The newest.
        newest: Sequencer,
    },
}

#[derive(Serialize, Deserialize)]
struct Body {
    bucket: BucketName,
    key: ObjectKey,
    sequencer: Sequencer,
    version: String,
}

fn row(bucket: &BucketName, key: &ObjectKey) -> RowKey {
    RowKey::new(
        format!("SEQUENCER#{}", digest(&[bucket.as_str(), key.as_str()])),
        "SEQUENCER",
    )
}

impl Ledger {
    /// Records `sequencer` for the key, if it is the highest. Only ever goes up.
    ///
    /// # Errors
    /// If the ledger cannot tell.
    pub async fn advance_sequencer(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        sequencer: &Sequencer,
        version: &str,
        now: Timestamp,
    ) -> Result<Advance, LedgerError> {
        let decide = |found: Option<Body>| {
            Ok(match found {
                Some(body) if body.sequencer > *sequencer => Step::Leave(Advance::Older {
                    newest: body.sequencer,
                }),
                Some(body) if body.sequencer == *sequencer => Step::Leave(Advance::Same),
                _ => Step::Write {
                    body: Body {
                        bucket: bucket.clone(),
                        key: key.clone(),
                        sequencer: sequencer.clone(),
                        version: version.to_owned(),
                    },
                    expires: now.saturating_add(KEPT).ok(),
                    then: Advance::Newest,
                },
            })
        };
        Ok(self.table.change(&row(bucket, key), now, false, decide).await?.0)
    }

    /// The highest sequencer of the key so far.
    ///
    /// # Errors
    /// If the ledger cannot tell.
    pub async fn newest_sequencer(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        now: Timestamp,
    ) -> Result<Option<Sequencer>, LedgerError> {
        let found = self.table.read::<Body>(&row(bucket, key), Some(now)).await?;
        Ok(found.map(|(body, _)| body.sequencer))
    }
}
