//! Keeps sessions and events, and finds them again.
//!
//! [`Store`] is the contract; [`sqlite::SqliteStore`] keeps it over a SQLite file or in memory. Text analysis and
//! ranking ([`analysis`], [`search`]) belong to no database. Nothing here knows a command line, a socket or a protocol.

// Tests inside the crate share helpers with those outside.
#[cfg(test)]
extern crate self as session_store;

pub mod analysis;
pub mod analytics;
pub mod backup;
pub mod brief;
pub mod evaluation;
pub mod links;
pub mod model;
pub mod remember;
pub mod retention;
pub mod scope;
pub mod search;
pub mod sink;
pub mod sqlite;
mod store;
pub mod transfer;
pub mod upkeep;
pub mod vectors;

pub use model::{
    Candidates, Counts, Damage, DurationHistogram, EventFilter, EventPlace, EventRow, Granularity, Page, Pool,
    SearchAnswer, SearchFilter, SearchHit, SearchMode, SearchRequest, Session, SessionFilter, SessionPlace,
    SessionStatus, StoreInfo,
};
pub use scope::Scope;
pub use sink::StoreSink;
pub use store::{Judge, STARTED_ALREADY, Store, Unknown};
pub use upkeep::Upkeep;
pub use vectors::Vectors;
