//! Metrics and alarms from the outside, over virtual time.
#![expect(clippy::unwrap_used, reason = "a test's helper may fail the test")]

mod composite_alarms;
mod metric_alarms;
mod metrics;
mod records;
mod watch;
