//! Why the registry does not do what it was asked.

use posthouse_protocol::ErrorCode;

/// Its text is told to who asked. Where the deployed programs have a text, it is theirs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeRefusal {
    /// No id or no address.
    #[error("Invalid node data")]
    Incomplete,
    /// An id or address that cannot be one.
    #[error("Invalid node data: {0}")]
    Invalid(&'static str),
    /// Nobody of this id is known, or registered.
    #[error("Node {0} not found")]
    NotFound(String),
    /// It is known, but not registered now.
    #[error("节点 {0} 当前未注册 / node {0} is not registered now")]
    NotRegistered(String),
    /// The id has a secret, and the request is not signed with it.
    #[error("节点 {0} 已加入本主控，请求必须签名 / node {0} has joined this master: its requests must be signed")]
    SignatureRequired(String),
    /// Nodes without a secret are not let in from this address.
    #[error(
        "节点 {0} 尚未加入：请在主控上创建加入码，并用 posthouse --node --join 加入码 启动节点；或在主控配置中设置 nodes.allowUnsigned / \
         node {0} has not joined: create a join code on the master and start the node with --join CODE, or set \
         nodes.allowUnsigned on the master"
    )]
    JoinRequired(String),
    /// A signed request speaks for another node than its signer.
    #[error("节点 {signer} 不能代表节点 {subject} / node {signer} cannot speak for node {subject}")]
    AnotherNode {
        /// Who signed.
        signer: String,
        /// Whom it speaks for.
        subject: String,
    },
    /// Another process of this id is alive.
    #[error(
        "节点编号 {id} 正由地址 {address} 的另一个进程使用：请停止其中一个，或为其中一个更换 nodeId 并重新加入 / node id {id} is in use \
         by another process at {address}: stop one of the two, or give one another nodeId and join it anew"
    )]
    SecondInstance {
        /// The id.
        id: String,
        /// Where the other process serves.
        address: String,
    },
    /// An administrator disabled the node.
    #[error("节点 {0} 已被管理员停用 / node {0} was disabled by an administrator")]
    Disabled(String),
    /// A change that is out of range.
    #[error("{field} 必须是 {range} / {field} must be {range}")]
    OutOfRange {
        /// Which field.
        field: &'static str,
        /// What is allowed.
        range: &'static str,
    },
    /// The answer to a challenge that was not made, or is over.
    #[error("没有这个询问，或已过期 / there is no such challenge, or it is over")]
    NoChallenge,
    /// A version of a package that nodes do not need any more.
    #[error(
        "会议 {0} 没有这个版本的文件包，请重新查询 / meeting {0} has no package of this version: ask again what is wanted"
    )]
    VersionGone(String),
    /// More nodes than a master keeps.
    #[error("节点过多：请先删除不用的节点 / too many nodes: remove those that are not used")]
    TooMany,
}

impl NodeRefusal {
    /// For programs.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Incomplete | Self::Invalid(_) | Self::OutOfRange { .. } => ErrorCode::InvalidRequest,
            Self::NotFound(_) | Self::NoChallenge | Self::VersionGone(_) => ErrorCode::NotFound,
            Self::SignatureRequired(_) | Self::JoinRequired(_) => ErrorCode::SecretRequired,
            Self::AnotherNode { .. } | Self::Disabled(_) => ErrorCode::Forbidden,
            Self::SecondInstance { .. } => ErrorCode::SecondInstance,
            Self::TooMany | Self::NotRegistered(_) => ErrorCode::Conflict,
        }
    }
}
