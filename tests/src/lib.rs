//! What the tests, the demo and the bench share: the program as a process, clients that speak to it as administrators,
//! tablets and nodes do, and stand-ins for the deployed Python programs.
//!
//! Knows the program from outside only: command line, files, HTTP. Nothing in here waits for luck: ports are chosen by
//! the system, and conditions are polled until a deadline.

pub mod admin;
pub mod answer;
pub mod archive;
pub mod config;
pub mod master;
pub mod node;
pub mod noise;
pub mod pdf;
pub mod process;
pub mod program;
pub mod proxy;
pub mod python_master;
pub mod python_node;
pub mod recorded;
pub mod signed;
pub mod site;
pub mod small_disk;
pub mod stream;
pub mod tablet;
pub mod tcp;
pub mod usage;
pub mod wait;
pub mod wrong_clock;

/// The languages of the demo; see `locales/`.
#[must_use]
pub fn language() -> &'static str {
    let named = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .or_else(sys_locale::get_locale)
        .unwrap_or_default();
    if named.to_ascii_lowercase().starts_with("zh") { "zh-CN" } else { "en" }
}
