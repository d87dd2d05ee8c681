//! The two programs together, as people and clients use them: real binaries, real files, real sockets, real faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod adapters;
mod auth;
mod by_hand;
mod client_files;
mod clocks;
mod damaged_files;
mod full_disk;
mod full_disk_upkeep;
mod guide;
mod guide_lines;
mod http_input;
mod kills;
mod left_log;
mod many_at_once;
mod meaning;
mod models;
mod operation;
mod pools;
mod projects;
mod remember;
mod repositories;
mod rest;
mod rest_upkeep;
mod sample;
mod schedules;
mod searching;
mod secrets;
mod seed_lines;
mod sessions;
mod shell_input;
mod start_and_stop;
mod stdio;
mod transfer;
mod visitors;
mod without_server;
