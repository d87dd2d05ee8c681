//! oneiric-shell
