//! People who administer a master.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `POST /api/v1/users/token`, an OAuth 2.0 password form (RFC 6749, section 4.3); `grant_type` may be absent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenForm {
    /// `password` when present.
    #[serde(default)]
    pub grant_type: Option<String>,
    /// `admin` unless users were added.
    pub username: String,
    /// Never logged.
    pub password: String,
}

/// Answer: the token goes into `Authorization: Bearer …`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenAnswer {
    /// Opaque.
    pub access_token: String,
    /// `bearer`.
    pub token_type: String,
    /// Seconds until it ends.
    pub expires_in: u64,
}
