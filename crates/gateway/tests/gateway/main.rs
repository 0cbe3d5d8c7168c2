//! The gateway's parts that need no sockets, through their public face.

mod config;
mod rosters;
