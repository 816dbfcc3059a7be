//! A role's JSON configuration file: load with the seed's merging rules, save atomically, watch for edits.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::RecursiveMode;
use notify_debouncer_full::{DebounceEventResult, new_debouncer};
use rust_i18n::t;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;

use crate::exit::StartError;
use crate::private_file;

/// One field of a configuration that is not right. Its text says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Path of the field, as `storage.maxSize`; empty for the file as a whole.
    pub field: String,
    /// What is wrong, with the allowed range.
    pub problem: String,
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.field.is_empty() {
            formatter.write_str(&self.problem)
        } else {
            write!(formatter, "{}: {}", self.field, self.problem)
        }
    }
}

impl std::error::Error for Invalid {}

impl Invalid {
    /// A field that is wrong for a reason of its own.
    #[must_use]
    pub fn new(field: &str, problem: impl Into<String>) -> Self {
        Self { field: field.to_owned(), problem: problem.into() }
    }

    /// The failure of a program that cannot start with this file.
    #[must_use]
    pub fn in_file(self, file: &Path) -> StartError {
        StartError::Config { file: file.to_owned(), field: self.field, problem: self.problem }
    }
}

/// `value` when it lies in the range.
pub fn between<Number: PartialOrd + std::fmt::Display + Copy>(
    field: &str,
    value: Number,
    low: Number,
    high: Number,
) -> Result<Number, Invalid> {
    if value >= low && value <= high {
        Ok(value)
    } else {
        Err(Invalid::new(field, t!("config.must_be_between", low = low, high = high, value = value)))
    }
}

/// Raw configuration from JSON text: the defaults of `Raw` overlaid by what the text says, section by section; keys
/// that `Raw` does not know stay if it keeps them.
pub fn parse<Raw: DeserializeOwned + Serialize + Default>(text: &str) -> Result<Raw, Invalid> {
    // Windows editors put a byte-order mark in front of UTF-8.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let overlay: Value =
        serde_json::from_str(text).map_err(|error| Invalid::new("", t!("config.not_json", error = error)))?;
    from_value(overlay)
}

/// The same from a JSON value.
pub fn from_value<Raw: DeserializeOwned + Serialize + Default>(overlay: Value) -> Result<Raw, Invalid> {
    if !overlay.is_object() {
        return Err(Invalid::new("", t!("config.not_an_object")));
    }
    let mut merged = serde_json::to_value(Raw::default()).map_err(|error| Invalid::new("", error.to_string()))?;
    merge(&mut merged, overlay);
    let mut track = String::new();
    find_type_error::<Raw>(&merged, &mut track);
    serde_json::from_value(merged).map_err(|error| Invalid::new(&track, error.to_string()))
}

/// Overlays objects key by key and replaces everything else.
pub fn merge(base: &mut Value, overlay: Value) {
    match (base, overlay) {
        (Value::Object(base), Value::Object(overlay)) => {
            for (key, value) in overlay {
                match base.get_mut(&key) {
                    Some(slot) if slot.is_object() => merge(slot, value),
                    _ => {
                        base.insert(key, value);
                    }
                }
            }
        }
        (base, overlay) => *base = overlay,
    }
}

/// Names the first field whose type is wrong, by putting the fields into the defaults one by one.
fn find_type_error<Raw: DeserializeOwned + Serialize + Default>(merged: &Value, found: &mut String) {
    let (Ok(defaults), Value::Object(fields)) = (serde_json::to_value(Raw::default()), merged) else { return };
    let fits = |path: &[&str], value: &Value| {
        let mut candidate = defaults.clone();
        let mut slot = &mut candidate;
        for key in path {
            slot = match slot {
                Value::Object(map) => map.entry((*key).to_owned()).or_insert(Value::Null),
                _ => return true,
            };
        }
        *slot = value.clone();
        serde_json::from_value::<Raw>(candidate).is_ok()
    };
    for (key, value) in fields {
        match value {
            Value::Object(section) => {
                for (inner, value) in section {
                    if !fits(&[key, inner], value) {
                        *found = format!("{key}.{inner}");
                        return;
                    }
                }
            }
            other if !fits(&[key], other) => {
                found.clone_from(key);
                return;
            }
            _ => {}
        }
    }
}

/// Reads the file; `None` when there is none.
pub fn load<Raw: DeserializeOwned + Serialize + Default>(path: &Path) -> Result<Option<Raw>, StartError> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text).map(Some).map_err(|invalid| invalid.in_file(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StartError::CannotRead(path.to_owned(), error)),
    }
}

/// Replaces the file atomically, for its owner alone.
pub fn save<Raw: Serialize>(path: &Path, raw: &Raw) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(raw)?;
    text.push('\n');
    private_file::write(path, text.as_bytes())
}

/// Counts changes of a file, whoever made them. Watching ends when this is dropped.
pub struct FileWatch {
    changes: watch::Receiver<u64>,
    _watcher: Box<dyn Send + Sync>,
}

impl std::fmt::Debug for FileWatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("FileWatch").finish_non_exhaustive()
    }
}

impl FileWatch {
    /// Watches the folder of `path`, because editors replace files.
    pub fn new(path: &Path) -> Result<Self, notify::Error> {
        let (changed, changes) = watch::channel(0);
        let file: PathBuf = path.to_owned();
        let folder = path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
        let on_events = move |events: DebounceEventResult| {
            let concerns = |path: &PathBuf| path.file_name() == file.file_name();
            let is_ours = match events {
                Ok(events) => events.iter().any(|event| !event.kind.is_access() && event.paths.iter().any(concerns)),
                // Events were lost: look at the file.
                Err(_) => true,
            };
            if is_ours {
                changed.send_modify(|count| *count += 1);
            }
        };
        let mut watcher = new_debouncer(Duration::from_millis(200), None, on_events)?;
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        Ok(Self { changes, _watcher: Box::new(parking_lot::Mutex::new(watcher)) })
    }

    /// Waits for the next change.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The watcher is gone; there will be no change.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use posthouse_protocol::config::NodeConfigFile;

    use super::*;

    #[test]
    fn sections_are_merged_and_unknown_keys_kept() {
        let raw: NodeConfigFile =
            parse("\u{feff}{\"syncInterval\":20,\"extra\":{\"a\":1},\"storage\":{\"maxSize\":5,\"future\":true}}")
                .unwrap();
        assert_eq!(raw.sync_interval, 20);
        assert_eq!(raw.storage.max_size, 5);
        assert_eq!(raw.storage.path, "./storage");
        let back = serde_json::to_value(&raw).unwrap();
        assert_eq!(back["extra"]["a"], 1);
        assert_eq!(back["storage"]["future"], true);
    }

    #[test]
    fn a_wrong_type_is_told_by_its_path() {
        let error = parse::<NodeConfigFile>("{\"storage\":{\"maxSize\":\"big\"}}").unwrap_err();
        assert_eq!(error.field, "storage.maxSize");
        let error = parse::<NodeConfigFile>("{\"nodePort\":[]}").unwrap_err();
        assert_eq!(error.field, "nodePort");
        assert!(parse::<NodeConfigFile>("[]").is_err());
        assert!(parse::<NodeConfigFile>("{").is_err());
    }

    #[tokio::test]
    async fn an_edit_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node_config.json");
        save(&path, &NodeConfigFile::default()).unwrap();
        let mut watch = FileWatch::new(&path).unwrap();
        std::fs::write(&path, "{}").unwrap();
        tokio::time::timeout(Duration::from_secs(10), watch.changed()).await.unwrap();
    }
}
