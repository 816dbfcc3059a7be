//! The OpenAPI document and Swagger UI, from the program itself: nothing is loaded from the internet.

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::header;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// Where the document lies.
pub const OPENAPI_PATH: &str = "/api/openapi.json";

/// Routes of the document at [`OPENAPI_PATH`] and its page at `/api/docs/`.
pub fn router<S: Clone + Send + Sync + 'static>(document: OpenApi) -> Router<S> {
    let ui = SwaggerUi::new("/api/docs").config(Config::from(OPENAPI_PATH));
    // Written once: as text it takes a hundredth of the memory. A document made of plain data can be written.
    let text = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    let answer = move || std::future::ready(([(header::CONTENT_TYPE, "application/json")], text.clone()));
    Router::new().route(OPENAPI_PATH, get(answer)).merge(ui)
}
