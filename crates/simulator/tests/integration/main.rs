//! Whole simulators over real sockets, one binary.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod client;
mod control;
mod faults;
mod icsoc;
mod icsoc_pushes;
mod receiver;
mod wellcloud;
mod wellcloud_pushes;
