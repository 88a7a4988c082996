//! IAM: the policies seen, and whether they allow a call.
//!
//! Roles and policies live in the emulator, which does not enforce them. The calls that make them pass
//! through the local cloud, which keeps a copy, checks each call of a role's session against it, and
//! remembers what was asked: a missing permission fails here and not in production, and one that is
//! never used is reported.
//!
//! Checked are identity policies and permission boundaries. Resource policies of functions are the Lambda
//! engine's; those of other resources, and service control policies, are not evaluated.

mod condition;
mod document;
mod managed;
mod needs;
mod needs_s3;
mod pattern;
mod store;

pub(crate) use needs::{Needed, needed};
pub(crate) use needs_s3::needed as s3_needed;
pub use store::{Grant, Policies, Usage};
