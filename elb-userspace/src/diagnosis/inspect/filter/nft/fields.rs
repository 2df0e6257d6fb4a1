//! The fields of a packet, by the names that `nft` has for them.

use serde_json::Value;

use crate::diagnosis::inspect::filter::field::Field;
use crate::diagnosis::inspect::filter::names;

/// The field that the left side of a match names.
pub(super) fn field(left: &Value) -> Option<Field> {
    let text = |path: &str| left.pointer(path).and_then(Value::as_str);
    if let (Some(protocol), Some(field)) = (text("/payload/protocol"), text("/payload/field")) {
        return payload(protocol, field);
    }
    if let Some(key) = text("/meta/key") {
        return meta(key);
    }
    match text("/ct/key") {
        Some("state") => return Some(Field::State),
        Some("direction") => return Some(Field::Reply),
        Some(_) | None => {}
    }
    let flags = left.pointer("/fib/flags").and_then(Value::as_array)?;
    let flag = |name: &str| flags.iter().any(|flag| flag == name);
    match text("/fib/result")? {
        "type" if flag("daddr") => Some(Field::DestinationType),
        "oif" | "oifname" if flag("saddr") => Some(Field::WayBack),
        _ => None,
    }
}

fn payload(protocol: &str, field: &str) -> Option<Field> {
    Some(match (protocol, field) {
        ("ip", "saddr") => Field::Source4,
        ("ip", "daddr") => Field::Destination4,
        ("ip", "protocol") => Field::Protocol4,
        ("ip6", "saddr") => Field::Source6,
        ("ip6", "daddr") => Field::Destination6,
        ("ip6", "nexthdr") => Field::Protocol6,
        ("tcp", "flags") => Field::TcpFlags,
        ("icmp", "type") => Field::IcmpType(1),
        ("icmp", "code") => Field::IcmpCode(1),
        ("icmpv6", "type") => Field::IcmpType(58),
        ("icmpv6", "code") => Field::IcmpCode(58),
        ("th", "sport") => Field::SourcePort(None),
        ("th", "dport") => Field::DestinationPort(None),
        (_, "sport") => Field::SourcePort(Some(names::protocol(protocol)?)),
        (_, "dport") => Field::DestinationPort(Some(names::protocol(protocol)?)),
        (_, _) => return None,
    })
}

fn meta(key: &str) -> Option<Field> {
    Some(match key {
        "l4proto" => Field::Protocol,
        "nfproto" | "protocol" => Field::Version,
        "iif" | "iifname" => Field::In,
        "oif" | "oifname" => Field::Out,
        "mark" => Field::Mark,
        "pkttype" => Field::Addressee,
        _ => return None,
    })
}
