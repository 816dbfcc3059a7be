//! The node: keeps the packages of meetings in progress near the people who read them.
//!
//! [`prepare`] loads its configuration and takes its data folder; [`run`] is all the rest. It never imports the master:
//! the two talk over HTTP in `posthouse_protocol` types, even inside one process.

rust_i18n::i18n!("locales", fallback = "en");

mod backoff;
pub mod config;
mod custody;
mod events;
mod gauges;
mod http;
mod identity;
mod join;
mod obtain;
mod placing;
mod presence;
mod reconfigure;
mod run;
mod service;
mod settings;
mod shelf;
mod space;
mod start;
mod state;
mod status;
mod store;
mod sync;
mod ticket;
mod uplink;

pub use run::{Draining, NodeExit, run};
pub use start::{NodeStart, prepare, reset_password};
