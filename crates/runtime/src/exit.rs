//! Why the program could not start or go on, with the exit code of `sysexits.h` and one clear line for a person.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rust_i18n::t;

/// Exit codes of the program (BSD `sysexits.h`).
pub mod code {
    /// The command line was wrong.
    pub const USAGE: u8 = 64;
    /// A needed service or port is not available.
    pub const UNAVAILABLE: u8 = 69;
    /// A defect.
    pub const SOFTWARE: u8 = 70;
    /// A file or folder cannot be created.
    pub const CANT_CREATE: u8 = 73;
    /// A file cannot be read or written.
    pub const IO_ERROR: u8 = 74;
    /// Not allowed.
    pub const NO_PERMISSION: u8 = 77;
    /// The configuration is wrong.
    pub const CONFIG: u8 = 78;
}

/// A failure that ends the program before or while it runs. Its text is one line that names the thing and the remedy.
#[derive(Debug)]
pub enum StartError {
    /// Wrong arguments.
    Usage(String),
    /// The address is taken.
    PortInUse(SocketAddr),
    /// The address cannot be bound for another reason.
    CannotListen(SocketAddr, io::Error),
    /// A folder or file cannot be created or written.
    CannotWrite(PathBuf, io::Error),
    /// A file cannot be read.
    CannotRead(PathBuf, io::Error),
    /// A configuration file is broken: the path of the field, if any, and what is wrong with it.
    Config {
        /// Which file.
        file: PathBuf,
        /// Which field, as `storage.maxSize`; empty when the file as a whole is meant.
        field: String,
        /// What is wrong, with the allowed range.
        problem: String,
    },
    /// Another process already uses this data folder.
    AlreadyRunning(PathBuf, u32),
    /// The database was written by a newer program.
    NewerSchema(PathBuf),
    /// The database cannot be opened.
    Database(PathBuf, String),
    /// Something else that only its text explains, such as a refused join.
    Unavailable(String),
}

impl StartError {
    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => code::USAGE,
            Self::PortInUse(_) | Self::AlreadyRunning(..) | Self::Unavailable(_) => code::UNAVAILABLE,
            Self::CannotListen(_, error) => match error.kind() {
                io::ErrorKind::PermissionDenied => code::NO_PERMISSION,
                _ => code::UNAVAILABLE,
            },
            Self::CannotWrite(_, error) => match error.kind() {
                io::ErrorKind::PermissionDenied => code::NO_PERMISSION,
                _ => code::CANT_CREATE,
            },
            Self::CannotRead(_, error) => match error.kind() {
                io::ErrorKind::PermissionDenied => code::NO_PERMISSION,
                _ => code::IO_ERROR,
            },
            Self::Config { .. } => code::CONFIG,
            Self::NewerSchema(_) | Self::Database(..) => code::IO_ERROR,
        }
    }
}

impl std::fmt::Display for StartError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |path: &Path| path.display().to_string();
        let text = match self {
            Self::Usage(text) | Self::Unavailable(text) => text.into(),
            Self::PortInUse(address) => t!("start.port_in_use", address = address, port = address.port()),
            Self::CannotListen(address, error) => t!("start.cannot_listen", address = address, error = error),
            Self::CannotWrite(path, error) => t!("start.cannot_write", path = shown(path), error = error),
            Self::CannotRead(path, error) => t!("start.cannot_read", path = shown(path), error = error),
            Self::Config { file, field, problem } if field.is_empty() => {
                t!("start.config_file", path = shown(file), problem = problem)
            }
            Self::Config { file, field, problem } => {
                t!("start.config_field", path = shown(file), field = field, problem = problem)
            }
            Self::AlreadyRunning(path, pid) => t!("start.already_running", path = shown(path), pid = pid),
            Self::NewerSchema(path) => t!("start.newer_schema", path = shown(path)),
            Self::Database(path, error) => t!("start.database", path = shown(path), error = error),
        };
        formatter.write_str(&text)
    }
}

impl std::error::Error for StartError {}
