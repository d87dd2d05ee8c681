//! What every store keeps, whatever database is under it. Each assertion runs on each implementation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// Makes a test for every store out of each function that takes a `&World`.
macro_rules! on_every_store {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite_file {
            $(#[test] fn $name() { super::$name(&crate::world::World::sqlite_file()); })*
        }
        mod on_sqlite_memory {
            $(#[test] fn $name() { super::$name(&crate::world::World::sqlite_memory()); })*
        }
    };
}

mod analytics;
mod archive;
mod ingestion;
mod life;
mod narrowing;
mod pages;
mod queries;
mod ranking;
mod remember;
mod retention;
mod search;
mod totals;
mod transfer;
mod vocabulary;
mod world;
