//! Asks each approver for a decision, with a signed link of their own.
//!
//! CodePipeline's event says that an approval action has started; it is a hint. What waits, with which
//! token and since when, is read from CodePipeline itself; the ledger gets its record before anybody can
//! answer; then each approver gets one message, by a claim of their own, however often the event comes.
//!
//! Where Slack is on, the request is posted there too, and the message is edited once the action has
//! ended, whoever ended it and by whichever way: the end is an event of CodePipeline's, so that a click's
//! answer need not wait for it.
//!
//! Where a newer revision waits and the policy rejects the older one, nobody is asked: the rejection is sent
//! from here, in the policy's name. It is the only answer that this function gives.
//!
//! The accepted race: a crash between sending and recording sends that approver's message again, with
//! the same link.

mod app;
mod effects;
mod error;
mod gather;
mod handler;
mod preview;
mod reject;
mod slack;
mod started;

fn main() -> std::process::ExitCode {
    signalbox_bootstrap::run(app::App::start, handler::handle)
}
