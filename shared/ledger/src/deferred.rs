//! Events that are put off because AWS has no room just now, such as uploads to a pipeline that is full. Kept
//! without an end, until somebody has handed them over again: what is put off must not be lost.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::table::{Put, RowKey, Step, row};
use crate::{Ledger, LedgerError};

fn partition(kind: &str) -> String {
    format!("DEFERRED#{kind}")
}

/// An event that waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Deferred {
    /// The event, to be handed over again.
    pub event: Value,
    key: RowKey,
    version: u64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Body {
    event: Value,
}

impl Ledger {
    /// Puts an event of a kind (`uploads`) off. `id` names it, the same for every delivery.
    ///
    /// # Errors
    /// If the ledger cannot write it; then it is not put off, and its event must come again.
    pub async fn defer(
        &self,
        kind: &str,
        id: &str,
        event: &Value,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let key = RowKey::new(partition(kind), id);
        // Written anew also where it waits already: whoever is about to hand it over finds it changed.
        let decide = |_: Option<Body>| {
            Ok(Step::Write {
                body: Body { event: event.clone() },
                expires: None,
                then: (),
            })
        };
        self.table.change(&key, now, true, decide).await.map(drop)
    }

    /// Every event of a kind that waits, in the order of their ids.
    ///
    /// # Errors
    /// If the ledger cannot tell, or a row of it cannot be read.
    pub async fn deferred(&self, kind: &str, now: Timestamp) -> Result<Vec<Deferred>, LedgerError> {
        let pk = partition(kind);
        let rows = self.table.query(&pk, "").await?;
        let live = rows.into_iter().filter(|(_, row)| row.is_live(now));
        let read = live.map(|(id, row)| {
            let key = RowKey::new(pk.clone(), id);
            let body: Body = row.read(&key)?;
            Ok(Deferred {
                event: body.event,
                key,
                version: row.version,
            })
        });
        read.collect()
    }

    /// Notes that an event was handed over again; false where it has been put off anew since it was read,
    /// and so waits on.
    ///
    /// # Errors
    /// If the ledger cannot write it; then it is handed over once more, which does no harm.
    pub async fn resumed(&self, deferred: Deferred, now: Timestamp) -> Result<bool, LedgerError> {
        let Deferred { event, key, version } = deferred;
        let ended = row(&key, version + 1, Some(now), &Body { event })?;
        let put = self.table.put(&key, ended, Some(version)).await?;
        Ok(matches!(put, Put::Written))
    }
}
