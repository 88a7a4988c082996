//! Follows every pipeline, build and deployment event into the ledger, metrics and notices.

fn main() {}
