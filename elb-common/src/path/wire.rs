//! Headers as they lie in a frame. Alignment is at most 2; every bit pattern is a valid value.

use bytemuck::{Pod, Zeroable};

use crate::addr::{Be16, Be32, Be128, Mac};

/// Ethernet header (IEEE 802.3), 14 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Ethernet {
    /// Receiver.
    pub destination: Mac,
    /// Sender.
    pub source: Mac,
    /// Type of what follows.
    pub ethertype: Be16,
}

/// VLAN tag after its ethertype (IEEE 802.1Q), 4 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Vlan {
    /// Priority and VLAN id.
    pub control: Be16,
    /// Type of what follows.
    pub ethertype: Be16,
}

/// IPv4 header without options (RFC 791 §3.1), 20 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Ipv4 {
    /// Version (high nibble) and header length in 32-bit words (low nibble).
    pub version_length: u8,
    /// Type of service: DSCP and ECN.
    pub tos: u8,
    /// Length of header and payload.
    pub total_length: Be16,
    /// Identification of fragments.
    pub identification: Be16,
    /// Flags (3 bits) and fragment offset in 8 bytes (13 bits).
    pub fragment: Be16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Header checksum, a word as it lies in memory.
    pub checksum: u16,
    /// Source address.
    pub source: Be32,
    /// Destination address.
    pub destination: Be32,
}

/// IPv6 header (RFC 8200 §3), 40 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Ipv6 {
    /// Version (4 bits), traffic class (8), flow label (20).
    pub version_class_label: Be32,
    /// Length of what follows this header.
    pub payload_length: Be16,
    /// Type of what follows.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub source: Be128,
    /// Destination address.
    pub destination: Be128,
}

/// The first 8 bytes of an IPv6 extension header; what the last six mean depends on its type.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Extension {
    /// Type of what follows.
    pub next_header: u8,
    /// Length in 8 bytes beyond the first 8 (in 4 bytes beyond the first 8 for AH).
    pub length: u8,
    /// Fragment header: offset (13 bits), reserved (2), more fragments (1).
    /// Routing header: type and segments left.
    pub word: Be16,
    /// Fragment header: identification.
    pub rest: Be32,
}

/// The first 14 bytes of a TCP header (RFC 9293 §3.1).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Tcp {
    /// Source port.
    pub source: Be16,
    /// Destination port.
    pub destination: Be16,
    /// Sequence number.
    pub sequence: Be32,
    /// Acknowledgement number.
    pub acknowledgement: Be32,
    /// Header length in 32-bit words (high nibble).
    pub offset: u8,
    /// Flags.
    pub flags: u8,
}

/// UDP header (RFC 768), 8 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Udp {
    /// Source port.
    pub source: Be16,
    /// Destination port.
    pub destination: Be16,
    /// Length of header and payload.
    pub length: Be16,
    /// Checksum.
    pub checksum: u16,
}

/// The first 4 bytes of an ICMP or ICMPv6 message (RFC 792, RFC 4443 §2.1).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Icmp {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Checksum, a word as it lies in memory.
    pub checksum: u16,
}

/// The first 8 bytes of an ICMP or ICMPv6 error (RFC 792, RFC 1191 §4, RFC 4443 §3); what caused it
/// follows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct IcmpError {
    /// Type, code and checksum.
    pub icmp: Icmp,
    /// Fragmentation needed: the MTU in the last two bytes. Packet too big: the MTU.
    pub word: Be32,
}

/// GUE header, variant 0, without optional fields (draft-ietf-intarea-gue-09 §3), 4 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Gue {
    /// Variant (2 bits), control message (1), length of the optional fields in 4 bytes (5).
    pub variant_length: u8,
    /// Protocol of what follows.
    pub protocol: u8,
    /// Flags.
    pub flags: Be16,
}

/// Neighbour solicitation or advertisement without options (RFC 4861 §4.3, §4.4), 24 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Neighbor {
    /// Type, code and checksum.
    pub icmp: Icmp,
    /// Advertisement: flags in the first byte. Solicitation: reserved.
    pub flags: Be32,
    /// The address asked for.
    pub target: Be128,
}

/// Link-layer address option of neighbour discovery (RFC 4861 §4.6.1), 8 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct LinkAddressOption {
    /// 1: source, 2: target.
    pub kind: u8,
    /// Length in 8 bytes.
    pub length: u8,
    /// The address.
    pub mac: Mac,
}

/// ARP message for IPv4 over Ethernet (RFC 826), 28 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Arp {
    /// 1: Ethernet.
    pub hardware: Be16,
    /// 0x0800: IPv4.
    pub protocol: Be16,
    /// 6 in the high byte, 4 in the low byte.
    pub lengths: Be16,
    /// 1: request, 2: reply.
    pub operation: Be16,
    /// Ethernet address of the sender.
    pub sender_mac: Mac,
    /// IPv4 address of the sender.
    pub sender: Be32,
    /// Ethernet address of the target.
    pub target_mac: Mac,
    /// IPv4 address of the target.
    pub target: Be32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_their_length_and_an_alignment_frames_can_keep() {
        fn check<H>(size: usize) {
            assert_eq!(size_of::<H>(), size);
            assert!(align_of::<H>() <= 2);
        }
        check::<Ethernet>(14);
        check::<Vlan>(4);
        check::<Ipv4>(20);
        check::<Ipv6>(40);
        check::<Extension>(8);
        check::<Tcp>(14);
        check::<Udp>(8);
        check::<Icmp>(4);
        check::<IcmpError>(8);
        check::<Gue>(4);
        check::<Neighbor>(24);
        check::<LinkAddressOption>(8);
        check::<Arp>(28);
    }
}
