//! Fields of a packet, and values that they may have.

/// A field of a packet, or what is known about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The source address, if it is of IPv4.
    Source4,
    /// The destination address, if it is of IPv4.
    Destination4,
    /// The source address, if it is of IPv6.
    Source6,
    /// The destination address, if it is of IPv6.
    Destination6,
    /// 2 for IPv4, 10 for IPv6.
    Version,
    /// The transport protocol.
    Protocol,
    /// The transport protocol, in IPv4.
    Protocol4,
    /// The transport protocol, in IPv6.
    Protocol6,
    /// The source port, of this protocol only if one is named.
    SourcePort(Option<u8>),
    /// The destination port, of this protocol only if one is named.
    DestinationPort(Option<u8>),
    /// The flags of a TCP segment.
    TcpFlags,
    /// The type of an ICMP message (protocol 1 or 58).
    IcmpType(u8),
    /// The code of an ICMP message (protocol 1 or 58).
    IcmpCode(u8),
    /// The interface that it comes in by.
    In,
    /// The interface that it leaves by.
    Out,
    /// Its state for connection tracking, one of the bits of `names::ct_state`.
    State,
    /// 1 if it is an answer, for connection tracking.
    Reply,
    /// 1 if its connection has had another address or port.
    Translated,
    /// The packet mark.
    Mark,
    /// The type of a route to the destination, as a number of `rtnetlink`; 2 is `local`.
    DestinationType,
    /// 1 if there is a route back to the source by the interface it came in by, else 0.
    WayBack,
    /// Whom the frame is addressed to: a number of `linux/if_packet.h`; 0 is this host.
    Addressee,
    /// Whether it is not the first fragment of a datagram: never.
    Fragment,
}

/// Some values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// Numbers, both ends included.
    Numbers(u128, u128),
    /// A name.
    Name(String),
    /// Names that begin so.
    Prefix(String),
}

/// What a packet has in a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// There is no such field.
    Absent,
    /// A number between these, both included.
    Between(u128, u128),
    /// A name.
    Name(String),
    /// Anything.
    Any,
}
