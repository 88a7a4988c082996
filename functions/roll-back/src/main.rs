//! Turns an alarm, or a person's command, into a stopped deployment, a redeployment, or a reason to do nothing.

mod aftermath;
mod again;
mod alarms;
mod app;
mod effects;
mod error;
mod facts;
mod groups;
mod handler;
mod manual;
mod once;
mod run;
mod stack;
mod tell;
mod traffic;
mod versions;
mod waiting;

fn main() -> std::process::ExitCode {
    signalbox_bootstrap::run(app::App::start, handler::handle)
}
