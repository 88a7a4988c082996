//! Idle environments, and how many invocations may run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::environment::Environment;
use crate::functions::Version;

/// Lambda's default limit of an account's concurrent executions.
pub(crate) const ACCOUNT_LIMIT: u32 = 1000;
/// What reservations must leave to the other functions.
pub(crate) const UNRESERVED_MINIMUM: u32 = 100;
/// How long an environment may be idle.
pub(crate) const IDLE_LIMIT: Duration = Duration::from_mins(5);

#[derive(Default)]
pub(crate) struct Pool {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By the version's revision; the most recently used last.
    idle: HashMap<String, Vec<(Environment, Instant)>>,
    running: HashMap<String, u32>,
    unreserved: u32,
    closed: bool,
}

/// The right to run one invocation; given back when dropped.
pub(crate) struct Permit {
    pool: Arc<Pool>,
    function: String,
    reserved: bool,
    /// Invocations of the function that run, this one included.
    pub(crate) concurrent: u32,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, or says why there is none. `reserved`: the function's own share; without one it uses
    /// what others' reservations (`reserved_total`) leave.
    pub(crate) fn acquire(
        self: &Arc<Self>,
        function: &str,
        reserved: Option<u32>,
        reserved_total: u32,
    ) -> Result<Permit, &'static str> {
        let mut state = self.lock();
        let running = state.running.get(function).copied().unwrap_or(0);
        match reserved {
            Some(limit) if running >= limit => {
                return Err("ReservedFunctionConcurrentInvocationLimitExceeded");
            }
            None if state.unreserved >= ACCOUNT_LIMIT.saturating_sub(reserved_total) => {
                return Err("ConcurrentInvocationLimitExceeded");
            }
            Some(_) => {}
            None => state.unreserved += 1,
        }
        let concurrent = running + 1;
        state.running.insert(function.to_owned(), concurrent);
        Ok(Permit {
            pool: self.clone(),
            function: function.to_owned(),
            reserved: reserved.is_some(),
            concurrent,
        })
    }

    /// How many invocations of the function run.
    pub(crate) fn running(&self, function: &str) -> u32 {
        self.lock().running.get(function).copied().unwrap_or(0)
    }

    /// An idle environment of that version, the most recently used.
    pub(crate) fn take(&self, version: &Version) -> Option<Environment> {
        let mut state = self.lock();
        let idle = state.idle.get_mut(&version.revision)?;
        while let Some((environment, _)) = idle.pop() {
            if environment.is_alive() {
                return Some(environment);
            }
        }
        None
    }

    /// Keeps an environment for the next invocation.
    pub(crate) fn put(&self, environment: Environment) {
        let mut state = self.lock();
        if !state.closed {
            let revision = environment.version.revision.clone();
            state
                .idle
                .entry(revision)
                .or_default()
                .push((environment, Instant::now()));
        }
    }

    /// Ends idle environments that `keep` does not want any more.
    pub(crate) fn retain(&self, keep: impl Fn(&Version) -> bool) {
        self.sweep(|environment, _| keep(&environment.version));
    }

    /// Ends environments that were idle for too long.
    pub(crate) fn reap(&self) {
        self.sweep(|environment, since| environment.is_alive() && since.elapsed() < IDLE_LIMIT);
    }

    fn sweep(&self, keep: impl Fn(&Environment, Instant) -> bool) {
        let mut ended = Vec::new();
        let mut state = self.lock();
        for idle in state.idle.values_mut() {
            ended.extend(idle.extract_if(.., |(environment, since)| !keep(environment, *since)));
        }
        state.idle.retain(|_, idle| !idle.is_empty());
        drop(state);
        // Outside of the lock: ending an environment removes its directories.
        drop(ended);
    }

    /// Ends every idle environment, and takes no more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        drop(idle);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        if let Some(running) = state.running.get_mut(&self.function) {
            *running = running.saturating_sub(1);
        }
        if !self.reserved {
            state.unreserved = state.unreserved.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_is_the_functions_limit_and_the_others_loss() {
        let pool = Arc::new(Pool::default());
        let one = pool.acquire("f", Some(1), 1).unwrap();
        assert_eq!(
            pool.acquire("f", Some(1), 1).err(),
            Some("ReservedFunctionConcurrentInvocationLimitExceeded")
        );
        drop(one);
        assert_eq!(pool.acquire("f", Some(1), 1).unwrap().concurrent, 1);

        let others: Vec<Permit> = (0..900).map(|_| pool.acquire("g", None, 100).unwrap()).collect();
        assert_eq!(
            pool.acquire("g", None, 100).err(),
            Some("ConcurrentInvocationLimitExceeded")
        );
        assert!(pool.acquire("f", Some(1), 100).is_ok());
        drop(others);
        assert_eq!(pool.running("g"), 0);
    }
}
