//! Structured logs on standard output, where Lambda picks them up.

use tracing::Level;

/// Starts JSON logging at `level` (`error`, `warn`, `info`, `debug`, `trace`).
///
/// No filter language (`env-filter` costs 1 MiB of binary): one level for all, and the SDK's own debug
/// output, which would print inputs, is compiled out of release builds.
pub(crate) fn start(level: Level) {
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_max_level(level)
        .finish();
    // Only the first start of a process counts; a second one has nothing to add.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
