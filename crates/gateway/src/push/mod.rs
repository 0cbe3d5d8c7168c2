//! Pushes of vendors: taken, verified, decoded, stored, answered.
