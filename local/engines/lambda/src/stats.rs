//! What a summary of a session says about each function.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// One function's numbers since the local cloud's start.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionStats {
    /// The function's name.
    pub name: String,
    /// Invocations that reached a process.
    pub invocations: u64,
    /// Those that ended with a function error.
    pub errors: u64,
    /// Median time from a process's start to its first request for work, in milliseconds; none where no
    /// process ever got that far.
    pub cold_start_ms: Option<f64>,
    /// The largest resident set of any of its processes, in MB (10⁶ bytes); none where the system does not
    /// tell (it is read from `/proc`).
    pub max_rss_mb: Option<f64>,
}

#[derive(Default)]
struct Collected {
    invocations: u64,
    errors: u64,
    cold_starts_ms: Vec<f64>,
    max_rss_kib: u64,
}

#[derive(Default)]
pub(crate) struct Stats {
    functions: Mutex<BTreeMap<String, Collected>>,
    changed: Notify,
}

impl Stats {
    fn change(&self, function: &str, change: impl FnOnce(&mut Collected)) {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        change(functions.entry(function.to_owned()).or_default());
        drop(functions);
        self.changed.notify_waiters();
    }

    pub(crate) async fn ended(&self, function: &str) {
        loop {
            // Before the look: what changes after it is not missed.
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.has_ended(function) {
                return;
            }
            changed.await;
        }
    }

    fn has_ended(&self, function: &str) -> bool {
        let functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        functions.get(function).is_some_and(|found| found.invocations > 0)
    }

    pub(crate) fn invoked(&self, function: &str, failed: bool, rss_kib: Option<u64>) {
        self.change(function, |found| {
            found.invocations += 1;
            found.errors += u64::from(failed);
            found.max_rss_kib = found.max_rss_kib.max(rss_kib.unwrap_or(0));
        });
    }

    pub(crate) fn started(&self, function: &str, cold_start_ms: f64) {
        self.change(function, |found| found.cold_starts_ms.push(cold_start_ms));
    }

    pub(crate) fn summary(&self) -> Vec<FunctionStats> {
        let functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        functions
            .iter()
            .map(|(name, found)| {
                let mut starts = found.cold_starts_ms.clone();
                starts.sort_by(f64::total_cmp);
                #[expect(clippy::cast_precision_loss, reason = "memory sizes fit an f64 exactly")]
                let max_rss_mb = (found.max_rss_kib > 0).then(|| found.max_rss_kib as f64 * 1024.0 / 1e6);
                FunctionStats {
                    name: name.clone(),
                    invocations: found.invocations,
                    errors: found.errors,
                    cold_start_ms: starts.get(starts.len() / 2).copied(),
                    max_rss_mb,
                }
            })
            .collect()
    }
}
