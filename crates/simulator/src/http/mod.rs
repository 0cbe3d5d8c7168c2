//! The one port: both vendors' addresses, and the control under `/_sim/`.

mod call;
mod control;
mod reply;
mod routes;

pub(crate) use call::{Call, read_pairs};
pub(crate) use reply::Reply;
pub(crate) use routes::mount;
