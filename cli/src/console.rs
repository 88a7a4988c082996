//! What people see while something goes on: lines on standard error with the time since the start, and on a
//! terminal a moving line that says what is waited for.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anstyle::Style;
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::{BAD, DIM, GOOD, WARN};

/// See the module.
pub(crate) struct Console {
    started: Instant,
    bar: Mutex<Option<ProgressBar>>,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}

impl Console {
    /// Time counts from now.
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            bar: Mutex::new(None),
        }
    }

    /// Something goes on.
    pub(crate) fn note(&self, text: &str) {
        self.line("  ", Style::new(), text);
    }

    /// Something went well.
    pub(crate) fn good(&self, text: &str) {
        self.line("✓ ", GOOD, text);
    }

    /// Somebody has to do something.
    pub(crate) fn attention(&self, text: &str) {
        self.line("! ", WARN, text);
    }

    /// Something went wrong.
    pub(crate) fn bad(&self, text: &str) {
        self.line("✗ ", BAD, text);
    }

    /// Something for those who want to look closer.
    pub(crate) fn detail(&self, text: &str) {
        self.line("  ", DIM, text);
    }

    /// What is waited for, until the next of these calls.
    pub(crate) fn waiting(&self, text: &str) {
        self.show(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(style("        {spinner} {msg} ({elapsed})"));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar.set_message(text.to_owned());
            bar
        });
    }

    /// As [`Console::waiting`], but the time goes on where the same thing is waited for.
    pub(crate) fn waiting_for(&self, text: &str) {
        let is_same = self.bar().as_ref().is_some_and(|bar| bar.message() == text);
        if !is_same {
            self.waiting(text);
        }
    }

    /// An upload of so many bytes.
    pub(crate) fn uploading(&self, bytes: u64) {
        self.show(|| {
            let bar = ProgressBar::new(bytes);
            bar.set_style(style(
                "        uploading [{bar:30}] {bytes}/{total_bytes}, {eta} left",
            ));
            bar.tick();
            bar
        });
    }

    /// So many bytes of it have arrived.
    pub(crate) fn arrived(&self, bytes: u64) {
        if let Some(bar) = &*self.bar() {
            bar.inc(bytes);
        }
    }

    /// Ends the moving line.
    pub(crate) fn still(&self) {
        if let Some(bar) = self.bar().take() {
            bar.finish_and_clear();
        }
    }

    fn show(&self, make: impl FnOnce() -> ProgressBar) {
        self.still();
        if std::io::stderr().is_terminal() {
            *self.bar() = Some(make());
        }
    }

    fn bar(&self) -> std::sync::MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, mark: &str, style: Style, text: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        let write = || {
            // A closed standard error takes nothing from what goes on.
            let _ = writeln!(anstream::stderr(), "{seconds:7.1}s {style}{mark}{text}{style:#}");
        };
        match &*self.bar() {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
