//! The gateway's parts, through their public face.

mod config;
mod egress;
mod rosters;
mod sender;
mod subscriber;
