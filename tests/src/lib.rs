//! Whole-process tests live in this package.
