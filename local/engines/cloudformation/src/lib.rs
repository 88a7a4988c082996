//! CloudFormation, locally: stacks and change sets over the other engines.
//!
//! A request becomes a `Template` (the serverless transform is AWS's own code, run as
//! a process), its parameters are checked, its conditions decided. From there two things can happen:
//! `diff` says what would change, without touching anything, for a change set; `execute` does it, wave
//! by wave in the order of the dependencies, and undoes it when a resource fails. How a resource type is
//! made, changed and deleted stands in `resources`, a small module for each service.

mod diff;
mod engine;
mod execute;
mod graph;
mod intrinsics;
mod loader;
mod operations;
mod parameters;
mod resources;
mod stack;
mod template;
mod undo;

#[cfg(test)]
mod tests;

pub use engine::{CloudFormationEngine, Options};

use signalbox_local_core::AwsError;

/// `ValidationError`: what CloudFormation answers to nearly everything that is wrong with a request.
pub(crate) fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new("ValidationError", message)
}
