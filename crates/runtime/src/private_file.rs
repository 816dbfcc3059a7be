//! Files for their owner alone: mode 0600 on Unix, on Windows an access list with the owner, administrators and the
//! system. A file appears whole or not at all.

use std::io::{self, Write as _};
use std::path::Path;

/// Replaces `path` atomically by `content`, readable for its owner alone, synced to disk.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a file has a folder"))?;
    // Of a bare name: the folder where the program runs.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    // `tempfile` makes its files 0600 on Unix.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    restrict(file.path())?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Makes the rename of a file in `folder` last through a loss of power.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    std::fs::File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Closes an existing file to everybody but its owner.
pub fn restrict(path: &Path) -> io::Result<()> {
    restrict_to(path, 0o600)
}

/// Closes an existing folder to everybody but its owner; on Windows what is made in it inherits that.
pub fn restrict_folder(path: &Path) -> io::Result<()> {
    restrict_to(path, 0o700)
}

#[cfg(unix)]
fn restrict_to(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// `icacls` is part of every Windows; a path is no secret, so it may stand on a command line.
#[cfg(windows)]
fn restrict_to(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::windows::process::CommandExt as _;
    const CREATE_NO_WINDOW: u32 = 0x0800_0000;
    let inherit = if mode == 0o700 { "(OI)(CI)F" } else { "F" };
    let user = std::env::var("USERNAME").unwrap_or_else(|_| "*S-1-3-4".to_owned());
    let output = std::process::Command::new("icacls")
        .arg(path)
        .args(["/inheritance:r", "/grant:r"])
        .arg(format!("{user}:{inherit}"))
        .arg(format!("*S-1-5-18:{inherit}"))
        .arg(format!("*S-1-5-32-544:{inherit}"))
        .creation_flags(CREATE_NO_WINDOW)
        .output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn written_files_are_for_their_owner_alone_and_replace_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("秘密 file.json");
        super::write(&path, b"one").unwrap();
        super::write(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
