//! The log, read as events.

mod filter;
mod page;
mod stream;

pub use self::{
    filter::EventFilter,
    page::read_page,
    stream::{EventStreams, Frames, Start},
};
