//! Interfaces that carry the program.

use bytemuck::{Pod, Zeroable};

use crate::addr::Mac;

/// Value of `INTERFACES`, by interface index.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Interface {
    /// Its Ethernet address: what ARP and neighbour solicitations for a VIP are answered with.
    pub mac: Mac,
    /// Zero.
    pub reserved: u16,
    /// Of [`interface_flags`].
    pub flags: u16,
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
    fn layout() {
        assert_eq!((size_of::<Interface>(), align_of::<Interface>()), (10, 2));
        assert_eq!((offset_of!(Interface, reserved), offset_of!(Interface, flags)), (6, 8));
        assert_eq!((size_of::<Settings>(), align_of::<Settings>()), (8, 4));
        assert_eq!(offset_of!(Settings, records), 4);
    }
}
