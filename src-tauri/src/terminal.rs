//! What a person at a terminal reads: plain lines, in the language of the system.

use std::io::Write as _;

/// `zh-CN` on a Chinese system, else `en`. `LANGUAGE`, `LC_ALL`, `LC_MESSAGES` and `LANG` decide on Unix.
pub(crate) fn language() -> &'static str {
    let preferred = sys_locale::get_locale().unwrap_or_default();
    if preferred.to_ascii_lowercase().starts_with("zh") { "zh-CN" } else { "en" }
}

/// A line on standard output. A reader that went away is no reason to fail.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A line on standard error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
