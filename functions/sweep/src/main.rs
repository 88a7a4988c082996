//! Looks, every few minutes, at everything that is open.
//!
//! Events are best effort: one that is lost asks nobody and leaves a gap in the ledger. So the sweep reads
//! what CodePipeline shows *now*, compares it with the ledger, and hands what is missing to the function
//! whose event it would have been: those are idempotent. It also does what no event does: it reminds,
//! escalates, tells of an expiry before and after it happens, and of a freeze that nobody lifts.
//!
//! What a red alarm means is roll-back's to decide, and what a run or deployment means is track-run's: the
//! sweep only lets them hear of it.
//!
//! The accepted race: an event that is just under way is repaired too, and found done by its function.

mod alarms;
mod app;
mod codedeploy;
mod deferred;
mod effects;
mod error;
mod freezes;
mod gather;
mod handler;
mod releases;
mod superseded;
mod synthesized;

fn main() -> std::process::ExitCode {
    signalbox_bootstrap::run(app::App::start, handler::handle)
}
