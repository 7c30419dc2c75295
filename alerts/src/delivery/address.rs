//! Which addresses a destination may have, looked at after its name was resolved.
//!
//! Whoever can change a name in DNS must not be able to send our requests to the machines beside
//! us, or to the metadata service of a cloud, which hands out credentials to whoever asks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Metadata services outside of the link-local range: Alibaba Cloud, Oracle Cloud, AWS over IPv6.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// What the operator has allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// Addresses of the internet.
    Public,
    /// Loopback and private ones, too.
    Private,
}

/// Why an address is not used; `None` where it may be.
pub(crate) fn refusal(address: IpAddr, reach: Reach) -> Option<&'static str> {
    let address = embedded(address);
    let (link_local, nowhere, private) = match address {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            // 240/4 is nobody's.
            let nowhere = v4.octets()[0] == 0 || v4.octets()[0] >= 240 || v4.is_multicast();
            (v4.is_link_local(), nowhere, v4.is_loopback() || v4.is_private() || shared)
        }
        IpAddr::V6(v6) => {
            let nowhere = v6.is_unspecified() || v6.is_multicast();
            let site_local = v6.segments()[0] & 0xffc0 == 0xfec0;
            let private = v6.is_loopback() || v6.is_unique_local() || site_local;
            (v6.is_unicast_link_local(), nowhere, private)
        }
    };
    if link_local || METADATA.contains(&address) {
        Some("a link-local or metadata address, which is never used")
    } else if nowhere {
        Some("no address of one machine")
    } else if private && reach == Reach::Public {
        Some("a private address; set `allow_private = true` for this destination")
    } else {
        None
    }
}

/// The IPv4 address that an IPv6 one stands for, where it does: mapped (RFC 4291), NAT64
/// (RFC 6052), 6to4 (RFC 3056), or compatible, as old systems wrote it.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let v4 = |high: u16, low: u16| {
        let [[a, b], [c, d]] = [high, low].map(u16::to_be_bytes);
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => v4(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => v4(high, low),
        _ => address.to_canonical(),
    }
}

/// Those addresses that may be used, or why none may be.
pub(crate) fn allowed(
    addresses: impl Iterator<Item = SocketAddr>,
    reach: Reach,
) -> Result<Vec<SocketAddr>, String> {
    let (mut kept, mut refused) = (Vec::new(), None);
    for address in addresses {
        match refusal(address.ip(), reach) {
            None => kept.push(address),
            Some(reason) => refused = Some(format!("{} is {reason}", address.ip())),
        }
    }
    let none = || refused.unwrap_or_else(|| "its name has no address".to_owned());
    if kept.is_empty() { Err(none()) } else { Ok(kept) }
}

/// Resolves names as usual, and leaves out what must not be reached.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) reach: Reach,
}

impl Guard {
    /// A proxy is the operator's own, in whichever network; behind it names are resolved by it.
    fn reach_of(&self, uri: &Uri, config: &Config) -> Reach {
        let same = |proxy: &ureq::Proxy| proxy.uri().authority() == uri.authority();
        if config.proxy().is_some_and(same) { Reach::Private } else { self.reach }
    }
}

impl Resolver for Guard {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        let kept = allowed(found.iter().copied(), self.reach_of(uri, config));
        let kept = kept.map_err(|reason| ureq::Error::Other(reason.into()))?;
        let mut answer = self.empty();
        for address in kept {
            answer.push(address);
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(addresses: &[&str], public: bool, private: bool) {
        for address in addresses {
            let ip = address.parse().expect("an address");
            assert_eq!(refusal(ip, Reach::Public).is_none(), public, "{address}");
            assert_eq!(refusal(ip, Reach::Private).is_none(), private, "{address}");
        }
    }

    #[test]
    fn metadata_is_never_reached_and_private_addresses_only_where_allowed() {
        check(&["93.184.216.34", "2606:2800:220:1::1", "172.32.0.1", "100.128.0.1"], true, true);
        check(&["127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1"], false, true);
        check(&["100.64.0.1", "::1", "fd12::1", "::ffff:10.0.0.1"], false, true);
        check(&["169.254.169.254", "fe80::1", "::ffff:169.254.169.254"], false, false);
        check(&["100.100.100.200", "192.0.0.192", "fd00:ec2::254"], false, false);
        check(&["64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::169.254.169.254"], false, false);
        check(&["64:ff9b::a00:1", "2002:c0a8:101::1", "fec0::1", "::10.0.0.1"], false, true);
        check(
            &["240.0.0.1", "0.0.0.0", "::", "255.255.255.255", "224.0.0.1", "ff02::1"],
            false,
            false,
        );
    }

    #[test]
    fn of_several_addresses_those_that_may_be_used_are() {
        let addresses = |all: &[&str]| {
            let parsed = all.iter().map(|one| one.parse().expect("an address"));
            allowed(parsed.collect::<Vec<_>>().into_iter(), Reach::Public)
        };
        let kept = addresses(&["10.0.0.1:1", "8.8.8.8:1"]).expect("one is left");
        assert_eq!(kept, ["8.8.8.8:1".parse().expect("an address")]);
        let refused = addresses(&["169.254.169.254:80"]).expect_err("none is left");
        assert!(refused.starts_with("169.254.169.254 is a link-local"), "{refused}");
    }
}
