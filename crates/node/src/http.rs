//! The node's HTTP side: all routes in one place, a file a resource.

mod access;
mod config;
mod downloads;
mod events;
mod operators;
mod page;
mod service;
mod status;

use std::sync::Arc;

use axum::Router;
use posthouse_runtime::http::signature::{SignatureLayer, verify_and_sign};
use posthouse_runtime::http::{docs, with_fallbacks};
use posthouse_runtime::trust::verifier::Verifier;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::Node;

#[derive(OpenApi)]
#[openapi(info(
    title = "Posthouse node",
    description = "A worker that keeps the packages of meetings in progress near the people who read them."
))]
struct Document;

/// Every route.
pub(crate) fn router(node: &Node) -> Router {
    let (routes, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(page::root))
        .routes(routes!(page::index))
        .routes(routes!(downloads::package))
        .routes(routes!(downloads::package_by_older_path))
        .routes(routes!(status::status))
        .routes(routes!(config::show, config::change))
        .routes(routes!(config::change_heartbeat))
        .routes(routes!(service::start))
        .routes(routes!(service::stop))
        .routes(routes!(events::list))
        .routes(routes!(events::stream))
        .routes(routes!(operators::metrics))
        .split_for_parts();
    // The master asks for the status in its own name, and wants to know that it is this node that answers.
    let own = node.clone();
    let signature = SignatureLayer {
        lookup: Arc::new(move |node_id| own.uplink.secret_for(node_id)),
        verifier: Arc::new(Verifier::new(&node.clock)),
    };
    with_fallbacks(routes.merge(docs::router(document)))
        .with_state(node.clone())
        .layer(axum::middleware::from_fn_with_state(signature, verify_and_sign))
}
