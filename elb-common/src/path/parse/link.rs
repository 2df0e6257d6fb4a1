//! Ethernet and VLAN tags.

use network_types::eth::EtherType;

use super::super::wire::{Ethernet, Vlan};
use super::super::{Packet, Stop};
use crate::addr::{Be16, Mac};
use crate::reason::Reason;

/// What precedes the IP header, and how to write it again.
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
    /// Type of the first tag; the ethertype itself where there is no tag.
    first: Be16,
    /// Offset of what follows the tags.
    pub end: usize,
    /// The tags: `end` tells how many there are.
    tags: [Vlan; 2],
}

const UNTAGGED: usize = size_of::<Ethernet>();
const TAGGED: usize = UNTAGGED + size_of::<Vlan>();
const DOUBLE: usize = TAGGED + size_of::<Vlan>();

/// Reads the Ethernet header and at most two VLAN tags.
#[inline(always)]
pub(in super::super) fn link<P: Packet>(packet: &P) -> Result<Link, Stop> {
    let truncated = Stop(Reason::Truncated);
    let ethernet: &Ethernet = packet.view(0).ok_or(truncated)?;
    let mut link = Link {
        destination: ethernet.destination,
        source: ethernet.source,
        ethertype: ethernet.ethertype,
        end: UNTAGGED,
        first: ethernet.ethertype,
        tags: [Vlan { control: Be16::from_raw(0), ethertype: Be16::from_raw(0) }; 2],
    };
    if !is_tag(link.ethertype) {
        return Ok(link);
    }
    link.tags[0] = *packet.view(UNTAGGED).ok_or(truncated)?;
    (link.ethertype, link.end) = (link.tags[0].ethertype, TAGGED);
    if !is_tag(link.ethertype) {
        return Ok(link);
    }
    link.tags[1] = *packet.view(TAGGED).ok_or(truncated)?;
    (link.ethertype, link.end) = (link.tags[1].ethertype, DOUBLE);
    if !is_tag(link.ethertype) {
        return Ok(link);
    }
    Err(Stop(Reason::VlanDepth))
}

impl Link {
    /// Writes the header at the start of the frame with new addresses and a new type of payload;
    /// the tags are kept.
    #[inline(always)]
    pub(in super::super) fn write<P: Packet>(
        &self,
        packet: &mut P,
        destination: Mac,
        source: Mac,
        ethertype: Be16,
    ) -> Option<()> {
        let [outer, inner] = self.tags;
        let first = if self.end == UNTAGGED { ethertype } else { self.first };
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
