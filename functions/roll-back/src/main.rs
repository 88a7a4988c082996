//! Turns an alarm into a stopped deployment, a redeployment, or a reason to do nothing.

mod app;
mod effects;
mod error;
mod facts;
mod handler;
mod once;
mod tell;

fn main() -> std::process::ExitCode {
    signalbox_bootstrap::run(app::App::start, handler::handle)
}
