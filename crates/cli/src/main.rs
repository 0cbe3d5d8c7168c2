//! Outdial.
fn main() {}
