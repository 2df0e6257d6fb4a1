//! The two ends of a packet, and what the address of one is replaced by.

use crate::addr::Be128;

/// Which end of a packet; numbers, which the compiler resolves.
pub mod end {
    /// Its sender.
    pub const SOURCE: usize = 0;
    /// Its receiver.
    pub const DESTINATION: usize = 1;
}

/// What an address is replaced by.
pub struct Address<'a> {
    /// IPv4 in the first four bytes.
    pub new: &'a Be128,
    /// What it adds to the sum of an IPv4 header.
    pub by: u32,
}

/// What an IPv4 header's sum has less when its time to live is one less.
pub(super) const HOP: u32 = (!0x0100_u16.to_be()) as u32;
