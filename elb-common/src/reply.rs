//! Answers of members that are translated back: which virtual address a member's endpoint stands for.
//!
//! The record of an endpoint says all, so that no flow is recorded in either direction. Where that is not
//! enough, the flows that differ are [exceptions](crate::exception), and packets look for them only while there
//! may be some.

use bytemuck::{Pod, Zeroable};

use crate::addr::{Be16, Be32, Be128, Mac};
use crate::checksum;

/// Value of `REPLIES_V4` and `REPLIES_V6`. Their keys are shaped as those of listeners: address, port and
/// protocol of a member.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Reply {
    /// The virtual address. IPv4 in the first four bytes.
    pub vip: Be128,
    /// The port that clients know.
    pub port: Be16,
    /// Bits of [`reply_flags`].
    pub flags: u16,
    /// Interface that the member's packets come by.
    pub ifindex: u32,
    /// Id of the listener that packets are counted by, and of the backend.
    pub listener: u16,
    /// Id of the backend that packets are counted by.
    pub backend: u16,
    /// What the address in place of the member's adds to a sum, see [`checksum::difference`].
    pub address_difference: u16,
    /// What address and port add to the sum of TCP or UDP.
    pub difference: u16,
    /// Ethernet address that the member's packets come from.
    pub mac: Mac,
    /// Zero.
    pub reserved: u16,
}

/// Bits of [`Reply::flags`].
pub mod reply_flags {
    /// Several listeners forward to the endpoint: each flow may be an exception.
    pub const SHARED: u16 = 1 << 0;
    /// The member is on the interface's own segment: its packets have its Ethernet address.
    pub const ON_LINK: u16 = 1 << 1;
    /// The connections of the endpoint are over: the member's drain has ended, or it or its listener was taken away
    /// not long ago.
    pub const ENDED: u16 = 1 << 2;
    /// Clients' packets come from source addresses of ours, which the member answers: of what it sends to others, only
    /// answers of health probes are translated.
    pub const PROBES: u16 = 1 << 3;
}

impl Reply {
    /// The first four bytes of [`Reply::vip`].
    #[inline(always)]
    pub fn vip_v4(&self) -> Be32 {
        Be32::from_raw(self.vip.raw()[0])
    }

    /// Sets the differences for a member's address, as words in memory order, and port.
    pub fn translate_from(&mut self, address: Be128, port: Be16) {
        let new = checksum::sum_of(&self.vip);
        self.address_difference = checksum::difference(checksum::sum_of(&address), new);
        self.difference = checksum::difference(
            checksum::fold(u32::from(checksum::sum_of(&address)) + u32::from(port.raw())),
            checksum::fold(u32::from(new) + u32::from(self.port.raw())),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{align_of, offset_of, size_of};

    #[test]
    fn layout() {
        assert_eq!((size_of::<Reply>(), align_of::<Reply>()), (40, 4));
        assert_eq!((offset_of!(Reply, port), offset_of!(Reply, flags)), (16, 18));
        assert_eq!((offset_of!(Reply, ifindex), offset_of!(Reply, listener)), (20, 24));
        assert_eq!((offset_of!(Reply, backend), offset_of!(Reply, address_difference)), (26, 28));
        assert_eq!((offset_of!(Reply, difference), offset_of!(Reply, mac)), (30, 32));
    }

    #[test]
    fn differences_take_the_old_words_away_and_add_the_new() {
        let vip = Be128::from_raw([u32::from_ne_bytes([192, 0, 2, 10]), 0, 0, 0]);
        let member = Be128::from_raw([u32::from_ne_bytes([10, 1, 0, 7]), 0, 0, 0]);
        let mut reply = Reply { vip, port: Be16::new(80), ..Reply::default() };
        reply.translate_from(member, Be16::new(8080));
        let word = |a: u8, b: u8| u16::from_ne_bytes([a, b]);
        let mut sum = checksum::finish(
            u32::from(word(10, 1)) + u32::from(word(0, 7)) + u32::from(word(0x1f, 0x90)) + 0x1234,
        );
        for (old, new) in [
            (word(10, 1), word(192, 0)),
            (word(0, 7), word(2, 10)),
            (word(0x1f, 0x90), word(0, 80)),
        ] {
            sum = checksum::replace(sum, old, new);
        }
        let start = u32::from(word(10, 1)) + u32::from(word(0, 7)) + u32::from(word(0x1f, 0x90));
        let at_once = checksum::change(checksum::finish(start + 0x1234), reply.difference.into());
        assert_eq!(at_once % 0xffff, sum % 0xffff);
    }
}
