//! XDP program `arrive`: on a backend server, notes when the last packet for an address came.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![allow(clippy::cast_possible_truncation, reason = "small constants, ids and seconds")]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::bindings::xdp_action;
    use aya_ebpf::helpers::bpf_ktime_get_ns;
    use aya_ebpf::macros::{map, xdp};
    use aya_ebpf::maps::Array;
    use aya_ebpf::programs::XdpContext;
    use elb_common::path::Packet as _;
    use elb_common::path::wire::{Ethernet, Ipv4};
    use elb_ebpf::packet::XdpPacket;

    /// The bench writes: the address, in network order.
    #[map]
    static ADDRESS: Array<u32> = Array::with_max_entries(1, 0);

    /// Packets write, the bench reads: nanoseconds of the monotonic clock.
    #[map]
    static LAST: Array<u64> = Array::with_max_entries(1, 0);

    #[xdp]
    pub(crate) fn arrive(context: XdpContext) -> u32 {
        note(&XdpPacket::new(&context));
        xdp_action::XDP_PASS
    }

    #[inline(always)]
    fn note(packet: &XdpPacket<'_>) -> Option<()> {
        let ethernet: &Ethernet = packet.view(0)?;
        let ip: &Ipv4 = packet.view(size_of::<Ethernet>())?;
        if ethernet.ethertype.get() == 0x0800 && ip.destination.raw() == *ADDRESS.get(0)? {
            // SAFETY: the element stays in place, and is written and read as one word.
            unsafe { LAST.get_ptr_mut(0)?.write(bpf_ktime_get_ns()) };
        }
        Some(())
    }

    elb_ebpf::bpf_program!();
}
