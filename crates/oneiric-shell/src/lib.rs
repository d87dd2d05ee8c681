//! The admin shell's machinery: Starlark interpreter, line reader, magics, system commands and tables.
//!
//! It knows neither repositories nor sessions: a program gives it functions, magics and commands ([`program::Program`])
//! and a [`program::Journal`] that is told of every command.

pub mod entry;
pub mod interpreter;
pub mod interrupt;
mod keys;
pub mod nearest;
pub mod output;
pub mod pager;
pub mod program;
pub mod reader;
pub mod shell;
pub mod system;
pub mod table;
pub mod terminal;
