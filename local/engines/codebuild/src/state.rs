//! What the engine remembers, in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indexmap::IndexMap;
use serde_json::Value;
use signalbox_local_core::AwsError;

use crate::build::{Build, Object};
use crate::reports::{Report, ReportGroup};

/// Locks, also where another holder panicked: the state is kept consistent by each statement alone.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A project, in the members of the service's model.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    pub(crate) object: Object,
    /// Builds started so far; AWS numbers them from 1.
    pub(crate) builds: u64,
}

/// A remembered `idempotencyToken`.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) build_id: String,
    pub(crate) input: Value,
    /// Epoch seconds.
    pub(crate) at: f64,
}

/// Everything the engine remembers.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) projects: BTreeMap<String, Project>,
    /// By id, oldest first.
    pub(crate) builds: IndexMap<String, Arc<Build>>,
    pub(crate) tokens: HashMap<String, Token>,
    /// By ARN, oldest first.
    pub(crate) report_groups: IndexMap<String, ReportGroup>,
    pub(crate) reports: IndexMap<String, Report>,
}

/// One page of `all`, and the token of the next. The token is the next page's offset.
///
/// # Errors
/// `InvalidInputException` where the token is not one that this engine gave out.
pub(crate) fn page<T>(
    all: Vec<T>,
    token: Option<&str>,
    size: usize,
) -> Result<(Vec<T>, Option<String>), AwsError> {
    let offset = token
        .map_or(Ok(0), str::parse::<usize>)
        .ok()
        .filter(|offset| *offset <= all.len());
    let offset = offset.ok_or_else(|| AwsError::new("InvalidInputException", "Invalid next token"))?;
    let next = offset.saturating_add(size);
    let token = (next < all.len()).then(|| next.to_string());
    Ok((all.into_iter().skip(offset).take(size).collect(), token))
}
