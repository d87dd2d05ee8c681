//! Pools of workers.
mod machine;
mod selector;
