//! XDP programs that measure others, and two that do next to nothing; see `elb_tests_ebpf::bench`.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![allow(clippy::cast_possible_truncation, reason = "small constants, ids and seconds")]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::bindings::xdp_action;
    use aya_ebpf::helpers::bpf_ktime_get_ns;
    use aya_ebpf::macros::{map, xdp};
    use aya_ebpf::maps::{Array, DevMap, PerCpuArray, ProgramArray};
    use aya_ebpf::programs::XdpContext;
    use bytemuck::{Pod, Zeroable};
    use elb_common::path::Packet as _;
    use elb_ebpf::packet::XdpPacket;
    use elb_tests_ebpf::bench::{
        FRAME, MIDDLE, PORT_BITS, PROGRAMS, ROLES, TURN, TURNS, Template, flow,
    };

    /// The bench writes, every packet reads.
    #[map]
    static TEMPLATES: Array<Template> = Array::with_max_entries(ROLES, 0);

    /// The bench writes: the programs under test.
    #[map]
    static NEXT: ProgramArray = ProgramArray::with_max_entries(PROGRAMS, 0);

    /// How many packets were made, and how many took turns. Packets write, the bench resets.
    #[map]
    static STEPS: PerCpuArray<u32> = PerCpuArray::with_max_entries(2, 0);

    /// The first packet of each turn writes, the bench reads.
    #[map]
    static TIMES: Array<u64> = Array::with_max_entries(TURNS, 0);

    /// The bench writes: where frames are sent.
    #[map]
    static DEVICE: DevMap = DevMap::with_max_entries(1, 0);

    /// Restores the frame and calls the program whose turn it is.
    #[xdp]
    pub(crate) fn wrap(context: XdpContext) -> u32 {
        if let Some(template) = turn()
            && restore(&context, template).is_some()
        {
            call(&context, template);
        }
        xdp_action::XDP_ABORTED
    }

    /// Calls the program whose turn it is, on a frame that came from elsewhere.
    #[xdp]
    pub(crate) fn take_turns(context: XdpContext) -> u32 {
        if let Some(template) = turn() {
            call(&context, template);
        }
        xdp_action::XDP_ABORTED
    }

    /// Makes a frame of the first role, and sends it.
    #[xdp]
    pub(crate) fn send(context: XdpContext) -> u32 {
        let template = TEMPLATES.get(0);
        match template.and_then(|template| restore(&context, template)) {
            Some(()) => DEVICE.redirect(0, 0).unwrap_or(xdp_action::XDP_ABORTED),
            None => xdp_action::XDP_ABORTED,
        }
    }

    #[xdp]
    pub(crate) fn nothing(_: XdpContext) -> u32 {
        xdp_action::XDP_DROP
    }

    #[xdp]
    pub(crate) fn bounce(_: XdpContext) -> u32 {
        xdp_action::XDP_TX
    }

    /// Whose turn it is; notes when it began.
    #[inline(always)]
    fn turn() -> Option<&'static Template> {
        let step = next(1)?;
        if step.is_multiple_of(TURN)
            && let Some(time) = TIMES.get_ptr_mut(step / TURN)
        {
            // SAFETY: the element stays in place; the bench reads it when no packet is under way.
            unsafe { time.write(bpf_ktime_get_ns()) };
        }
        TEMPLATES.get(step / TURN % ROLES)
    }

    /// Writes the frame, of the next flow.
    #[inline(always)]
    fn restore(context: &XdpContext, template: &Template) -> Option<()> {
        let step = next(0)?;
        let mut packet = XdpPacket::new(context);
        // A frame that is too short starts earlier again: the difference is a number with a sign.
        packet.shrink_head(packet.length().wrapping_sub(FRAME as u32))?;
        *packet.view_mut(0)? = Word(template.first);
        *packet.view_mut(FRAME - 8)? = Word(template.last);
        let middle = packet.view_mut::<[Word; MIDDLE]>((template.phase & 6) as usize)?;
        for (place, word) in middle.iter_mut().zip(&template.middle) {
            // SAFETY: a reference is valid for reads. Volatile, so that the loop does not become a
            // copy byte by byte.
            *place = Word(unsafe { (&raw const *word).read_volatile() });
        }
        let flow = flow(step, template.mask);
        let port = 1024 + (flow & ((1 << PORT_BITS) - 1)) as u16;
        let address = (flow >> PORT_BITS) as u16;
        for (patch, bytes) in [(&template.address, address), (&template.port, port.to_be())] {
            *packet.view_mut((patch.offset & 0x7e) as usize)? = Word(patch.with(bytes));
        }
        Some(())
    }

    /// Eight bytes of a frame, stored at once; see [`Template`].
    #[repr(C, packed(2))]
    #[derive(Clone, Copy, Pod, Zeroable)]
    struct Word(u64);

    /// Does not return if there is such a program.
    #[inline(always)]
    fn call(context: &XdpContext, template: &Template) {
        // SAFETY: the program array only holds XDP programs.
        unsafe { NEXT.tail_call(context, template.program) };
    }

    /// The number of this packet by one of the counters.
    #[inline(always)]
    fn next(counter: u32) -> Option<u32> {
        let steps = STEPS.get_ptr_mut(counter)?;
        // SAFETY: the element belongs to this CPU.
        unsafe {
            let step = steps.read();
            steps.write(step.wrapping_add(1));
            Some(step)
        }
    }

    elb_ebpf::bpf_program!();
}
