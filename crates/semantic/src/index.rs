//! Which of very many vectors lie near a query: codes of two bits a number in memory, exact enough to leave a few
//! hundred candidates, whose stored vectors then decide.
//!
//! After a random rotation ([`rotation`]) every number of a vector behaves alike, so two bits of each, kept in two
//! planes, tell its direction well ([`code`]). A search scans the first plane with four bits of the query ([`scan`]), on
//! all cores, and orders the best by both planes ([`codes`]). The estimate is unbiased, as in RaBitQ (Gao and Long, SIGMOD 2024).
//! Nothing here knows events or files.

pub mod code;
pub mod codes;
mod rotation;
mod scan;
mod select;

pub use code::{Code, Encoder, Query, STORED_OVERHEAD, cosine};
pub use codes::{Codes, Scored};
