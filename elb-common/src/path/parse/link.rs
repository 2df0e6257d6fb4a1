//! Ethernet and VLAN tags.

use bytemuck::{Pod, Zeroable};
use network_types::eth::EtherType;

use super::super::wire::{Ethernet, Vlan};
use super::super::{Packet, Stop};
use crate::addr::{Be16, Mac};
use crate::reason::Reason;

/// What precedes the IP header. Tags stay in the frame: who writes the header again keeps them.
///
/// The order of the fields keeps what is copied together within one aligned word: the BPF stack
/// allows no other access.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Receiver of the frame.
    pub destination: Mac,
    /// Type of what follows the tags.
    pub ethertype: Be16,
    /// Sender of the frame.
    pub source: Mac,
    reserved: u16,
    /// Offset of what follows the tags.
    pub end: usize,
}

/// The tags of a frame, of which [`Link::end`] shows how many there are.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Tags {
    /// Type of the first tag.
    first: Be16,
    tags: [Vlan; 2],
}

/// Offset of the type.
const TYPE: usize = 12;
const UNTAGGED: usize = size_of::<Ethernet>();
const TAGGED: usize = UNTAGGED + size_of::<Vlan>();
const DOUBLE: usize = TAGGED + size_of::<Vlan>();

/// Reads the Ethernet header and at most two VLAN tags.
#[inline(always)]
pub(in super::super) fn link<P: Packet>(packet: &P) -> Result<Link, Stop> {
    let truncated = || Stop::because(Reason::Truncated);
    let ethernet: &Ethernet = packet.view(0).ok_or_else(truncated)?;
    let mut link = Link {
        destination: ethernet.destination,
        source: ethernet.source,
        ethertype: ethernet.ethertype,
        reserved: 0,
        end: UNTAGGED,
    };
    if !is_tag(link.ethertype) {
        return Ok(link);
    }
    let tag: &Vlan = packet.view(UNTAGGED).ok_or_else(truncated)?;
    (link.ethertype, link.end) = (tag.ethertype, TAGGED);
    if !is_tag(link.ethertype) {
        return Ok(link);
    }
    let tag: &Vlan = packet.view(TAGGED).ok_or_else(truncated)?;
    (link.ethertype, link.end) = (tag.ethertype, DOUBLE);
    if !is_tag(link.ethertype) {
        return Ok(link);
    }
    Err(Stop::because(Reason::VlanDepth))
}

impl Link {
    /// Of a frame whose header ends at `end`, as was found before.
    #[inline(always)]
    pub(in super::super) fn ending_at<P: Packet>(packet: &P, end: usize) -> Result<Self, Stop> {
        let ethernet: &Ethernet = packet.view(0).ok_or_else(|| Stop::because(Reason::Truncated))?;
        let Ethernet { destination, source, ethertype } = *ethernet;
        Ok(Self { destination, source, ethertype, reserved: 0, end })
    }

    /// Whether the frame has no tags.
    #[inline(always)]
    pub(in super::super) const fn is_untagged(&self) -> bool {
        self.end == UNTAGGED
    }

    /// The tags of the frame, whose header now starts at `start`.
    #[inline(always)]
    pub(in super::super) fn tags<P: Packet>(&self, packet: &P, start: usize) -> Option<Tags> {
        if self.is_untagged() {
            return Some(Tags::zeroed());
        }
        packet.view(start + TYPE).copied()
    }

    /// Writes the header at the start of a frame that grew by `grown` bytes, with new addresses and a
    /// new type of payload; the tags are kept.
    #[inline(always)]
    pub(in super::super) fn write<P: Packet>(
        &self,
        packet: &mut P,
        grown: usize,
        destination: Mac,
        source: Mac,
        ethertype: Be16,
    ) -> Option<()> {
        let tags = self.tags(packet, grown)?;
        self.write_tagged(packet, tags, destination, source, ethertype)
    }

    /// As `write`, with tags that were read before.
    #[inline(always)]
    pub(in super::super) fn write_tagged<P: Packet>(
        &self,
        packet: &mut P,
        tags: Tags,
        destination: Mac,
        source: Mac,
        ethertype: Be16,
    ) -> Option<()> {
        let Tags { first, tags: [outer, inner] } = tags;
        let first = if self.is_untagged() { ethertype } else { first };
        *packet.view_mut(0)? = Ethernet { destination, source, ethertype: first };
        if self.end == TAGGED {
            *packet.view_mut(UNTAGGED)? = Vlan { control: outer.control, ethertype };
        } else if self.end == DOUBLE {
            *packet.view_mut(UNTAGGED)? = outer;
            *packet.view_mut(TAGGED)? = Vlan { control: inner.control, ethertype };
        }
        Some(())
    }
}

#[inline(always)]
fn is_tag(ethertype: Be16) -> bool {
    const C_TAG: u16 = EtherType::Ieee8021q as u16;
    const S_TAG: u16 = EtherType::Ieee8021ad as u16;
    matches!(ethertype.raw(), C_TAG | S_TAG)
}
