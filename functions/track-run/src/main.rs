//! Follows every pipeline, build and deployment event into the ledger, metrics and notices.
//!
//! An event is a hint that something changed. What is written down is what AWS answers when asked, so
//! that a lost event is made up for by the next one, and a late or repeated one changes nothing.

use std::process::ExitCode;

mod app;
mod change;
mod effects;
mod error;
mod gather;
mod handler;
mod reports;

fn main() -> ExitCode {
    signalbox_bootstrap::run(app::App::start, handler::handle)
}
