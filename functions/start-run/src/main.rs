//! Starts a run for an uploaded package.
//!
//! One upload of the environment's own branch becomes one run, pinned to that object version; another
//! branch's becomes a build; a package that could harm or confuse a build becomes one notice.

use std::process::ExitCode;

mod app;
mod deferred;
mod effects;
mod error;
mod gather;
mod handler;
mod inspect;

fn main() -> ExitCode {
    signalbox_bootstrap::run(app::App::start, handler::handle)
}
