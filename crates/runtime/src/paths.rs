//! Where a role keeps everything it writes.

use std::path::{Path, PathBuf};

use crate::exit::StartError;
use crate::private_file;

/// The two roles of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Holds meetings and their packages.
    Master,
    /// Serves packages.
    Node,
}

impl Role {
    /// `master` or `node`, as in file names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Node => "node",
        }
    }
}

/// A role's data folder. A relative path in its configuration is relative to it.
#[derive(Debug, Clone)]
pub struct DataDir {
    root: PathBuf,
    role: Role,
}

impl DataDir {
    /// The folder given, or the platform's per-user one; created when missing, closed to others where the role made it.
    pub fn open(given: Option<&Path>, role: Role) -> Result<Self, StartError> {
        let root = match given {
            Some(path) => path.to_owned(),
            None => default_root(role)?,
        };
        let root = std::path::absolute(&root).map_err(|error| StartError::CannotWrite(root.clone(), error))?;
        let existed = root.is_dir();
        std::fs::create_dir_all(&root).map_err(|error| StartError::CannotWrite(root.clone(), error))?;
        if !existed {
            private_file::restrict_folder(&root).map_err(|error| StartError::CannotWrite(root.clone(), error))?;
        }
        // An unwritable folder is said now, not at the first change of something.
        tempfile::tempfile_in(&root).map_err(|error| StartError::CannotWrite(root.clone(), error))?;
        Ok(Self { root, role })
    }

    /// Whether the folder given, or the default one, holds this role's database. Creates nothing.
    ///
    /// # Errors
    /// When that cannot be seen, such as by another user than the one the role runs as.
    pub fn is_used(given: Option<&Path>, role: Role) -> Result<bool, StartError> {
        let root = given.map_or_else(|| default_root(role), |path| Ok(path.to_owned()))?;
        match std::fs::metadata(Self { root: root.clone(), role }.database()) {
            Ok(found) => Ok(found.is_file()),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(StartError::CannotRead(root, error))
            }
            Err(_) => Ok(false),
        }
    }

    /// Which role it belongs to.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The folder itself, absolute.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `path` when absolute, else below the folder. The seed's `./storage` loses its `./`.
    #[must_use]
    pub fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("./").unwrap_or(path))
    }

    /// `node_config.json` or `master_config.json`.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.root.join(format!("{}_config.json", self.role.as_str()))
    }

    /// `node.db` or `master.db`.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.root.join(format!("{}.db", self.role.as_str()))
    }

    /// Tells other processes that this one runs, and where.
    #[must_use]
    pub fn running_file(&self) -> PathBuf {
        self.root.join("running.json")
    }
}

fn default_root(role: Role) -> Result<PathBuf, StartError> {
    directories::ProjectDirs::from("", "", "posthouse")
        .map(|dirs| dirs.data_local_dir().join(role.as_str()))
        .ok_or_else(|| {
            let error = std::io::Error::new(std::io::ErrorKind::NotFound, "no home folder");
            StartError::CannotWrite(PathBuf::from("~"), error)
        })
}
