//! The one arbiter of rollbacks: from freshly read facts, what an alarm or a person's command means for a
//! deployment.
//!
//! It never stops another deployment than the one the alarm speaks of, never rolls a rollback back,
//! never goes back to a version that is remembered as bad, and never acts where CodeDeploy is already
//! acting. What it cannot be sure of, it leaves alone and says why, or pages a person.
//!
//! - [`mapping`]: which deployment groups an alarm speaks for;
//! - [`facts`]: what the decision rests on; [`arbiter`]: what an alarm means;
//! - [`good`]: which version there is to go back to; [`attribution`]: which run brought the bad one;
//! - [`command`] and [`manual`]: what a person asks for, and whether it may be done;
//! - [`stack`]: how the stack follows its alias back;
//! - [`moments`]: when an alarm turned red, and which moments are the same;
//! - [`words`]: what people are told.

pub mod arbiter;
pub mod attribution;
pub mod command;
pub mod facts;
pub mod good;
pub mod manual;
pub mod mapping;
pub mod moments;
pub mod stack;
pub mod words;

pub use arbiter::{Decision, decide};
pub use facts::{AlarmNow, Begun, Deployment, Facts, Group, Overtaken, Status};

/// How the descriptions of the deployments that roll-back makes begin, so that none of them is ever rolled back:
/// `CreateDeployment` cannot set `creator`.
pub const ROLLBACK_MARK: &str = "Signalbox rollback of ";
