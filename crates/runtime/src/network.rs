//! Which addresses this machine has, and which one reaches a given other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The local address from which packets to `remote` leave; nothing is sent to learn it.
#[must_use]
pub fn local_address_towards(remote: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(remote).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|address| !address.is_unspecified())
}

/// `host:port` texts at which others reach a listener: its own address, or for an unspecified one every address of
/// this machine, networks before loopback.
#[must_use]
pub fn reachable_addresses(listening: SocketAddr) -> Vec<String> {
    if !listening.ip().is_unspecified() {
        return vec![listening.to_string()];
    }
    let mut addresses: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .map(|interface| interface.ip())
        .filter(|address| match address {
            IpAddr::V4(address) => !address.is_link_local(),
            // A link-local IPv6 address means nothing without its interface.
            IpAddr::V6(address) => listening.is_ipv6() && !address.is_unicast_link_local(),
        })
        .collect();
    addresses.sort_by_key(|address| (address.is_loopback(), address.is_ipv6(), *address));
    addresses.dedup();
    if addresses.is_empty() {
        addresses.push(Ipv4Addr::LOCALHOST.into());
    }
    addresses.into_iter().map(|address| SocketAddr::new(address, listening.port()).to_string()).collect()
}

/// Whether this is a host name or an IP address (an IPv6 one with or without brackets), without scheme, port or path.
#[must_use]
pub fn is_host(text: &str) -> bool {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        return true;
    }
    !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && label.chars().all(|character| character.is_alphanumeric() || matches!(character, '-' | '_'))
        })
}

/// `host:port`, with brackets around an IPv6 address.
#[must_use]
pub fn host_and_port(host: &str, port: u16) -> String {
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, port).to_string(),
        Err(_) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_listener_gives_its_loopback_address() {
        let listening: SocketAddr = "127.0.0.1:8000".parse().unwrap();
        assert_eq!(reachable_addresses(listening), ["127.0.0.1:8000"]);
        let any: SocketAddr = "0.0.0.0:8000".parse().unwrap();
        assert!(reachable_addresses(any).contains(&"127.0.0.1:8000".to_owned()));
    }

    #[test]
    fn hosts_are_told_from_urls() {
        for good in ["10.0.0.1", "master", "master.lan", "::1", "[::1]", "主控.学校"] {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", "http://x", "a b", "a/b", "x:80", "-a", "a..b"] {
            assert!(!is_host(bad), "{bad}");
        }
        assert_eq!(host_and_port("::1", 80), "[::1]:80");
    }

    #[test]
    fn loopback_is_reached_from_loopback() {
        let address = local_address_towards("127.0.0.1:9".parse().unwrap()).unwrap();
        assert!(address.is_loopback());
    }
}
