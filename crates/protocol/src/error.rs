//! The one shape of an error answer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The closed set of reasons a program may match on; people read `detail` instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request is not of the form the route takes.
    InvalidRequest,
    /// A login, a password or a signature is needed and missing.
    Unauthorized,
    /// Known who asks, and not allowed.
    Forbidden,
    /// The thing named does not exist.
    NotFound,
    /// The route exists, not for this method.
    MethodNotAllowed,
    /// The thing exists already, or is in a state that forbids this.
    Conflict,
    /// The body is larger than the route takes.
    TooLarge,
    /// Too many attempts; wait.
    TooManyRequests,
    /// The range asked for lies outside the package.
    RangeNotSatisfiable,
    /// Stopped, starting, draining, or without a thing it needs.
    Unavailable,
    /// Not enough room on the disk.
    StorageFull,
    /// A defect or a failing disk; the log has the request id.
    Internal,
    /// The signature is not the one this secret makes.
    InvalidSignature,
    /// The request's time is too far from the verifier's; the signed answer carries the verifier's time.
    ClockSkew,
    /// This nonce was seen before.
    Replayed,
    /// Another running process uses this node id and secret.
    SecondInstance,
    /// The node id has a secret on the master, so the plain contract is closed to it.
    SecretRequired,
    /// The join code is unknown, expired, used up or revoked.
    JoinCodeRefused,
    /// The join proof does not match: wrong code, or somebody between the two.
    JoinProofRefused,
}

/// Body of every error answer. Deployed programs read `detail` alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// A sentence for people: what happened, to which thing, what to do next.
    pub detail: String,
    /// For programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
}
