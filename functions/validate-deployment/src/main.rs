//! Checks a deployed version and reports a verdict.

mod app;
mod effects;
mod error;
mod handler;
mod logs;
mod measure;
mod subject;

fn main() -> std::process::ExitCode {
    signalbox_bootstrap::run(app::App::start, handler::handle)
}
