//! Pushes of vendors: taken, verified, decoded, stored, answered.

mod admission;
mod receiver;
mod replay;

pub use self::{
    admission::{Admission, Place},
    receiver::PushReceiver,
    replay::replay,
};
