//! Asks each approver for a decision, with a signed link of their own.

fn main() {}
