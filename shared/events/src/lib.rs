//! The AWS events that Signalbox receives, typed where it acts on them.
//!
//! Tolerant of what AWS adds (unknown fields and states are kept or passed over), strict about what is
//! acted on: a field that a decision needs and that is missing is an error that names it. Parsing
//! happens once, at the edge; past it there are only `signalbox-decision`'s types.

pub mod alarm;
pub mod appspec;
pub mod codebuild;
pub mod codedeploy;
pub mod codepipeline;
pub mod envelope;
pub mod job;
pub mod s3;
