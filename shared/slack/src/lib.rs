//! Slack's Web API, as far as requests for approval need it: post a message, edit it, tell the person who
//! clicked; and the secret that proves who sends what.
//!
//! The HTTP client is the one that the AWS SDK brings (hyper and rustls with ring), so that Slack adds no
//! TLS stack and no crate to the functions. It is another instance than the SDK's: that one trusts
//! Amazon's roots alone, this one trusts the system's, and it is made when the first message goes out,
//! since reading the system's store has no place in the cold start of a function whose Slack is off.

mod asked;
mod client;
mod error;
mod secret;

pub use asked::Asked;
pub use client::{Posted, Slack, SlackConfig};
pub use error::SlackError;
