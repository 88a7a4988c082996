//! Rows, and the one way of changing them: read, decide, write if unchanged; again if not.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::LedgerError;
use crate::dynamo::Dynamo;
use crate::memory::Memory;

/// How often a contended row is tried. Writers of one row are few (deliveries of one run's events).
const TRIES: u64 = 10;
/// Below DynamoDB's 400 KB for an item, keys and other attributes included.
pub(crate) const MAX_BODY: usize = 380_000;

/// A row's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowKey {
    pub(crate) pk: String,
    pub(crate) sk: String,
}

impl RowKey {
    pub(crate) fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self {
            pk: pk.into(),
            sk: sk.into(),
        }
    }

    /// For error messages.
    pub(crate) fn shown(&self) -> String {
        signalbox_decision::text::shown(&format!("{}/{}", self.pk, self.sk), 300)
    }
}

/// A row as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// Counts the writes, from 1.
    pub(crate) version: u64,
    /// Names the write that made it, so that a writer whose answer was lost knows its own.
    pub(crate) write: String,
    /// Past this moment the row counts as absent.
    pub(crate) expires: Option<Timestamp>,
    /// JSON.
    pub(crate) body: String,
}

impl Row {
    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| expires > now)
    }

    pub(crate) fn read<T: DeserializeOwned>(&self, key: &RowKey) -> Result<T, LedgerError> {
        serde_json::from_str(&self.body).map_err(|error| LedgerError::Unreadable {
            row: key.shown(),
            // Not the error's own text: it may repeat the body.
            problem: format!(
                "{:?} error at line {} column {}",
                error.classify(),
                error.line(),
                error.column()
            ),
        })
    }
}

/// What became of a write.
#[derive(Debug)]
pub(crate) enum Put {
    /// It was written.
    Written,
    /// The row is not what was expected; here it is, where the answer told.
    Changed(Option<Row>),
}

/// What to do with a row after looking at it.
pub(crate) enum Step<T, R> {
    /// Write this in its place.
    Write {
        body: T,
        expires: Option<Timestamp>,
        then: R,
    },
    /// Leave it.
    Leave(R),
}

/// Where rows are.
#[derive(Debug, Clone)]
pub(crate) enum Table {
    Dynamo(Dynamo),
    Memory(Memory),
}

impl Table {
    /// The row, by a consistent read.
    pub(crate) async fn get(&self, key: &RowKey) -> Result<Option<Row>, LedgerError> {
        match self {
            Self::Dynamo(table) => table.get(key).await,
            Self::Memory(table) => Ok(table.get(key)),
        }
    }

    /// Every row of a partition whose sort key begins so, by its sort key, in that order; consistent.
    pub(crate) async fn query(&self, pk: &str, prefix: &str) -> Result<Vec<(String, Row)>, LedgerError> {
        match self {
            Self::Dynamo(table) => table.query(pk, prefix).await,
            Self::Memory(table) => Ok(table.query(pk, prefix)),
        }
    }

    /// The sort keys alone: rows may be large.
    pub(crate) async fn sort_keys(&self, pk: &str, prefix: &str) -> Result<Vec<String>, LedgerError> {
        match self {
            Self::Dynamo(table) => table.sort_keys(pk, prefix).await,
            Self::Memory(table) => Ok(table.query(pk, prefix).into_iter().map(|(sk, _)| sk).collect()),
        }
    }

    /// Writes a row, if the one there has `expected` as its version, or is not there if that is `None`.
    pub(crate) async fn put(
        &self,
        key: &RowKey,
        row: Row,
        expected: Option<u64>,
    ) -> Result<Put, LedgerError> {
        if row.body.len() > MAX_BODY {
            return Err(LedgerError::TooLarge {
                row: key.shown(),
                bytes: row.body.len(),
                max: MAX_BODY,
            });
        }
        let write = row.write.clone();
        let put = match self {
            Self::Dynamo(table) => table.put(key, row, expected).await?,
            Self::Memory(table) => table.put(key, row, expected),
        };
        Ok(match put {
            // The SDK sent it twice, since the first answer was lost: the row that is in the way is ours.
            Put::Changed(Some(there)) if there.write == write => Put::Written,
            other => other,
        })
    }

    /// Reads, lets `decide` look at what is there and live, writes on condition, and starts over if
    /// somebody else wrote meanwhile. `assume_absent` saves the first read where most rows are new.
    pub(crate) async fn change<T, R>(
        &self,
        key: &RowKey,
        now: Timestamp,
        assume_absent: bool,
        mut decide: impl FnMut(Option<T>) -> Result<Step<T, R>, LedgerError>,
    ) -> Result<(R, u64), LedgerError>
    where
        T: Serialize + DeserializeOwned,
    {
        let mut known = if assume_absent { None } else { self.get(key).await? };
        for attempt in 1..=TRIES {
            let live = known.as_ref().filter(|row| row.is_live(now));
            let version = known.as_ref().map_or(0, |row| row.version);
            let content = live.map(|row| row.read::<T>(key)).transpose()?;
            let (body, expires, then) = match decide(content)? {
                Step::Leave(result) => return Ok((result, version)),
                Step::Write { body, expires, then } => (body, expires, then),
            };
            let row = row(key, version + 1, expires, &body)?;
            match self.put(key, row, known.as_ref().map(|row| row.version)).await? {
                Put::Written => return Ok((then, version + 1)),
                Put::Changed(there) => {
                    known = match there {
                        Some(row) => Some(row),
                        None => self.get(key).await?,
                    };
                    if attempt > 1 {
                        tokio::time::sleep(Duration::from_millis(10 * attempt)).await;
                    }
                }
            }
        }
        Err(LedgerError::Contended { row: key.shown() })
    }

    /// What is there and live.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        key: &RowKey,
        now: Option<Timestamp>,
    ) -> Result<Option<(T, u64)>, LedgerError> {
        let row = self
            .get(key)
            .await?
            .filter(|row| now.is_none_or(|now| row.is_live(now)));
        row.map(|row| Ok((row.read(key)?, row.version))).transpose()
    }
}

/// A row to be written.
pub(crate) fn row(
    key: &RowKey,
    version: u64,
    expires: Option<Timestamp>,
    body: &impl Serialize,
) -> Result<Row, LedgerError> {
    let body = serde_json::to_string(body).map_err(|error| LedgerError::Unreadable {
        row: key.shown(),
        problem: format!("{:?}", error.classify()),
    })?;
    // The table's TTL has whole seconds.
    let expires = expires.and_then(|at| Timestamp::from_second(at.as_second()).ok());
    Ok(Row {
        version,
        write: write_name(),
        expires,
        body,
    })
}

/// A name that no other write has: random per process (the standard library seeds its hashers from the
/// system), counted within it.
fn write_name() -> String {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let process = PROCESS.get_or_init(|| RandomState::new().build_hasher().finish());
    format!("{process:016x}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}
