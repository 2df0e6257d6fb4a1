//! Addresses that packets can be sent to.

use std::net::IpAddr;

/// Why packets cannot be sent to this address, or to it from afar.
pub(crate) fn not_unicast(key: &str, address: IpAddr) -> Option<String> {
    let kind = match address {
        IpAddr::V4(v4) if v4.is_unspecified() => "the unspecified address",
        IpAddr::V4(v4) if v4.is_loopback() => "a loopback address",
        IpAddr::V4(v4) if v4.is_link_local() => "a link-local address",
        IpAddr::V4(v4) if v4.is_multicast() => "a multicast address",
        IpAddr::V4(v4) if v4.is_broadcast() => "the broadcast address",
        IpAddr::V4(v4) if matches!(v4.octets()[0], 0 | 240..) => "a reserved address",
        IpAddr::V6(v6) if v6.is_unspecified() => "the unspecified address",
        IpAddr::V6(v6) if v6.is_loopback() => "a loopback address",
        IpAddr::V6(v6) if v6.is_unicast_link_local() => "a link-local address",
        IpAddr::V6(v6) if v6.is_multicast() => "a multicast address",
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "an IPv4 address written as IPv6",
        IpAddr::V4(_) | IpAddr::V6(_) => return None,
    };
    Some(format!("{key} {address} is {kind}"))
}
