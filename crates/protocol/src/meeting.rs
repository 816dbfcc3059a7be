//! Meetings: their identifier and their states.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// Identifier of a meeting: 1 to 128 of `A-Z a-z 0-9 . _ -`, not beginning with a dot. Two ids that differ only in
/// case name the same meeting; [`MeetingId::key`] is what to compare and store uniquely.
///
/// A value of this type is safe as part of a file name, whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, pattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$", example = "m-001")]
pub struct MeetingId(String);

/// Why a text is no meeting id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeetingIdError;

impl fmt::Display for MeetingIdError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("会议ID必须是1到128个字符，只能包含字母、数字、点、下划线和连字符，且不能以点开头")
    }
}

impl std::error::Error for MeetingIdError {}

impl MeetingId {
    /// The id as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id without regard to case: the form under which it is unique.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for MeetingId {
    type Err = MeetingIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > 128 || text.starts_with('.') || !text.bytes().all(allowed) {
            return Err(MeetingIdError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for MeetingId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MeetingId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// State of a meeting, written on the wire as the deployed programs write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum MeetingStatus {
    /// Prepared, not yet started.
    #[serde(rename = "未开始")]
    NotStarted,
    /// Running: has a package, nodes hold it, tablets download it.
    #[serde(rename = "进行中")]
    InProgress,
    /// Over: the package is gone.
    #[serde(rename = "已结束")]
    Ended,
}

impl MeetingStatus {
    /// The wire text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "未开始",
            Self::InProgress => "进行中",
            Self::Ended => "已结束",
        }
    }
}

impl FromStr for MeetingStatus {
    type Err = UnknownMeetingStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "未开始" => Ok(Self::NotStarted),
            "进行中" => Ok(Self::InProgress),
            "已结束" => Ok(Self::Ended),
            _ => Err(UnknownMeetingStatus),
        }
    }
}

/// The text names no state of a meeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownMeetingStatus;

impl fmt::Display for UnknownMeetingStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("会议状态必须是 未开始、进行中 或 已结束")
    }
}

impl std::error::Error for UnknownMeetingStatus {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_leave_a_folder_are_refused() {
        for bad in ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "%2e%2e", "a b", "会议", "a\0b", &"x".repeat(129)]
        {
            assert_eq!(bad.parse::<MeetingId>(), Err(MeetingIdError), "{bad:?}");
        }
        for good in ["m-001", "A.b_c-9", "x", &"x".repeat(128), "-a"] {
            assert!(good.parse::<MeetingId>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn ids_are_compared_without_regard_to_case() {
        let id = |text: &str| text.parse::<MeetingId>().unwrap().key();
        assert_eq!(id("M-001"), id("m-001"));
    }
}
