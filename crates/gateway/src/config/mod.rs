//! Configuration: one TOML file, then the environment; every mistake is told at once.
