//! What every server of the house has in common: an HTTP listener that is safe on a person's own machine, MCP over HTTP
//! and standard input, `/health`, `/metrics`, and an orderly end.
//!
//! It does not know what the tools do, which parts are healthy or what is counted: programs hand that in
//! ([`mcp::ToolSet`], [`health::HealthSource`], [`metrics::MetricsSource`]).

pub mod health;
pub mod http;
pub mod lifecycle;
pub mod mcp;
pub mod metrics;
pub mod rest;
pub mod service;
pub mod stdin;
