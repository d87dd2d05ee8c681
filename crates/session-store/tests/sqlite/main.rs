//! What holds for the SQLite file: who may read it and what happens when disk, file or neighbours fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backup;
mod beside;
mod damage;
mod file;
mod index;
mod neighbours;
mod pruning;
mod room;
mod shape;
mod values;
