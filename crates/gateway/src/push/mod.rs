//! Pushes of vendors: taken, verified, decoded, stored, answered.

mod admission;
mod explain;
mod overdue;
mod receiver;
mod replay;
mod rhythm;

pub use self::{
    admission::{Admission, Place},
    explain::{Explanation, explain},
    overdue::OverdueWatch,
    receiver::PushReceiver,
    replay::{ReplayResult, ReplayTotals, replay},
};
