//! Kinds of packets.

use elb_common::reason::Reason;
use network_types::ip::IpProto;

macro_rules! kinds {
    ($($number:literal $variant:ident $meaning:literal;)*) => {
        /// A kind of packet. Those that are forwarded come first.
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $(#[doc = $meaning] $variant = $number,)* }

        impl Kind {
            /// All kinds, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The kind with this number.
            #[inline(always)]
            pub const fn new(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

kinds! {
    0 TcpV4 "a segment of a connection whose opening was never seen";
    1 SynV4 "the opening of a connection";
    2 FollowV4 "a later segment of a connection that `SynV4` opened";
    3 UdpV4 "a datagram";
    4 TcpV6 "as `TcpV4`";
    5 SynV6 "as `SynV4`";
    6 FollowV6 "as `FollowV4`";
    7 UdpV6 "as `UdpV4`";
    8 Echo "an echo request for the virtual address";
    9 ClosedPort "for a port without a listener";
    10 DisabledPort "for a listener that is down";
    11 EmptyPort "for a listener whose pool has no member";
    12 Foreign "for an address that is not virtual";
    13 Fragment "a later fragment of a datagram whose first one never came";
    14 Truncated "longer than its frame";
    15 BadHeader "an IP header too short to be one";
    16 OtherProtocol "neither TCP nor UDP nor ICMP";
    17 NotIp "a frame of another ethertype";
    18 GroupMac "to every host on the segment";
    19 Routing "IPv6 with a routing header that is not used up";
}

/// Kinds with a smaller number are forwarded.
pub const FORWARDED: u32 = 8;

/// Protocol number of TCP.
pub const TCP: u8 = IpProto::Tcp as u8;
/// Protocol number of UDP.
pub const UDP: u8 = IpProto::Udp as u8;

impl Kind {
    /// Whether the load balancer forwards it, if nothing is wrong.
    #[inline(always)]
    pub const fn is_forwarded(self) -> bool {
        (self as u32) < FORWARDED
    }

    /// Whether it is IPv6.
    #[inline(always)]
    pub const fn is_v6(self) -> bool {
        matches!(self, Self::TcpV6 | Self::SynV6 | Self::FollowV6 | Self::UdpV6 | Self::Routing)
    }

    /// Whether it carries a datagram.
    #[inline(always)]
    pub const fn is_udp(self) -> bool {
        matches!(self, Self::UdpV4 | Self::UdpV6 | Self::Foreign | Self::Fragment | Self::Truncated)
    }

    /// Whether it opens a connection.
    #[inline(always)]
    pub const fn opens(self) -> bool {
        matches!(self, Self::SynV4 | Self::SynV6)
    }

    /// What its IP header says that follows.
    #[inline(always)]
    pub const fn protocol(self) -> u8 {
        match self {
            Self::Echo => IpProto::Icmp as u8,
            Self::OtherProtocol => IpProto::Gre as u8,
            Self::Routing => IpProto::Ipv6Route as u8,
            _ if self.is_udp() => UDP,
            _ => TCP,
        }
    }

    /// The kind whose clients send it: no other kind has a flow of theirs.
    #[inline(always)]
    pub const fn clients(self) -> Self {
        match self {
            Self::FollowV4 => Self::SynV4,
            Self::FollowV6 => Self::SynV6,
            other => other,
        }
    }

    /// Why it is not forwarded; each reason belongs to one kind. The virtual addresses are the host's own.
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::TcpV4 | Self::SynV4 | Self::FollowV4 | Self::UdpV4 => None,
            Self::TcpV6 | Self::SynV6 | Self::FollowV6 | Self::UdpV6 => None,
            Self::Echo => Some(Reason::EchoAnswered),
            Self::ClosedPort => Some(Reason::NoListener),
            Self::DisabledPort => Some(Reason::Disabled),
            Self::EmptyPort => Some(Reason::NoBackend),
            Self::Foreign => Some(Reason::NotVip),
            Self::Fragment => Some(Reason::OwnConnection),
            Self::Truncated => Some(Reason::Truncated),
            Self::BadHeader => Some(Reason::BadHeader),
            Self::OtherProtocol => Some(Reason::OtherProtocol),
            Self::NotIp => Some(Reason::NotIp),
            Self::GroupMac => Some(Reason::GroupMac),
            Self::Routing => Some(Reason::ExtensionHeaders),
        }
    }
}
