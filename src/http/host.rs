//! Which Host headers are answered: the defence against DNS rebinding.
//!
//! A page from elsewhere can make a browser ask us only under a *name* that its owner controls. So
//! names must be known; addresses and `localhost` need not be.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::{HeaderMap, HeaderName, header};

/// The names that are served besides `localhost` and addresses.
#[derive(Debug)]
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    pub(super) fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    /// Whether a Host header, with or without port, is one of ours.
    pub(super) fn accept(&self, header: &str) -> bool {
        let host = without_port(header).to_ascii_lowercase();
        host == "localhost" || is_address(&host) || self.0.contains(&host)
    }
}

fn without_port(header: &str) -> &str {
    match header.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => header,
    }
}

fn is_address(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4()),
    }
}

/// Whether a browser says that another page sends this. Whoever is no browser says nothing, and
/// has the token.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(header::HOST).unwrap_or_default();
    let origin = text(header::ORIGIN);
    let is_ours = |origin: &str| {
        let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
        authority.eq_ignore_ascii_case(host)
    };
    let site = text(HeaderName::from_static("sec-fetch-site"));
    origin.is_some_and(|origin| !is_ours(origin))
        || site.is_some_and(|site| site != "same-origin" && site != "none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_configured_names_are_ours() {
        let hosts = Hosts::new(&["Rings.Example.com".to_owned()]);
        for ours in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:8080",
            "[::1]:8080",
            "[::1]",
            "10.0.0.5",
            "rings.example.com:443",
        ] {
            assert!(hosts.accept(ours), "{ours}");
        }
    }

    #[test]
    fn other_names_are_not() {
        let hosts = Hosts::new(&[]);
        for foreign in [
            "",
            ":80",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8080",
            "::1",
            "[evil]",
            "localhost:8080:1",
            "127.0.0.1@evil.example",
        ] {
            assert!(!hosts.accept(foreign), "{foreign}");
        }
    }
}
