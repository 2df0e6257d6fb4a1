//! What nft and iptables call numbers.

/// `RTN_LOCAL` of `linux/rtnetlink.h`.
pub const ROUTE_LOCAL: u128 = 2;
/// `RTN_MULTICAST` of `linux/rtnetlink.h`.
pub const ROUTE_MULTICAST: u128 = 5;

/// The number of a protocol (IANA, Assigned Internet Protocol Numbers).
pub fn protocol(name: &str) -> Option<u8> {
    let found = match name.to_ascii_lowercase().as_str() {
        "icmp" => 1,
        "igmp" => 2,
        "ipencap" | "ipip" => 4,
        "tcp" => 6,
        "udp" => 17,
        "dccp" => 33,
        "ipv6" => 41,
        "gre" => 47,
        "esp" => 50,
        "ah" => 51,
        "ipv6-icmp" | "icmpv6" | "icmp6" => 58,
        "ospf" => 89,
        "vrrp" => 112,
        "sctp" => 132,
        "udplite" => 136,
        number => return number.parse().ok(),
    };
    Some(found)
}

/// The bit of a state (`NF_CT_STATE_BIT` of `linux/netfilter/nf_conntrack_common.h`).
pub fn ct_state(name: &str) -> Option<u128> {
    let bit = match name.to_ascii_lowercase().as_str() {
        "invalid" => 1,
        "established" => 2,
        "related" => 4,
        "new" => 8,
        "untracked" => 64,
        _ => return None,
    };
    Some(bit)
}

/// The bit of a TCP flag (RFC 9293 §3.1).
pub fn tcp_flag(name: &str) -> Option<u128> {
    let flags = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];
    let index = flags.iter().position(|flag| flag.eq_ignore_ascii_case(name))?;
    Some(1 << index)
}

/// The type of an ICMP message, protocol 1 or 58 (RFC 792, RFC 4443, RFC 4861).
pub fn icmp_type(protocol: u8, name: &str) -> Option<u8> {
    let v4: &[(&str, u8)] = &[
        ("echo-reply", 0),
        ("pong", 0),
        ("destination-unreachable", 3),
        ("source-quench", 4),
        ("redirect", 5),
        ("echo-request", 8),
        ("ping", 8),
        ("router-advertisement", 9),
        ("router-solicitation", 10),
        ("time-exceeded", 11),
        ("parameter-problem", 12),
        ("timestamp-request", 13),
        ("timestamp-reply", 14),
        ("address-mask-request", 17),
        ("address-mask-reply", 18),
    ];
    let v6: &[(&str, u8)] = &[
        ("destination-unreachable", 1),
        ("packet-too-big", 2),
        ("time-exceeded", 3),
        ("parameter-problem", 4),
        ("echo-request", 128),
        ("ping", 128),
        ("echo-reply", 129),
        ("pong", 129),
        ("mld-listener-query", 130),
        ("mld-listener-report", 131),
        ("mld-listener-done", 132),
        ("nd-router-solicit", 133),
        ("router-solicitation", 133),
        ("nd-router-advert", 134),
        ("router-advertisement", 134),
        ("nd-neighbor-solicit", 135),
        ("neighbour-solicitation", 135),
        ("neighbor-solicitation", 135),
        ("nd-neighbor-advert", 136),
        ("neighbour-advertisement", 136),
        ("neighbor-advertisement", 136),
        ("nd-redirect", 137),
        ("redirect", 137),
        ("mld2-listener-report", 143),
    ];
    let names = if protocol == 58 { v6 } else { v4 };
    let found = names.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    found.or_else(|| name.parse().ok())
}
