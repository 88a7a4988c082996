//! What people see while something runs: steps with their times, and that it is still alive.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};

/// Lines with the time since the start, on standard error; colours and the moving line only on a terminal.
pub struct Console {
    started: Instant,
    bar: Mutex<Option<ProgressBar>>,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}

const HEADING: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();

impl Default for Console {
    fn default() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("        {spinner} {msg} ({elapsed})");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            started: Instant::now(),
            bar: Mutex::new(bar),
        }
    }
}

impl Console {
    /// A part begins.
    pub fn heading(&self, text: &str) {
        self.line("", HEADING, text);
    }

    /// Something happened.
    pub fn note(&self, text: &str) {
        self.line("  ", Style::new(), text);
    }

    /// Something went well.
    pub fn good(&self, text: &str) {
        self.line("✓ ", GOOD, text);
    }

    /// Something went wrong, or a version was found to be bad.
    pub fn bad(&self, text: &str) {
        self.line("✗ ", BAD, text);
    }

    /// An address to open: alone on its line, so that it is easily taken whole.
    pub fn link(&self, url: &str) {
        let write = || {
            let _ = writeln!(anstream::stderr(), "\n{url}\n");
        };
        match &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Something for those who want to look closer.
    pub fn detail(&self, text: &str) {
        self.line("  ", DIM, text);
    }

    /// What is being waited for; shown on a terminal until the next call.
    pub fn waiting(&self, text: &str) {
        if let Some(bar) = &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            bar.reset_elapsed();
            bar.set_message(text.to_owned());
        }
    }

    /// Ends the moving line: what is printed next is printed plainly.
    pub fn finish(&self) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }

    fn line(&self, mark: &str, style: Style, text: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        let write = || {
            // A closed standard error takes nothing from what runs.
            let _ = writeln!(anstream::stderr(), "{seconds:7.1}s {style}{mark}{text}{style:#}");
        };
        match &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}
