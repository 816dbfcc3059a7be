//! Which requests come from a person at this very machine: from loopback, addressed to loopback, with no foreign page
//! behind them and no proxy in between.

use std::net::IpAddr;

use http::{HeaderMap, header};

/// What a request to a control route is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A person or program at this machine.
    Local,
    /// From this machine, but with a foreign `Host` or `Origin`: a web page that tries to reach through a browser.
    Foreign,
    /// From another machine, or through a proxy.
    Remote,
}

/// What proxies add, besides all that begins with `x-forwarded-`.
const FORWARDING_HEADERS: [&str; 7] =
    ["forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip", "x-original-host"];

/// Classifies a request by its peer address and headers.
#[must_use]
pub fn classify(peer: IpAddr, headers: &HeaderMap) -> Caller {
    let is_forwarding = |name: &str| FORWARDING_HEADERS.contains(&name) || name.starts_with("x-forwarded-");
    if !peer.to_canonical().is_loopback() || headers.keys().any(|name| is_forwarding(name.as_str())) {
        return Caller::Remote;
    }
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    if !host.is_some_and(is_loopback_authority) {
        return Caller::Foreign;
    }
    match headers.get(header::ORIGIN) {
        None => Caller::Local,
        Some(origin) => {
            let authority = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
            // The node's own page, and no other one on this machine: the port must be the same, too.
            if authority.is_some_and(|authority| is_loopback_authority(authority) && Some(authority) == host) {
                Caller::Local
            } else {
                Caller::Foreign
            }
        }
    }
}

fn is_loopback_authority(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => return rest.split_once(']').is_some_and(|(address, port)| address == "::1" && is_port(port)),
        None => authority,
    };
    let (name, port) = host.split_once(':').map_or((host, ""), |(name, _)| (name, &host[name.len()..]));
    (name == "127.0.0.1" || name.eq_ignore_ascii_case("localhost")) && is_port(port)
}

fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|digits| digits.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&'static str, &'static str)]) -> Caller {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        classify("127.0.0.1".parse().unwrap(), &headers)
    }

    #[test]
    fn only_loopback_names_without_foreign_pages_and_proxies_are_local() {
        assert_eq!(with(&[("host", "127.0.0.1:8001")]), Caller::Local);
        assert_eq!(with(&[("host", "LOCALHOST")]), Caller::Local);
        assert_eq!(with(&[("host", "[::1]:8001")]), Caller::Local);
        assert_eq!(with(&[("host", "127.0.0.1:8001"), ("origin", "http://127.0.0.1:8001")]), Caller::Local);
        assert_eq!(with(&[("host", "127.0.0.1:8001"), ("origin", "http://127.0.0.1:9")]), Caller::Foreign);
        assert_eq!(with(&[("host", "127.0.0.1:8001"), ("origin", "null")]), Caller::Foreign);
        assert_eq!(with(&[("host", "evil.example:8001")]), Caller::Foreign);
        assert_eq!(with(&[("host", "127.0.0.1.evil.example")]), Caller::Foreign);
        assert_eq!(with(&[]), Caller::Foreign);
        assert_eq!(with(&[("host", "localhost"), ("x-forwarded-for", "1.2.3.4")]), Caller::Remote);
        assert_eq!(with(&[("host", "localhost"), ("x-forwarded-proto", "https")]), Caller::Remote);
        assert_eq!(classify("10.0.0.2".parse().unwrap(), &HeaderMap::new()), Caller::Remote);
    }
}
