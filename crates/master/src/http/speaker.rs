//! Who sends a request about a node: the node whose signature is on it, and the address that it comes from.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use http::request::Parts;
use posthouse_runtime::http::signature::VerifiedNode;

use crate::registry;

/// In the arguments of a handler.
#[derive(Debug, Clone)]
pub(crate) struct Speaker(pub(crate) registry::Speaker);

impl<S: Sync> FromRequestParts<S> for Speaker {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let verified = parts.extensions.get::<VerifiedNode>().map(|verified| verified.node_id.clone());
        Ok(Self(registry::Speaker { verified, peer: peer_of(parts) }))
    }
}

/// The address of the other end, an IPv4 one as such also where it came in by IPv6.
fn peer_of(parts: &Parts) -> IpAddr {
    let connection = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    // The server gives it with every connection; a request without one is from nowhere that is allowed anything.
    connection.map_or(Ipv4Addr::UNSPECIFIED.into(), |ConnectInfo(address)| address.ip().to_canonical())
}
