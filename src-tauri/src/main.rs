//! The one program: which role it plays is decided here, and nowhere else.

use std::process::ExitCode;

mod cli;
mod role;
mod terminal;

rust_i18n::i18n!("locales", fallback = "en");

fn main() -> ExitCode {
    rust_i18n::set_locale(terminal::language());
    match cli::parse(std::env::args_os()) {
        Ok(command) => role::run(command),
        Err(exit) => exit,
    }
}
