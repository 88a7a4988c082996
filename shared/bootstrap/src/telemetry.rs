//! Structured logs on standard output, where Lambda picks them up.

use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

/// Where the runtime logs each failure once more, as the debug form of what it was handed. Ours has said
/// it already, with its fields; and a panic is printed by the standard library's own hook.
const REPEATS_FAILURES: &str = "lambda_runtime::layers::panic";

/// Starts JSON logging at `level` (`error`, `warn`, `info`, `debug`, `trace`).
pub(crate) fn start(level: Level) {
    // Only the first start of a process counts; a second one has nothing to add.
    let _ = tracing::subscriber::set_global_default(subscriber(level, std::io::stdout));
}

/// No filter language (`env-filter` costs 1 MiB of binary): one level for all, and the SDK's own debug
/// output, which would print inputs, is compiled out of release builds.
fn subscriber<W>(level: Level, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let once = Targets::new()
        .with_default(level)
        .with_target(REPEATS_FAILURES, LevelFilter::OFF);
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_max_level(level)
        .with_writer(writer)
        .finish()
        .with(once)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_failure_is_logged_once_and_debug_output_stays_out() {
        let log = Log::default();
        let writer = log.clone();
        tracing::subscriber::with_default(subscriber(Level::INFO, move || writer.clone()), || {
            tracing::error!(kind = "Retryable", "the event was not handled");
            tracing::error!(target: "lambda_runtime::layers::panic", "Diagnostic(..)");
            tracing::debug!("details");
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("the event was not handled"), "{text}");
    }
}
