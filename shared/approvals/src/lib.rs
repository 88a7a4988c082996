//! What the functions around approvals have in common: the environment's policy as Parameter Store has it,
//! the signing key as Secrets Manager has it, and the one call that answers an approval.
//!
//! All of it fails closed: a policy that is missing or malformed is none, and the last good one never
//! stands in for it; a key that is not one signs nothing.

mod answer;
mod key;
mod policy;

pub use answer::put_approval_result;
pub use key::{Stage, signing_key, signing_keys};
pub use policy::{NoPolicy, Policies};

use signalbox_bootstrap::AwsFailure;

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An AWS call failed.
    #[error("{call}: {failure}")]
    Aws {
        /// The operation.
        call: &'static str,
        /// Its failure.
        failure: AwsFailure,
    },
    /// The signing secret is not what it should be; the message says how to mend it and holds no secret.
    #[error("the signing secret cannot be used: {0}")]
    Secret(String),
}
