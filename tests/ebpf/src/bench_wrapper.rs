//! XDP programs `wrap` and `nothing`, see `elb_tests_ebpf::bench`.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![allow(clippy::cast_possible_truncation, reason = "small constants, ids and seconds")]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::bindings::xdp_action;
    use aya_ebpf::macros::{map, xdp};
    use aya_ebpf::maps::{Array, PerCpuArray, ProgramArray};
    use aya_ebpf::programs::XdpContext;
    use elb_common::path::Packet as _;
    use elb_ebpf::packet::XdpPacket;
    use elb_tests_ebpf::bench::{FRAME, Template, flow};

    /// The bench writes, every packet reads.
    #[map]
    static TEMPLATE: Array<Template> = Array::with_max_entries(1, 0);

    /// The bench writes: the program under test.
    #[map]
    static NEXT: ProgramArray = ProgramArray::with_max_entries(1, 0);

    /// How many packets there were.
    #[map]
    static STEPS: PerCpuArray<u32> = PerCpuArray::with_max_entries(1, 0);

    #[xdp]
    pub(crate) fn wrap(context: XdpContext) -> u32 {
        if restore(&context).is_none() {
            return xdp_action::XDP_ABORTED;
        }
        // SAFETY: the program array only holds XDP programs; a missing one returns here.
        unsafe { NEXT.tail_call(&context, 0) };
        xdp_action::XDP_ABORTED
    }

    #[xdp]
    pub(crate) fn nothing(_: XdpContext) -> u32 {
        xdp_action::XDP_DROP
    }

    #[inline(always)]
    fn restore(context: &XdpContext) -> Option<()> {
        let template = TEMPLATE.get(0)?;
        let steps = STEPS.get_ptr_mut(0)?;
        // SAFETY: the element belongs to this CPU.
        let step = unsafe {
            let step = steps.read();
            steps.write(step.wrapping_add(1));
            step
        };
        let mut packet = XdpPacket::new(context);
        packet.shrink_head(packet.length().saturating_sub(FRAME as u32))?;
        *packet.view_mut::<[[u16; 4]; FRAME / 8]>(0)? = bytemuck::cast(template.words);
        let flow = flow(step, template.mask);
        *packet.view_mut::<u16>((template.address & 0x7e) as usize)? = (flow >> 14) as u16;
        let port = 1024 + (flow & 0x3fff) as u16;
        *packet.view_mut::<u16>((template.port & 0x7e) as usize)? = port.to_be();
        Some(())
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        // The verifier refuses a program that can come here.
        loop {}
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}
