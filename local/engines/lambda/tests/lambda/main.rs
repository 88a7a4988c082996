//! The local Lambda against real Node.js processes. One binary: linking it once is quicker.

mod delivery;
mod invocation;
mod orphans;
mod support;
mod versions;
