//! Small things under a name of their own, and counters.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::table::{RowKey, Step};
use crate::{Ledger, LedgerError};

/// How long a day's count is kept.
const COUNT_KEPT: SignedDuration = SignedDuration::from_hours(400 * 24);

fn key(kind: &str, id: &str) -> RowKey {
    RowKey::new(format!("VALUE#{kind}"), id)
}

impl Ledger {
    /// Writes a value, in the place of the one before.
    ///
    /// # Errors
    /// If the ledger cannot write it.
    pub async fn put_value(
        &self,
        kind: &str,
        id: &str,
        value: &Value,
        now: Timestamp,
        expires: Option<Timestamp>,
    ) -> Result<(), LedgerError> {
        self.change_value(kind, id, |_| value.clone(), now, expires).await
    }

    /// Makes a value of the one that is there, if any. Others who write meanwhile are not overwritten: `change` is
    /// then asked again, with what they wrote.
    ///
    /// # Errors
    /// If the ledger cannot write it.
    pub async fn change_value(
        &self,
        kind: &str,
        id: &str,
        mut change: impl FnMut(Option<Value>) -> Value,
        now: Timestamp,
        expires: Option<Timestamp>,
    ) -> Result<(), LedgerError> {
        let decide = |found: Option<Value>| {
            Ok(Step::Write {
                body: change(found),
                expires,
                then: (),
            })
        };
        self.table
            .change(&key(kind, id), now, false, decide)
            .await
            .map(drop)
    }

    /// A value that was written and has not expired.
    ///
    /// # Errors
    /// If the ledger cannot tell.
    pub async fn get_value(
        &self,
        kind: &str,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<Value>, LedgerError> {
        Ok(self
            .table
            .read(&key(kind, id), Some(now))
            .await?
            .map(|(value, _)| value))
    }

    /// Counts one more of a kind (`denied-uploads`) for the day, in UTC; answers the day's count.
    ///
    /// # Errors
    /// If the ledger cannot count.
    pub async fn count(&self, kind: &str, now: Timestamp) -> Result<u64, LedgerError> {
        let day = now.strftime("%Y-%m-%d").to_string();
        let decide = |found: Option<u64>| {
            let count = found.unwrap_or(0) + 1;
            Ok(Step::Write {
                body: count,
                expires: now.saturating_add(COUNT_KEPT).ok(),
                then: count,
            })
        };
        Ok(self
            .table
            .change(&key(&format!("count#{kind}"), &day), now, false, decide)
            .await?
            .0)
    }

    /// The day's count of a kind.
    ///
    /// # Errors
    /// If the ledger cannot tell.
    pub async fn counted(&self, kind: &str, now: Timestamp) -> Result<u64, LedgerError> {
        let day = now.strftime("%Y-%m-%d").to_string();
        let found = self
            .table
            .read(&key(&format!("count#{kind}"), &day), Some(now))
            .await?;
        Ok(found.map_or(0, |(count, _)| count))
    }
}
