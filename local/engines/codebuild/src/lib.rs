//! CodeBuild, locally: builds really run.
//!
//! A build takes its source from S3, reads its buildspec (version 0.2), and runs the phases' commands
//! in one shell of its own process group on this machine, with a session of the project's service
//! role as credentials. Phases, contexts, logs, reports, artifacts and events come out as AWS's do.
//!
//! What differs from AWS, by nature:
//! - There is no container. Commands see this machine's tools; `runtime-versions` are compared with
//!   what is installed, and the log says where they differ. `run-as`, `proxy` and VPC settings are
//!   noted in the log and have no effect.
//! - Every cache type is a directory beside the builds ([`Options::cache_dir`]), and
//!   `SIGNALBOX_TOOL_CACHE` names a directory that outlives builds, for tools that take long to
//!   install. A buildspec that has to run in AWS too says `${SIGNALBOX_TOOL_CACHE:-…}`.
//! - Sources are `S3` (one zip), `CODEPIPELINE` and `NO_SOURCE`; artifacts are `S3`, `CODEPIPELINE`
//!   and `NO_ARTIFACTS`. A build of another source type fails in `DOWNLOAD_SOURCE` and says so.
//! - A build started by CodePipeline gets `sourceLocationOverride` (`bucket/key`) and
//!   `artifactsOverride` of type `S3`; AWS hands these over inside.
//!
//! Time-outs are real minutes even where the cloud's clock is scaled, since the commands are real.

mod artifacts;
mod build;
mod builds;
mod buildspec;
mod cache;
mod engine;
mod environment;
mod events;
mod glob;
mod junit;
mod log;
mod overrides;
mod phase;
mod projects;
mod reports;
mod run;
mod shell;
mod source;
mod state;
mod unpack;
mod work;

pub use engine::{CodeBuildEngine, Options};
