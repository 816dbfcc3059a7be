//! The node's page.

use axum::response::{Html, Redirect};

const PAGE: &str = include_str!("../../static/index.html");

/// To the page.
#[utoipa::path(get, path = "/", responses((status = 307, description = "To the page")), tag = "status")]
pub(super) async fn root() -> Redirect {
    Redirect::temporary("/static/index.html")
}

/// The node's status for a person.
#[utoipa::path(get, path = "/static/index.html", responses((status = 200, content_type = "text/html")), tag = "status")]
pub(super) async fn index() -> Html<&'static str> {
    Html(PAGE)
}
