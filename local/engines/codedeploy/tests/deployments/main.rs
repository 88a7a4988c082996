//! Deployments over virtual time, against a Lambda of one alias that remembers its changes.
#![expect(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod hooks;
mod records;
mod shifting;
mod stage;
mod stopping;
