//! ICSOC autocall: tokens, call records by search and by signed push.

mod cdr;
mod enterprise;
mod envelope;
mod oauth;
mod records;
mod search;

pub(crate) use enterprise::Enterprise;
#[cfg(test)]
pub(crate) use envelope::tests::vectors;
