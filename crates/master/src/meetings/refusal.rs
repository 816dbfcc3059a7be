//! Why something about a meeting is refused, in the words of the deployed system where it has any.

use posthouse_protocol::{ErrorCode, MeetingId, MeetingIdError};

/// The closed set of reasons.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// To an administrator: there is no such meeting.
    #[error("会议未找到")]
    Unknown,
    /// To a tablet: there is no such meeting.
    #[error("会议 {0} 不存在")]
    Missing(MeetingId),
    /// To a tablet: the meeting is not running.
    #[error("会议 {0} 不是进行中状态")]
    NotInProgress(MeetingId),
    /// The meeting is running, but its package has to be built again first.
    #[error("会议 {0} 的文件包正在生成，请稍后再试")]
    NoPackageYet(MeetingId),
    /// The id is taken.
    #[error("会议 {0} 已存在")]
    Exists(MeetingId),
    /// The id cannot be one.
    #[error("{0}")]
    BadId(#[from] MeetingIdError),
    /// A field has to be there.
    #[error("缺少必要字段: {0}")]
    MissingField(&'static str),
    /// A field has a value that it cannot have.
    #[error("{field}: {problem}")]
    BadField {
        /// Its name.
        field: &'static str,
        /// What is allowed.
        problem: &'static str,
    },
    /// A meeting is created with an agenda.
    #[error("会议必须至少包含一个议程项")]
    NoAgenda,
    /// Two agenda items at one place.
    #[error("议程项位置 {0} 重复")]
    DuplicatePosition(i64),
    /// A meeting without an agenda cannot be started.
    #[error("会议没有议程项，无法开始会议")]
    CannotStartWithoutAgenda,
    /// Nor one with these agenda items.
    #[error("以下议程项没有文件，无法开始会议: {}", .0.join(", "))]
    CannotStartWithoutFiles(Vec<String>),
    /// A running meeting keeps what it needed to be started.
    #[error("会议正在进行，每个议程项都必须有文件: {}", .0.join(", "))]
    RunningWithoutFiles(Vec<String>),
    /// The id was never handed out, or the file was removed since.
    #[error("文件 {0} 未上传或已过期，请重新上传")]
    UnknownFile(String),
    /// There is no agenda item at this place.
    #[error("议程项 {0} 不存在")]
    UnknownItem(i64),
    /// What creating a meeting is refused for.
    #[error("创建会议失败: {0}")]
    Creating(Box<Refusal>),
}

impl Refusal {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Unknown | Self::Missing(_) | Self::NotInProgress(_) | Self::UnknownItem(_) => ErrorCode::NotFound,
            Self::NoPackageYet(_) => ErrorCode::Unavailable,
            Self::Creating(refusal) => refusal.code(),
            Self::BadId(_)
            | Self::MissingField(_)
            | Self::BadField { .. }
            | Self::NoAgenda
            | Self::DuplicatePosition(_)
            | Self::CannotStartWithoutAgenda
            | Self::CannotStartWithoutFiles(_)
            | Self::RunningWithoutFiles(_)
            | Self::Exists(_)
            | Self::UnknownFile(_) => ErrorCode::InvalidRequest,
        }
    }
}
