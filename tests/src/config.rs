//! Configuration files, edited as a person edits them.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// Reads a JSON file.
///
/// # Errors
/// When it cannot be read or is no JSON.
pub fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("in {}", path.display()))
}

/// Writes a JSON file in place, as simple editors do.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, value: &Value) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let text = serde_json::to_string_pretty(value)?;
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// Changes a JSON file.
///
/// # Errors
/// When it cannot be read or written.
pub fn edit(path: &Path, change: impl FnOnce(&mut Value)) -> Result<()> {
    let mut value = read(path)?;
    change(&mut value);
    write(path, &value)
}

/// Lays `over` upon `base`: objects are merged, everything else is replaced.
pub fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}
