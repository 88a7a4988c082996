//! Turns an alarm into a stopped deployment, a redeployment, or a reason to do nothing.

fn main() {}
