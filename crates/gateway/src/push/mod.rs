//! Pushes of vendors: taken, verified, decoded, stored, answered.

mod admission;
mod explain;
mod receiver;
mod replay;

pub use self::{
    admission::{Admission, Place},
    explain::{Explanation, explain},
    receiver::PushReceiver,
    replay::replay,
};
