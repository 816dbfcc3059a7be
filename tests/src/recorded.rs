//! The recorded exchanges of the deployed programs, and what it means that an answer is like a recorded one.

use anyhow::{Context, Result, bail};
use http::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::answer::Answer;

const RECORDED: &str = include_str!("../fixtures/legacy-exchanges.jsonl");

/// What a node says to its master.
pub const NODE_TO_MASTER: &str = "node to master";
/// What administrator and tablet say to a master.
pub const PEOPLE_TO_MASTER: &str = "administrator and tablet to master";
/// What anybody says to a node.
pub const ANYONE_TO_NODE: &str = "anyone to node";

/// One exchange.
#[derive(Debug, Clone, Deserialize)]
pub struct Exchange {
    /// Line of the file, from 1.
    #[serde(skip)]
    pub line: usize,
    /// Who speaks to whom.
    pub who: String,
    /// Method.
    pub method: String,
    /// Path.
    pub path: String,
    /// Headers of the request.
    #[serde(default)]
    pub request_headers: std::collections::BTreeMap<String, String>,
    /// Body of the request, when it was JSON.
    #[serde(default)]
    pub request: Option<Value>,
    /// Status of the answer.
    pub status: u16,
    /// Headers of the answer.
    #[serde(default)]
    pub response_headers: std::collections::BTreeMap<String, String>,
    /// Body of the answer, when it was JSON.
    #[serde(default)]
    pub response: Option<Value>,
}

impl Exchange {
    /// Method of the request.
    ///
    /// # Errors
    /// When it is none.
    pub fn method(&self) -> Result<Method> {
        self.method.parse().with_context(|| format!("method in line {}", self.line))
    }

    /// For messages.
    #[must_use]
    pub fn name(&self) -> String {
        format!("line {}: {} {} {}", self.line, self.who, self.method, self.path)
    }

    /// Whether an answer has the recorded status and a body like the recorded one.
    ///
    /// # Errors
    /// Names the first difference.
    pub fn check(&self, answer: &Answer) -> Result<()> {
        if answer.status.as_u16() != self.status {
            bail!("{}: recorded {}, got {}: {}", self.name(), self.status, answer.status, answer.text());
        }
        let Some(recorded) = &self.response else { return Ok(()) };
        like(recorded, &answer.json()?).with_context(|| format!("{}: got {}", self.name(), answer.text()))
    }
}

/// All exchanges of one kind, in the order in which they were recorded.
///
/// # Errors
/// When the file is damaged.
pub fn exchanges(who: &str) -> Result<Vec<Exchange>> {
    let mut found = Vec::new();
    for (line, text) in (1..).zip(RECORDED.lines()) {
        let mut exchange: Exchange = serde_json::from_str(text).with_context(|| format!("line {line}"))?;
        exchange.line = line;
        if exchange.who == who {
            found.push(exchange);
        }
    }
    Ok(found)
}

/// Values of these keys are of the moment or of the machine: only their type is compared. The change token is such an
/// `id`; the id of a meeting is not: see [`like_at`].
const OF_THE_MOMENT: [&str; 16] = [
    "timestamp",
    "last_seen",
    "uptime",
    "start_time",
    "last_sync",
    "sync_time",
    "temp_id",
    "url",
    "package_url",
    "address",
    "ip",
    "download_url",
    "size",
    "formatted_size",
    "storage_usage",
    "nodes",
];

/// Keys that the existing programs send and ours must not: the paths of their server.
const LEFT_OUT: [&str; 1] = ["path"];

/// The one path that is told on purpose, in a node's configuration.
const CONFIGURED_PATH: &str = "$.storage.path";

/// Whether `actual` has all that `recorded` has, alike; extra fields of an object are fine.
///
/// # Errors
/// Names the place of the first difference.
pub fn like(recorded: &Value, actual: &Value) -> Result<()> {
    like_at("$", "", recorded, actual)
}

fn like_at(place: &str, key: &str, recorded: &Value, actual: &Value) -> Result<()> {
    match (recorded, actual) {
        (Value::Object(recorded), Value::Object(actual)) => {
            for (key, value) in recorded {
                let place = format!("{place}.{key}");
                if LEFT_OUT.contains(&key.as_str()) && place != CONFIGURED_PATH {
                    if actual.contains_key(key) {
                        bail!("{place}: tells a path of the server");
                    }
                    continue;
                }
                let Some(found) = actual.get(key) else { bail!("{place}: missing") };
                like_at(&place, key, value, found)?;
            }
            Ok(())
        }
        // The recorded answers list files as objects of nulls; ours say what the files are.
        (Value::Array(recorded), Value::Array(actual)) if recorded.iter().all(is_object_of_nulls) => {
            if recorded.len() == actual.len() && actual.iter().all(Value::is_object) {
                return Ok(());
            }
            bail!("{place}: {} elements recorded, {} found", recorded.len(), actual.len())
        }
        (Value::Array(recorded), Value::Array(actual)) => {
            if recorded.len() != actual.len() {
                bail!("{place}: {} elements recorded, {} found", recorded.len(), actual.len());
            }
            for (index, (recorded, actual)) in recorded.iter().zip(actual).enumerate() {
                like_at(&format!("{place}[{index}]"), key, recorded, actual)?;
            }
            Ok(())
        }
        (Value::Number(_), Value::Number(_)) | (Value::String(_), Value::String(_)) if of_the_moment(key, recorded) => {
            Ok(())
        }
        (recorded, actual) if recorded == actual => Ok(()),
        (Value::Number(recorded), Value::Number(actual)) if recorded.as_f64() == actual.as_f64() => Ok(()),
        (recorded, actual) => bail!("{place}: recorded {recorded}, got {actual}"),
    }
}

fn of_the_moment(key: &str, recorded: &Value) -> bool {
    let is_token = || recorded.as_str().is_some_and(|text| uuid::Uuid::parse_str(text).is_ok());
    OF_THE_MOMENT.contains(&key) || (key == "id" && is_token())
}

fn is_object_of_nulls(value: &Value) -> bool {
    value.as_object().is_some_and(|object| !object.is_empty() && object.values().all(Value::is_null))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_lines_are_read_and_belong_to_a_kind() {
        let count = |who| exchanges(who).unwrap().len();
        assert_eq!((count(NODE_TO_MASTER), count(PEOPLE_TO_MASTER), count(ANYONE_TO_NODE)), (20, 29, 23));
    }

    #[test]
    fn likeness_forgives_the_moment_and_nothing_else() {
        let recorded = json!({ "id": "46d9f49f-6c2a-484f-85bc-9c393ac045cc", "timestamp": 1.5, "title": "a" });
        like(&recorded, &json!({ "id": "other", "timestamp": 7, "title": "a", "more": 1 })).unwrap();
        like(&recorded, &json!({ "id": "other", "timestamp": 7, "title": "b" })).unwrap_err();
        like(&recorded, &json!({ "id": "other", "title": "a" })).unwrap_err();
        like(&recorded, &json!({ "id": "other", "timestamp": "7", "title": "a" })).unwrap_err();
        like(&json!({ "id": "m-001" }), &json!({ "id": "m-002" })).unwrap_err();
        like(&json!({ "path": "/srv" }), &json!({ "path": "/srv" })).unwrap_err();
    }
}
