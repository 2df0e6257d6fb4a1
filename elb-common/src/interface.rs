//! Interfaces that carry the program, and the Ethernet addresses that they take frames for.

use bytemuck::{Pod, Zeroable};

use crate::addr::{Mac, join};
use crate::limits::MAX_INTERFACES;

/// Value of `INTERFACES`, by interface index.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Interface {
    /// Its Ethernet address: what ARP and neighbour solicitations for a VIP are answered with.
    pub mac: Mac,
    /// The largest IP packet that it can have received as one frame; 0: any. Larger ones were joined after
    /// they were sent, which is so in generic mode only.
    pub largest: u16,
    /// Of [`interface_flags`].
    pub flags: u16,
}

/// Value of `INTERFACE_MACS`, by [`LinkMac::place`]: an interface and its own Ethernet address, which most
/// frames are addressed to. An interface whose place another one has is found in `INTERFACES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct LinkMac {
    /// Index of the interface; 0: none.
    pub index: u32,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Zero.
    pub reserved: u16,
}

/// Flags of an interface.
pub mod interface_flags {
    /// Another interface of this host on the same segment answers who looks for a virtual address.
    pub const QUIET: u16 = 1;
}

impl Interface {
    /// Whether it leaves it to another one to say where virtual addresses are.
    #[inline(always)]
    pub const fn is_quiet(&self) -> bool {
        self.flags & interface_flags::QUIET != 0
    }
}

impl LinkMac {
    /// An interface and its Ethernet address.
    pub const fn new(index: u32, mac: Mac) -> Self {
        Self { index, mac, reserved: 0 }
    }

    /// Where an interface's address lies in `INTERFACE_MACS`.
    #[inline(always)]
    pub const fn place(index: u32) -> u32 {
        index % MAX_INTERFACES
    }
}

/// Key of `MORE_MACS`: index of an interface (4 bytes), an Ethernet address that it takes frames for besides
/// its own (6), zero (6): those of interfaces on top of it, such as bridge, bond, VLAN and macvlan.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct MacKey([u64; 2]);

impl MacKey {
    /// Key of an Ethernet address at an interface.
    #[inline(always)]
    pub const fn new(index: u32, mac: Mac) -> Self {
        let [high, low] = mac.words();
        Self([join(index, high), low as u64])
    }

    /// Index of the interface.
    pub const fn index(&self) -> u32 {
        self.0[0] as u32
    }
}

/// Value of `SETTINGS`, one element.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Settings {
    /// [`crate::names::ABI_VERSION`] of the agent that made the maps; 0: not yet written.
    pub abi_version: u32,
    /// [`crate::names::RECORDS`] of that agent; 0: it is older than this field.
    pub records: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{align_of, offset_of, size_of};

    #[test]
    fn a_key_is_index_and_address() {
        let key = MacKey::new(7, Mac::new([2, 0, 0, 1, 2, 3]));
        assert_eq!(bytemuck::bytes_of(&key)[..4], 7u32.to_ne_bytes());
        assert_eq!(bytemuck::bytes_of(&key)[4..], [2, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0, 0]);
        assert_eq!(key.index(), 7);
    }

    #[test]
    fn layout() {
        assert_eq!((size_of::<Interface>(), align_of::<Interface>()), (10, 2));
        assert_eq!((offset_of!(Interface, largest), offset_of!(Interface, flags)), (6, 8));
        assert_eq!((size_of::<LinkMac>(), align_of::<LinkMac>()), (12, 4));
        assert_eq!((offset_of!(LinkMac, mac), offset_of!(LinkMac, reserved)), (4, 10));
        assert_eq!((size_of::<MacKey>(), align_of::<MacKey>()), (16, 8));
        assert_eq!((size_of::<Settings>(), align_of::<Settings>()), (8, 4));
        assert_eq!(offset_of!(Settings, records), 4);
    }
}
