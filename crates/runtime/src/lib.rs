//! What either role needs to run: paths, configuration files, logging, signals, supervised tasks, the SQLite handle,
//! the HTTP server and its error answer, signatures, the signed client, metrics.
//!
//! It knows neither meetings nor nodes' duties; whatever it offers is used by both roles or by the program itself.

rust_i18n::i18n!("locales", fallback = "en");

pub mod client;
pub mod clock;
pub mod config_file;
pub mod exit;
pub mod http;
pub mod limits;
pub mod logging;
pub mod metrics;
pub mod network;
pub mod paths;
pub mod private_file;
pub mod random;
pub mod running_file;
pub mod signals;
pub mod store;
pub mod system;
pub mod tasks;
pub mod trust;

/// Version of the program, as it is told on the wire and by `--version`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
