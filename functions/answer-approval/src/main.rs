//! The approval page and its POST.

fn main() {}
