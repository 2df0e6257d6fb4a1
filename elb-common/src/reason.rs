//! Why a packet was not forwarded: one reason and one counter for each.

/// What happens to a packet that is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// The kernel's network stack gets it, unchanged.
    Passed,
    /// It is dropped.
    Dropped,
    /// It is answered on the interface it came by.
    Answered,
}

macro_rules! reasons {
    ($($index:literal $variant:ident $name:literal $fate:ident $meaning:literal $fix:literal;)*) => {
        /// Why a packet was not forwarded. The number is the index into `REASON_COUNTERS` and part
        /// of the ABI: numbers are never reused.
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $(#[doc = $meaning] $variant = $index,)* }

        impl Reason {
            /// All reasons, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The reason with this number.
            pub const fn new(number: u8) -> Option<Self> {
                match number { $($index => Some(Self::$variant),)* _ => None }
            }

            /// Stable name, for output and metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What happens to the packet.
            #[inline(always)]
            pub const fn fate(self) -> Fate {
                match self { $(Self::$variant => Fate::$fate,)* }
            }

            /// What it means, one sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// What to do about it, one sentence; empty where nothing is wrong.
            pub const fn fix(self) -> &'static str {
                match self { $(Self::$variant => $fix,)* }
            }
        }
    };
}

reasons! {
    0 NotIp "not_ip" Passed
        "the frame carries neither IPv4 nor IPv6 nor ARP" "";
    1 VlanDepth "vlan_depth" Passed
        "the frame has more than two VLAN tags" "";
    2 GroupMac "group_mac" Passed
        "the frame is addressed to a group of hosts, not to this one" "";
    3 Truncated "truncated" Passed
        "the frame ends before the headers or the packet it announces do"
        "look for a broken sender, or a driver that splits frames (turn LRO off)";
    4 BadHeader "bad_header" Passed
        "an IP, TCP or UDP header contradicts itself"
        "look for a broken sender";
    5 ExtensionHeaders "extension_headers" Passed
        "the IPv6 packet has too many extension headers, or a routing header with segments left" "";
    6 OtherProtocol "other_protocol" Passed
        "the packet is neither TCP nor UDP, nor an echo request for a virtual address, nor an error about a flow" "";
    7 NotVip "not_vip" Passed
        "the destination is not a virtual address" "";
    8 NoListener "no_listener" Passed
        "the virtual address has no listener for this port and protocol"
        "add a listener, or correct the client's port";
    9 ArpOther "arp_other" Passed
        "the ARP message is not a request for an announced virtual address" "";
    10 NeighborOther "neighbor_other" Passed
        "the neighbour discovery message is not a solicitation for an announced virtual address" "";
    11 VipConflict "vip_conflict" Passed
        "another host announces one of the virtual addresses"
        "find the host with that address and remove the address or its ARP announcement";
    12 Fragment "fragment" Dropped
        "the packet for a virtual address is a fragment whose first one, which names the listener, has not come here before"
        "the sender repeats the datagram; if it happens often, look for reordering or for paths that split, or let the sender use path MTU discovery";
    13 Disabled "disabled" Dropped
        "the listener or its load balancer is administratively down"
        "set admin_state_up = true";
    14 NoBackend "no_backend" Dropped
        "the pool has no backend server that takes new flows"
        "see `elb diagnose`, and `elb status`: its members are OFFLINE, drained, without weight, without a next hop, or none; those of a pool that begins are INITIAL for a moment";
    15 UnknownBackend "unknown_backend" Dropped
        "the ring names a backend that does not exist"
        "restart the agent, which rebuilds its maps; please report it";
    16 RingRange "ring_range" Dropped
        "the listener's ring lies outside of the ring map"
        "restart the agent, which rebuilds its maps; please report it";
    17 NoNextHop "no_next_hop" Dropped
        "the backend's next hop has no known Ethernet address"
        "check the route and the neighbour entry for the backend's address";
    18 TooBig "too_big" Dropped
        "the packet would not fit the way to the backend after encapsulation, and its sender cannot be notified, or too many senders were in this second"
        "raise the MTU behind the load balancer by 52 bytes, or lower the clients' MSS";
    19 NoRoom "no_room" Dropped
        "the driver left no room to encapsulate or to answer"
        "use a driver with 256 bytes of XDP headroom";
    20 NoDevice "no_device" Dropped
        "the interface towards the backend does not take redirected frames"
        "name that interface in [agent] interfaces";
    21 EchoAnswered "echo_answered" Answered
        "an echo request for a virtual address was answered" "";
    22 ArpAnswered "arp_answered" Answered
        "an ARP request for a virtual address was answered" "";
    23 NeighborAnswered "neighbor_answered" Answered
        "a neighbour solicitation for a virtual address was answered" "";
    24 AccessDenied "access_denied" Dropped
        "the listener's IP group does not let the client in"
        "add the client to the whitelist, or remove it from the blacklist";
    25 RateLimited "rate_limited" Dropped
        "the listener has reached its limit of new connections per second"
        "raise the listener's cps, or find out who opens so many";
    26 ConnectionLimit "connection_limit" Dropped
        "the listener has reached its limit of concurrent connections"
        "raise the listener's max_connection, or find out who holds so many";
    27 NoRecord "no_record" Dropped
        "the listener has as many flows recorded as its share of the flow table, and none of the owners of the slot can serve the flow without a record"
        "look for a flood; otherwise raise [agent] max_flows";
    28 TtlExpired "ttl_expired" Dropped
        "the packet has no hop left for the way to the backend (RFC 1812 §5.3.1, RFC 2003 §3.1); its sender is not notified"
        "let the sender start with a greater TTL; look for a routing loop in front of the load balancer, or for two load balancers that are members of each other";
    29 TooBigAnswered "too_big_answered" Answered
        "the packet would not fit the way to the backend after encapsulation, and its sender was notified of the size that does" "";
    30 NotProbe "not_a_probe" Dropped
        "a packet left by the interface for health probes and is none that the agent sent"
        "find out who else uses that interface or its firewall mark; if it is the agent, please report it";
    31 CarriedOver "carried_over" Dropped
        "flows are being carried over to other maps, and the record that says where this one goes may not be there yet"
        "nothing: the sender repeats the packet; if it goes on for more than ten seconds, restart the agent, which completes what it began";
    32 ForeignMac "foreign_mac" Passed
        "the frame for a virtual address has another host's Ethernet address as its destination: a switch floods, or the interface is promiscuous" "";
    33 OwnConnection "own_connection" Passed
        "the virtual address is this host's own, too, and the packet belongs to one of its connections" "";
    34 ClosedPort "closed_port" Dropped
        "no listener wants the packet, and the virtual address is not this host's, so that the kernel could only send it back to the router; its sender cannot be notified, or too many senders were in this second"
        "add a listener, or correct the client's port";
    35 ClosedPortAnswered "closed_port_answered" Answered
        "no listener wants the packet, and the virtual address is not this host's; its sender was notified that the port is closed"
        "add a listener, or correct the client's port";
    36 NoBackendAnswered "no_backend_answered" Answered
        "the pool has no backend server that takes new flows, and the sender was notified (no_member = \"reset\")" "";
    37 Joined "joined" Dropped
        "the packet is larger than the interface it came by can receive: in generic mode, XDP gets packets that the sender (TSO, GSO) or the interface (GRO, LRO) joined, and cannot forward them"
        "turn joining off: `ethtool -K DEV tso off gso off` on the sender's end of a veth or virtio link, `ethtool -K DEV gro off lro off` here; or attach in native mode";
    38 Cut "cut" Dropped
        "the packet belongs to a connection that was cut: by `elb flows --cut`, or because the IP group does not let its client in any more (cut = true)"
        "nothing, if it was meant: after `elb flows --cut` the client may connect again; otherwise correct the IP group";
    39 CutAnswered "cut_answered" Answered
        "the packet belongs to a connection that was cut, and its client was sent a reset" "";
    40 MemberLimit "member_limit" Dropped
        "every member of the pool that takes new connections has as many as its max_connection allows, or the one that the connection began at has by now"
        "raise the members' max_connection, or add members; `elb status` shows how many connections each has";
    41 MemberLimitAnswered "member_limit_answered" Answered
        "every member of the pool that takes new connections has as many as its max_connection allows, and the sender was notified (no_member = \"reset\")" "";
    42 ReplyUnknown "reply_unknown" Passed
        "the packet has the address of a member whose answers are translated, but came by another interface, or from another Ethernet address than the member's"
        "let the member's route back lead by the interface that this host reaches it by; otherwise find out who sends with the member's address";
    43 NoRoute "no_route" Dropped
        "this host has no route to the client that a member's answer is for"
        "add a route to the client, such as a default route, to the main routing table";
    44 Hairpin "hairpin" Dropped
        "the client is on the member's own network, so that the member's answer would not come back here to be translated"
        "give members a network of their own, or use forwarding = \"ipip\" or \"l2\" for this pool";
    45 TupleClash "tuple_clash" Dropped
        "the client uses one port for connections to two listeners that share the member's endpoint, so that the member could not tell them apart"
        "nothing: the client's next connection has another port; if it happens often, give the listeners members with ports of their own";
    46 ResetTold "reset_told" Answered
        "the connection is over: the drain of its member has ended, the member or its listener was taken away, or (fullnat) it was idle for longer than idle_timeout; who sent the packet was notified"
        "nothing, if that was meant; a member that is not to be cut off needs a longer connection_drain, or none; a connection that is silent for long needs a longer idle_timeout, or keepalives";
    47 NotOpen "not_open" Dropped
        "the packet is of no connection that is open through this host (fullnat), and its sender cannot be sent a reset, or too many senders were in this second"
        "nothing: the client connects again; if it happens often, look for routers that send packets of one connection to several load balancers, or for an idle_timeout that is too short";
    48 NoSourcePort "no_source_port" Dropped
        "all source ports that the flow may have are in use by others (fullnat)"
        "give [snat] more addresses; `elb status` shows how many of their ports are in use";
    49 UdpChecksum "udp_checksum" Dropped
        "the datagram has no checksum, which IPv6 demands, and cannot get one, since it came in fragments or is longer than 1500 bytes (nat46)"
        "let the sender use checksums, or smaller datagrams";
}

/// Elements of `REASON_COUNTERS`; room for reasons to come.
pub const REASONS: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_are_dense_and_names_unique() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            assert_eq!(Reason::new(*reason as u8), Some(*reason));
        }
        assert!(Reason::ALL.len() <= REASONS as usize);
        let names: BTreeSet<_> = Reason::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
    }

    #[test]
    fn a_drop_says_what_to_do() {
        for reason in Reason::ALL.iter().filter(|r| r.fate() == Fate::Dropped) {
            assert!(!reason.fix().is_empty(), "{}", reason.name());
        }
    }
}
