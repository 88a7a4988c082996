//! Checks a deployed version and reports a verdict.

fn main() {}
