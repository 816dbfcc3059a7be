//! The OpenAPI document and Swagger UI, from the program itself: nothing is loaded from the internet.

use axum::{Json, Router, routing::get};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// Where the document lies.
pub const OPENAPI_PATH: &str = "/api/openapi.json";

/// Routes of the document at [`OPENAPI_PATH`] and its page at `/api/docs/`.
pub fn router<S: Clone + Send + Sync + 'static>(document: OpenApi) -> Router<S> {
    let ui = SwaggerUi::new("/api/docs").config(Config::from(OPENAPI_PATH));
    Router::new().route(OPENAPI_PATH, get(move || std::future::ready(Json(document.clone())))).merge(ui)
}
