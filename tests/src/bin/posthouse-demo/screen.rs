//! Lines for the person who watches. Who looks away (a closed pipe) does not stop the show.

use std::io::{IsTerminal, Write, stdout};

/// A line.
pub(crate) fn say(line: &str) {
    let mut out = stdout().lock();
    drop(writeln!(out, "{line}"));
    drop(out.flush());
}

/// A line about something that went wrong.
pub(crate) fn complain(line: &str) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}

/// A line that changes: in a terminal it is written over, elsewhere each new state is a line.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    shown: String,
}

impl Progress {
    pub(crate) fn show(&mut self, line: &str) {
        if self.shown == line {
            return;
        }
        let mut out = stdout().lock();
        if out.is_terminal() {
            // To the beginning of the line, and clear to its end.
            drop(write!(out, "\r\u{1b}[K{line}"));
        } else {
            drop(writeln!(out, "{line}"));
        }
        drop(out.flush());
        line.clone_into(&mut self.shown);
    }

    pub(crate) fn end(self) {
        let mut out = stdout().lock();
        if out.is_terminal() && !self.shown.is_empty() {
            drop(writeln!(out));
        }
    }
}
