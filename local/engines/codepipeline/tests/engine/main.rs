//! The engine over a cloud without a network, in virtual time: seven days pass in no time, and
//! nothing waits for a wall clock.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of these tests may fail loudly too"
)]

mod approvals;
mod control;
mod deploys;
mod invariants;
mod jobs;
mod modes;
mod pipelines;
mod runs;
mod world;
