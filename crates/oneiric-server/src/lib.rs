//! oneiric-server
