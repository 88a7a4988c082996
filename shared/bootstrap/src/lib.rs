//! What every function does at start, once, so that a function's own crate holds only its purpose.
//!
//! - [`run`]: the Lambda runtime on a current-thread tokio, with errors of a stable type;
//! - [`Reader`]: configuration from the environment, every mistake reported at once;
//! - [`Aws`]: one SDK configuration and one HTTP client for all SDK clients of the process;
//! - [`Failure`]: what a handler's error becomes for Lambda's retries.
//!
//! Init runs with a full CPU, the first invocation of a small function does not: whatever can happen
//! at init (reading configuration, building clients, opening connections) happens there.

mod aws;
mod config;
mod failure;
mod moment;
mod retries;
mod run;
mod telemetry;

pub use aws::Aws;
pub use config::{ConfigErrors, ProcessEnvironment, Reader, Strings};
pub use failure::{AwsFailure, Failure, aws_failure, unless_missing};
pub use moment::moment;
pub use retries::{MoreRetries, OnlyRefused};
pub use run::{Invocation, run};
