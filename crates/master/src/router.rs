//! All routes of a master, at a glance.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use posthouse_runtime::http::at_once::ShortCut;
use posthouse_runtime::http::signature::{SignatureLayer, verify_and_sign};
use posthouse_runtime::http::{docs, with_fallbacks};
use posthouse_runtime::trust::verifier::Verifier;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use crate::http::{
    download, events, files, gate, join, live, meetings, nodes, operators, presence, tablet, uploads, users,
};
use crate::state::Master;

/// The router.
pub(crate) fn router(master: &Master) -> Router {
    // Of any size: the disk is the limit.
    let unlimited = DefaultBodyLimit::disable();
    let (routes, document) = OpenApiRouter::with_openapi(document())
        // Tablets
        .routes(routes!(tablet::token))
        .routes(routes!(tablet::in_progress))
        .routes(routes!(tablet::data))
        .routes(routes!(tablet::package))
        .routes(routes!(files::file))
        .routes(routes!(files::package))
        .routes(routes!(download::package))
        .routes(routes!(download::from_master))
        .routes(routes!(download::endpoints))
        // Nodes
        .routes(routes!(presence::register))
        .routes(routes!(presence::unregister))
        .routes(routes!(presence::heartbeat))
        .routes(routes!(presence::list))
        .routes(routes!(presence::available))
        .routes(routes!(presence::status))
        .routes(routes!(live::open))
        .routes(routes!(live::answer))
        .routes(routes!(join::hello))
        .routes(routes!(join::confirm))
        .routes(routes!(download::description))
        .routes(routes!(download::direct))
        // Administration
        .routes(routes!(users::token))
        .routes(routes!(meetings::list, meetings::create))
        .routes(routes!(meetings::get, meetings::change, meetings::delete))
        .routes(routes!(meetings::set_status))
        .routes(routes!(uploads::temporary).layer(unlimited))
        .routes(routes!(uploads::to_meeting).layer(unlimited))
        .routes(routes!(nodes::all))
        .routes(routes!(nodes::get, nodes::change, nodes::remove))
        .routes(routes!(nodes::probe))
        .routes(routes!(nodes::history))
        .routes(routes!(join::create, join::list))
        .routes(routes!(join::revoke))
        // Operators
        .routes(routes!(events::list))
        .routes(routes!(events::stream))
        .routes(routes!(operators::status))
        .routes(routes!(operators::metrics))
        .split_for_parts();
    // Some clients leave the slash at the end out.
    let routes = routes
        .route("/api/v1/meetings", get(meetings::list).post(meetings::create))
        .route("/", get(operators::root))
        .merge(docs::router(document));
    with_fallbacks(routes)
        .layer(from_fn_with_state(master.clone(), gate::only_while_running))
        // Outside the gate, so that a node believes that it is turned away.
        .layer(from_fn_with_state(signatures(master), verify_and_sign))
        .with_state(master.clone())
}

/// What is answered before the router is entered.
pub(crate) fn short_cut(master: &Master) -> ShortCut {
    let master = master.clone();
    Arc::new(move |head| download::at_once(&master, head))
}

fn signatures(master: &Master) -> SignatureLayer {
    let registry = master.registry.clone();
    SignatureLayer {
        lookup: Arc::new(move |node_id: &str| registry.secret_of(node_id)),
        verifier: Arc::new(Verifier::new(&master.clock)),
    }
}

fn document() -> OpenApi {
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    OpenApiBuilder::new()
        .info(InfoBuilder::new().title("Posthouse master").version(posthouse_runtime::VERSION).build())
        .components(Some(ComponentsBuilder::new().security_scheme("bearer", bearer).build()))
        .build()
}
