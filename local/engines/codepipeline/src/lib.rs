//! CodePipeline, locally.
//!
//! Pipelines are declared, validated, executed and watched as in AWS: stages and their locks, run
//! orders, artifacts, variables, approvals, Lambda jobs, stop, retry, rollback, disabled transitions,
//! the three execution modes, and the events that all of that sends to EventBridge.
//!
//! Inside, the state machine (`state`, `schedule`, `lifecycle`, `launch`, `control`, `rollback`) changes
//! state under one short lock and leaves *effects* (`task`); `engine` performs them: events go out in the
//! order of the changes, and each action runs in a task of its own (`actions`, one file a provider).
//! A result that comes after its action is over, because somebody answered first or abandoned it,
//! changes nothing.
//!
//! Deliberately different from AWS: creating a pipeline does not start it (there is no source yet when
//! the local cloud sets it up), sources are never polled, and stage conditions with rules are refused
//! instead of being ignored.

mod action_types;
mod actions;
mod control;
mod declaration;
mod engine;
mod events;
mod launch;
mod lifecycle;
mod operations;
mod rollback;
mod schedule;
mod state;
mod task;
mod validate;
mod variables;

pub use engine::CodePipelineEngine;
