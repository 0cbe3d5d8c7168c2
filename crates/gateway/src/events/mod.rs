//! The log, read as events.

mod catalogue;
mod filter;
mod page;
mod stream;

pub use self::{
    catalogue::{DescribedType, read_catalogue},
    filter::{EventFilter, ShownEvent},
    page::read_page,
    stream::{EventStreams, Frames, Start},
};
