//! Why a join is refused.

use posthouse_protocol::ErrorCode;

/// Its text is told to who asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefusal {
    /// The code is unknown, expired, used up or revoked.
    #[error("加入码无效：{0}。请在主控上重新创建 / this join code is refused: {0}. Create a new one on the master")]
    CodeRefused(&'static str),
    /// To an administrator: there is no such code.
    #[error("没有加入码 {0} / there is no join code {0}")]
    NoSuchCode(String),
    /// The node does not know the code's secret.
    #[error("加入码不符：请检查是否完整复制 / the proof does not match the join code: check that it was copied whole")]
    WrongProof,
    /// The exchange is over or was never begun here.
    #[error("加入会话不存在或已过期，请重新开始 / there is no such join under way, or it took too long: begin again")]
    NoSession,
    /// A field that is not of its form.
    #[error("{0} 格式不正确 / {0} is not of its form")]
    Malformed(&'static str),
    /// The id joined before.
    #[error(
        "节点编号 {0} 已加入本主控：请用它原来的数据目录启动；若要重新加入，请先在主控上删除该节点（DELETE /api/v1/nodes/编号），\
         或更换 nodeId / node id {0} has joined already: start it with its own data folder; to join it anew remove it on the \
         master first (DELETE /api/v1/nodes/ID), or give it another nodeId"
    )]
    HasSecret(String),
    /// Too many attempts from this address, or too many joins at once.
    #[error("尝试过多，请稍后再试 / too many attempts: wait a minute")]
    TooMany,
    /// A wish that is out of range.
    #[error("{field} 必须是 {range} / {field} must be {range}")]
    OutOfRange {
        /// Which field.
        field: &'static str,
        /// What is allowed.
        range: &'static str,
    },
}

impl JoinRefusal {
    /// For programs.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::CodeRefused(_) => ErrorCode::JoinCodeRefused,
            Self::WrongProof => ErrorCode::JoinProofRefused,
            Self::NoSuchCode(_) | Self::NoSession => ErrorCode::NotFound,
            Self::Malformed(_) | Self::OutOfRange { .. } => ErrorCode::InvalidRequest,
            Self::HasSecret(_) => ErrorCode::Conflict,
            Self::TooMany => ErrorCode::TooManyRequests,
        }
    }
}
