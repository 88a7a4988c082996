//! Checks a deployed version and reports a verdict.

mod alarms;
mod app;
mod canary;
mod effects;
mod error;
mod handler;
mod job;
mod logs;
mod measure;
mod once;
mod policy;
mod probe;
mod publish;
mod record;
mod subject;

fn main() -> std::process::ExitCode {
    signalbox_bootstrap::run(app::App::start, handler::handle)
}
