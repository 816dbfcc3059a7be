//! `make run`: a master and two nodes at work on this machine, until Ctrl-C.
//!
//! With `POSTHOUSE_DEMO_EXIT=1` it ends after it has shown everything.

mod screen;
mod show;

use std::process::ExitCode;

use rust_i18n::t;

rust_i18n::i18n!("locales", fallback = "en");

fn main() -> ExitCode {
    rust_i18n::set_locale(posthouse_tests::language());
    let outcome = tokio::runtime::Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(show::run(std::env::var_os("POSTHOUSE_DEMO_EXIT").is_some_and(|value| value != "0")))
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen::complain(&t!("demo.failed", reason = format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}
