//! Standard output for programs: a reader who has seen enough, such as `head`, ends the command without an error.

use std::io::{self, Write};

use crate::failure::Failure;

/// Writes a line.
pub fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    bytes(format!("{text}\n").as_bytes())
}

/// Writes bytes as they are.
pub fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::new(format!("standard output: {error}")),
    })
}
