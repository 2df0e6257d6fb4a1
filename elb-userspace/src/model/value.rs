//! Values with a range or an alphabet of their own.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Why a text or number is not such a value, without naming the key it was given for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {fix}")]
pub struct Invalid {
    /// What is wrong with the value, as the rest of a sentence that starts with the key.
    pub what: String,
    /// What to do about it.
    pub fix: String,
}

/// A type of values that a configuration gives, with the rule for which of them are valid.
pub trait ValueRule {
    /// The rule, as the rest of a sentence that starts with "use": an error about another value ends with
    /// it, and the reference of the configuration file prints it.
    fn rule() -> String;
}

impl Invalid {
    /// Not a `T`; the fix is the rule that values of the type keep.
    pub(crate) fn against_rule<T: ValueRule>(what: impl Into<String>) -> Self {
        Self { what: what.into(), fix: format!("use {}", T::rule()) }
    }

    pub(crate) fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), fix: fix.into() }
    }
}

/// A whole number within `MIN..=MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Ranged<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Ranged<MIN, MAX> {
    /// A value known at compile time to be in range: another one does not compile in a constant.
    pub const fn constant(value: u32) -> Self {
        assert!(MIN <= value && value <= MAX, "the constant is out of range");
        Self(value)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<const MIN: u32, const MAX: u32> TryFrom<i64> for Ranged<MIN, MAX> {
    type Error = Invalid;

    fn try_from(value: i64) -> Result<Self, Invalid> {
        match u32::try_from(value) {
            Ok(value) if (MIN..=MAX).contains(&value) => Ok(Self(value)),
            _ => Err(Invalid::against_rule::<Self>(format!("{value} is outside {MIN}..={MAX}"))),
        }
    }
}

impl<const MIN: u32, const MAX: u32> ValueRule for Ranged<MIN, MAX> {
    fn rule() -> String {
        format!("{MIN} to {MAX}")
    }
}

impl<const MIN: u32, const MAX: u32> fmt::Display for Ranged<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A member's part of the new connections, relative to the others; 0 takes none.
pub type Weight = Ranged<0, 100>;
/// Seconds for which an idle flow is protected (V3 `keepalive_timeout` of TCP and UDP listeners).
pub type IdleTimeout = Ranged<10, 4000>;
/// Seconds for which the former owner of a slot is the answer for UDP flows without a record.
pub type HoldTime = Ranged<0, 4000>;
/// Connections that a listener may have, or open in a second; 0: no limit (V3 `connection`, `cps`).
pub type Limit = Ranged<0, 1_000_000>;
/// Seconds for which a member that leaves serves its flows on (V3 `connection_drain`).
pub type DrainTimeout = Ranged<10, 4000>;
/// Seconds in which a new member of a pool rises to its share (V3 `slow_start`, there from 30 on); 0: at once.
pub type RiseTime = Ranged<0, 1200>;
/// Fewer members than this that can serve, and others help out.
pub type MemberCount = Ranged<1, 65_534>;
/// Fewer healthy members than this, and a pool forwards to all (V3 `pool_health`).
pub type MinimumHealthy = Ranged<0, 1>;

/// The name of a resource: 1 to 255 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let characters = text.chars().count();
        if !(1..=255).contains(&characters) {
            return Err(Invalid::against_rule::<Self>(format!("has {characters} characters")));
        }
        if text.chars().any(char::is_control) {
            return Err(Invalid::against_rule::<Self>("has a control character"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl ValueRule for Name {
    fn rule() -> String {
        "1 to 255 characters, none of them a control character".to_owned()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Slots in the lookup table of a pool: a prime. More slots make shares finer and changes smaller,
/// and cost 4 bytes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RingSize(u32);

impl RingSize {
    /// The sizes there are.
    pub const ALL: [Self; 4] = [Self(4_093), Self(16_381), Self(65_537), Self(655_373)];

    /// The number of slots.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for RingSize {
    fn default() -> Self {
        Self(65_537)
    }
}

impl TryFrom<i64> for RingSize {
    type Error = Invalid;

    fn try_from(value: i64) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|size| i64::from(size.0) == value);
        found.ok_or_else(|| {
            Invalid::against_rule::<Self>(format!("{value} is not one of the sizes there are"))
        })
    }
}

impl ValueRule for RingSize {
    fn rule() -> String {
        let [a, b, c, d] = Self::ALL.map(Self::get);
        format!("{a}, {b}, {c} or {d}, at least 100 times the number of members")
    }
}

impl fmt::Display for RingSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An enumeration that is written as a text, in the spelling of the V3 API or of our extensions.
macro_rules! choice {
    (
        $(#[$doc:meta])* $name:ident {
            $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+
        }
        not yet: [$($unsupported:literal),*], use $instead:literal
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As it is written in the configuration and in the API.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                let what = match text {
                    $($text => return Ok(Self::$variant),)+
                    $($unsupported => format!("{text:?} is not supported by this version"),)*
                    _ => format!("{text:?} is not known"),
                };
                Err(Invalid::against_rule::<Self>(what))
            }
        }

        impl $crate::model::value::ValueRule for $name {
            fn rule() -> String {
                $instead.to_owned()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
pub(crate) use choice;

choice! {
    /// The transport protocol of a listener or pool.
    Protocol {
        /// TCP
        Tcp = "TCP",
        /// UDP
        Udp = "UDP",
    }
    not yet: ["HTTP", "HTTPS", "TERMINATED_HTTPS", "QUIC", "TLS", "IP", "GRPC"], use "TCP or UDP"
}

choice! {
    /// What becomes of packets for a listener while no member takes them.
    NoMember {
        /// They are dropped: clients try again until they give up.
        Drop = "drop",
        /// Their senders get an answer at once: a TCP reset, or "port unreachable" for UDP.
        Reset = "reset",
    }
    not yet: [], use "drop or reset"
}

choice! {
    /// How a new flow chooses its member.
    LbAlgorithm {
        /// A weighted consistent hash of protocol, addresses and ports.
        FiveTupleHash = "5_TUPLE_HASH",
        /// A weighted consistent hash of protocol and addresses.
        ThreeTupleHash = "3_TUPLE_HASH",
        /// A weighted consistent hash of the addresses.
        TwoTupleHash = "2_TUPLE_HASH",
        /// A weighted consistent hash of the client's address.
        SourceIp = "SOURCE_IP",
        /// By the connection id of QUIC: the server id in it, or a weighted consistent hash.
        QuicCid = "QUIC_CID",
        /// In turn, by weight.
        RoundRobin = "ROUND_ROBIN",
        /// The one with the fewest connections for its weight.
        LeastConnections = "LEAST_CONNECTIONS",
    }
    not yet: [], use "5_TUPLE_HASH, 3_TUPLE_HASH, 2_TUPLE_HASH, SOURCE_IP, QUIC_CID, ROUND_ROBIN or \
                      LEAST_CONNECTIONS"
}

impl LbAlgorithm {
    /// Whether every flow is recorded, because each new one chooses anew.
    pub const fn is_tracked(self) -> bool {
        match self {
            Self::FiveTupleHash
            | Self::ThreeTupleHash
            | Self::TwoTupleHash
            | Self::SourceIp
            | Self::QuicCid => false,
            Self::RoundRobin | Self::LeastConnections => true,
        }
    }
}

choice! {
    /// How a packet gets to its member, and what the member answers gets to the client.
    Forwarding {
        /// Rewrite the MAC addresses: members are on a network of the load balancer's.
        L2 = "l2",
        /// Encapsulate in IPv4 or IPv6: members are anywhere and decapsulate.
        Ipip = "ipip",
        /// Encapsulate in UDP over IPv4 or IPv6, so that routers and network cards spread flows.
        Gue = "gue",
        /// Translate the virtual address and port to the member's: members are anywhere, and their route to
        /// clients leads through the load balancer. In the others they answer clients directly.
        Nat = "nat",
        /// Translate the client's address and port to one of the load balancer's as well: members are anywhere, and
        /// answer the load balancer, whatever their routes to clients are.
        FullNat = "fullnat",
        /// Translate to IPv6: members with IPv6, anywhere, serve a virtual IPv4 address, and see the client's address in
        /// one of the load balancer's, which their routes lead back to it.
        Nat46 = "nat46",
    }
    not yet: [], use "nat, fullnat, nat46, l2, ipip or gue"
}

impl Forwarding {
    /// Whether members answer through the load balancer, which translates what they send.
    pub const fn translates(self) -> bool {
        match self {
            Self::L2 | Self::Ipip | Self::Gue => false,
            Self::Nat | Self::FullNat | Self::Nat46 => true,
        }
    }

    /// Whether clients' addresses are translated, too, to [source addresses](super::SourceAddresses).
    pub const fn hides_clients(self) -> bool {
        matches!(self, Self::FullNat)
    }

    /// Whether members see clients' IPv4 addresses in IPv6 addresses of a [prefix](super::ClientPrefix).
    pub const fn embeds_clients(self) -> bool {
        matches!(self, Self::Nat46)
    }

    /// Whether members answer through the load balancer only if their routes to clients lead there.
    pub const fn needs_routes(self) -> bool {
        matches!(self, Self::Nat)
    }

    /// Whether packets travel inside others.
    pub const fn is_tunnel(self) -> bool {
        match self {
            Self::L2 | Self::Nat | Self::FullNat | Self::Nat46 => false,
            Self::Ipip | Self::Gue => true,
        }
    }

    /// Whether a packet's IP version stays, so that members have that of the virtual address.
    pub const fn keeps_version(self) -> bool {
        match self {
            Self::L2 | Self::Nat | Self::FullNat => true,
            Self::Ipip | Self::Gue | Self::Nat46 => false,
        }
    }
}

choice! {
    /// Who attracts the traffic for a VIP.
    Announce {
        /// The load balancer answers ARP and neighbour solicitations for it.
        Arp = "arp",
        /// Routers send it here.
        None = "none",
    }
    not yet: [], use "arp or none"
}

choice! {
    /// What becomes of the flows of a member that fails its health check.
    FlowsOnUnhealthy {
        /// They stay with the member.
        Keep = "keep",
        /// They go to other members at once.
        Rehash = "rehash",
    }
    not yet: [], use "keep or rehash"
}

impl FlowsOnUnhealthy {
    /// A TCP connection cannot live on another member; a UDP flow usually can.
    pub const fn default_for(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Self::Keep,
            Protocol::Udp => Self::Rehash,
        }
    }
}

/// Serializes a value as what it displays.
pub(super) fn as_text<T: fmt::Display, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(value)
}

#[cfg(test)]
mod tests;
