//! Where the program lies.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// The program under test: `POSTHOUSE_BIN`, or the one of the profile that this test, demo or bench was built with.
///
/// # Errors
/// When there is none, with the command that makes it.
pub fn path() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("POSTHOUSE_BIN") {
        let path = PathBuf::from(named);
        if path.is_file() {
            return Ok(path);
        }
        bail!("POSTHOUSE_BIN names {}, which is no file", path.display());
    }
    let own = std::env::current_exe().context("where this program lies")?;
    let name = format!("posthouse{}", std::env::consts::EXE_SUFFIX);
    // target/<profile>/posthouse-demo or target/<profile>/deps/it-<hash>
    for folder in own.ancestors().skip(1).take(2) {
        let path = folder.join(&name);
        if path.is_file() {
            return Ok(path);
        }
    }
    bail!("there is no {name} beside {}; make it with: cargo build -p posthouse", own.display())
}
