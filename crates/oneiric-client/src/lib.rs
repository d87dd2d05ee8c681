//! oneiric-client
