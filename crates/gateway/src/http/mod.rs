//! The three ports. The only place with actix types.
