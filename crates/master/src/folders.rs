//! The folders of a master below its data folder.

use std::path::Path;

use posthouse_runtime::exit::StartError;
use posthouse_runtime::paths::DataDir;
use posthouse_runtime::private_file;

/// Makes them, each for its owner alone, and empties `scratch`, where a killed process may have left things.
pub(crate) fn prepare(data: &DataDir) -> Result<(), StartError> {
    for name in ["files", "packages", "scratch"] {
        let path = data.root().join(name);
        let failed = |error| StartError::CannotWrite(path.clone(), error);
        if !path.is_dir() {
            std::fs::create_dir_all(&path).map_err(failed)?;
            private_file::restrict_folder(&path).map_err(failed)?;
        }
    }
    let scratch = data.root().join("scratch");
    empty(&scratch).map_err(|error| StartError::CannotWrite(scratch, error))
}

fn empty(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
