//! Rollbacks: what was done about a deployment.

use jiff::Timestamp;
use serde_json::Value;

use crate::table::{RowKey, Step};
use crate::{Ledger, LedgerError};

fn key(deployment: &str) -> RowKey {
    RowKey::new(format!("DEPLOYMENT#{deployment}"), "ROLLBACK")
}

impl Ledger {
    /// Writes what was done about a deployment, in the place of what was written before. Kept for good:
    /// rollbacks are rare, and asked about long after.
    ///
    /// # Errors
    /// If the ledger cannot write it.
    pub async fn record_rollback(&self, deployment: &str, record: Value) -> Result<(), LedgerError> {
        let decide = |_: Option<Value>| {
            Ok(Step::Write {
                body: record.clone(),
                expires: None,
                then: (),
            })
        };
        // Nothing here expires, so that no moment matters.
        self.table
            .change(&key(deployment), Timestamp::UNIX_EPOCH, true, decide)
            .await
            .map(drop)
    }

    /// What was done about a deployment, if anything was.
    ///
    /// # Errors
    /// If the ledger cannot tell.
    pub async fn load_rollback(&self, deployment: &str) -> Result<Option<Value>, LedgerError> {
        Ok(self
            .table
            .read(&key(deployment), None)
            .await?
            .map(|(record, _)| record))
    }
}
