//! Rosters: read in four forms, checked, encoded and sent at most once.
