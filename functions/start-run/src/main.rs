//! Starts a run for an uploaded package.

fn main() {}
