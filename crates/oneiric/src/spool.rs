//! The spool: files that hold accepted events until they are acknowledged.
