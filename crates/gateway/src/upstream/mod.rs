//! Calls to vendors: tokens, limits, deadlines, and the bytes themselves.
