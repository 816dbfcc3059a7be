//! The master: meetings, their files and packages, the nodes that hold them, and which node a tablet is sent to.
//!
//! [`run`] is all of it. It never imports the node: the two talk over HTTP in `posthouse_protocol` types, even inside
//! one process.

rust_i18n::i18n!("locales", fallback = "en");

pub mod catalog;
pub mod config;
pub mod error;
pub mod events;
mod files;
mod folders;
mod http;
pub mod joins;
mod meetings;
mod open_packages;
mod packages;
mod probe;
pub mod registry;
pub mod rotation;
mod router;
pub mod run;
pub mod state;
mod store;
mod tidying;
mod unbroken;
pub mod users;

pub use config::MasterConfig;
pub use joins::create_join_code;
pub use run::{Launch, run};
pub use users::{FirstPassword, reset_password};
