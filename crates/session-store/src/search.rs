//! Full-text search without a database: what a query asks for ([`query`]), which texts an event has ([`text`]), how
//! well they answer ([`rank`]), what is shown of them ([`excerpt`]) and what of them is embedded ([`embedding_text`]).
//!
//! A store keeps an inverted index of the terms of [`crate::analysis`] and uses it to find candidates; what a candidate
//! really holds is decided here, from its text.

pub mod dates;
pub mod embedding_text;
pub mod excerpt;
pub mod fuse;
pub mod meaning;
pub mod query;
pub mod rank;
pub mod spelling;
pub mod stop;
pub mod text;
