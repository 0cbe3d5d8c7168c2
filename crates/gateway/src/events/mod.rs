//! The log, read as events.
