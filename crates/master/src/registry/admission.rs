//! Who may say what about which node, and what an id and an address have to look like.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use posthouse_protocol::node::NodeExtension;
use posthouse_runtime::network;

use super::node::Node;
use super::refusal::NodeRefusal;
use crate::config::Allowed;

/// Greatest length of a node id, in characters.
const ID_MAX: usize = 128;
/// Greatest length of an address, in bytes: a host name of 253 and a port.
const ADDRESS_MAX: usize = 260;

/// Who sends a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Speaker {
    /// The node whose signature is on it.
    pub(crate) verified: Option<String>,
    /// Where it comes from.
    pub(crate) peer: IpAddr,
}

/// A node that says where it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Arrival {
    pub(super) id: String,
    pub(super) address: String,
    pub(super) extension: Option<NodeExtension>,
}

impl Arrival {
    /// Checks what stands in a registration or heartbeat.
    pub(super) fn check(id: &str, address: &str, extension: Option<NodeExtension>) -> Result<Self, NodeRefusal> {
        if id.is_empty() || address.is_empty() {
            return Err(NodeRefusal::Incomplete);
        }
        check_id(id)?;
        check_address(address)?;
        Ok(Self { id: id.to_owned(), address: address.to_owned(), extension })
    }

    /// The process, if it says so.
    pub(super) fn instance(&self) -> Option<&str> {
        self.extension.as_ref().map(|extension| extension.instance.as_str())
    }
}

/// Whether a text can be a node id: 1 to 128 characters, none of them a control character.
pub(crate) fn check_id(id: &str) -> Result<(), NodeRefusal> {
    if id.is_empty() {
        return Err(NodeRefusal::Incomplete);
    }
    if id.chars().count() > ID_MAX || id.chars().any(char::is_control) {
        return Err(NodeRefusal::Invalid(
            "node_id 须为 1 到 128 个字符，不含控制字符 / node_id is 1 to 128 characters without control characters",
        ));
    }
    Ok(())
}

/// Whether clients can be sent to this `host:port`.
fn check_address(address: &str) -> Result<(), NodeRefusal> {
    let refused = NodeRefusal::Invalid("address 须为 主机:端口 / address is host:port");
    let Some((host, port)) = address.rsplit_once(':') else { return Err(refused) };
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0) && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_host = address.is_ascii() && network::is_host(host) && (is_bracketed || !host.contains([':', '[', ']']));
    if address.len() > ADDRESS_MAX || !is_port || !is_host {
        return Err(refused);
    }
    if host_ip(address).is_some_and(|ip| ip == Ipv4Addr::UNSPECIFIED || ip == Ipv6Addr::UNSPECIFIED) {
        return Err(NodeRefusal::Invalid(
            "address 不能是 0.0.0.0：客户端无法访问 / address cannot be 0.0.0.0, no client could reach it",
        ));
    }
    Ok(())
}

/// The IP address in `host:port`, when the host is one.
pub(super) fn host_ip(address: &str) -> Option<IpAddr> {
    let host = address.rsplit_once(':')?.0;
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether `speaker` may speak for the node `id`. `node`: what is known of it.
pub(super) fn admit(
    id: &str,
    node: Option<&Node>,
    speaker: &Speaker,
    allow_unsigned: &Allowed,
) -> Result<(), NodeRefusal> {
    match &speaker.verified {
        Some(signer) if signer == id => Ok(()),
        Some(signer) => Err(NodeRefusal::AnotherNode { signer: signer.clone(), subject: id.to_owned() }),
        None if node.is_some_and(|node| node.keys.is_some()) => Err(NodeRefusal::SignatureRequired(id.to_owned())),
        None if allow_unsigned.covers(speaker.peer) => Ok(()),
        None => Err(NodeRefusal::JoinRequired(id.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use posthouse_runtime::trust::Secret;

    use super::*;
    use crate::registry::node::Keys;

    #[test]
    fn ids_are_any_text_without_control_characters() {
        for good in ["n", "节点-1", "a b/c?d", &"节".repeat(128)] {
            assert_eq!(check_id(good), Ok(()), "{good}");
        }
        for bad in ["", "a\0b", "a\nb", "\u{85}", &"n".repeat(129)] {
            check_id(bad).unwrap_err();
        }
        assert_eq!(Arrival::check("", "", None).unwrap_err().to_string(), "Invalid node data");
        assert_eq!(Arrival::check("x", "", None).unwrap_err().to_string(), "Invalid node data");
    }

    #[test]
    fn addresses_are_host_and_port() {
        for good in ["10.0.0.1:8001", "node.lan:80", "[::1]:8001", "localhost:65535"] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        for bad in [
            "10.0.0.1",
            "10.0.0.1:",
            "10.0.0.1:0",
            "10.0.0.1:65536",
            "10.0.0.1:+80",
            ":80",
            "::1:80",
            "a/b:80",
            "user@host:80",
            "http://a:80",
            "节点:80",
            "a b:80",
            "0.0.0.0:80",
            "[::]:80",
            "a\r\n:80",
        ] {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_plain_contract_is_open_where_it_was_opened_and_never_for_an_id_with_a_secret() {
        let networks = Allowed::Networks(vec!["10.0.0.0/8".parse().unwrap()]);
        let from = |peer: &str| Speaker { verified: None, peer: peer.parse().unwrap() };
        let signed = |id: &str| Speaker { verified: Some(id.to_owned()), peer: "1.2.3.4".parse().unwrap() };
        let mut node = Node::new("n");
        assert_eq!(admit("n", Some(&node), &from("10.9.9.9"), &networks), Ok(()));
        assert_eq!(admit("n", None, &from("11.0.0.1"), &networks), Err(NodeRefusal::JoinRequired("n".into())));
        admit("n", None, &from("10.9.9.9"), &Allowed::No).unwrap_err();
        node.keys = Some(Keys::from(Secret::random()));
        for allowed in [&networks, &Allowed::Yes] {
            let refused = admit("n", Some(&node), &from("10.9.9.9"), allowed).unwrap_err();
            assert_eq!(refused, NodeRefusal::SignatureRequired("n".into()));
        }
        assert_eq!(admit("n", Some(&node), &signed("n"), &Allowed::No), Ok(()));
        assert!(matches!(admit("n", Some(&node), &signed("m"), &Allowed::Yes), Err(NodeRefusal::AnotherNode { .. })));
    }
}
