//! The twin in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::table::{Put, Row, RowKey};

#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    rows: Arc<Mutex<BTreeMap<RowKey, Row>>>,
}

impl Memory {
    pub(crate) fn get(&self, key: &RowKey) -> Option<Row> {
        self.rows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }

    pub(crate) fn query(&self, pk: &str, prefix: &str) -> Vec<(String, Row)> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.iter()
            .filter(|(key, _)| key.pk == pk && key.sk.starts_with(prefix))
            .map(|(key, row)| (key.sk.clone(), row.clone()))
            .collect()
    }

    pub(crate) fn put(&self, key: &RowKey, row: Row, expected: Option<u64>) -> Put {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let there = rows.get(key);
        if there.map(|row| row.version) != expected {
            return Put::Changed(there.cloned());
        }
        rows.insert(key.clone(), row);
        Put::Written
    }
}
