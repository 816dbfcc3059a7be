//! The HTTP server of both roles: accept loop, error answers, request ids, signatures, package bodies.

pub mod api_error;
pub mod api_json;
pub mod at_once;
pub mod control_guard;
pub mod docs;
mod linger;
pub mod package_body;
pub mod range;
pub mod request_id;
pub mod serve;
pub mod signature;

pub use api_error::ApiError;
pub use api_json::{ApiBytes, ApiJson};
pub use serve::{Server, bind, with_fallbacks};
