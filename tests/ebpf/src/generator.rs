//! XDP program `generate`: makes each frame the next packet of the traffic and sends it. It is run
//! by BPF_PROG_TEST_RUN with live frames, whose memory comes back as the last user left it.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![allow(clippy::cast_possible_truncation, reason = "small constants, ids and seconds")]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::bindings::xdp_action;
    use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
    use aya_ebpf::macros::{map, xdp};
    use aya_ebpf::maps::{Array, DevMap, PerCpuArray};
    use aya_ebpf::programs::XdpContext;
    use elb_ebpf::packet::XdpPacket;
    use elb_tests_ebpf::frame;
    use elb_tests_ebpf::kind::Kind;
    use elb_tests_ebpf::traffic::Traffic;

    /// The test writes, every packet reads.
    #[map]
    static TRAFFIC: Array<Traffic> = Array::with_max_entries(1, 0);

    /// The number of the next packet. Per CPU: each has its own flows.
    #[map]
    static STEPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

    /// Packets write, the test reads. By the number of the kind.
    #[map]
    static SENT: PerCpuArray<u64> = PerCpuArray::with_max_entries(Kind::ALL.len() as u32, 0);

    /// The test writes: where packets leave.
    #[map]
    static DEVICE: DevMap = DevMap::with_max_entries(1, 0);

    #[xdp]
    pub(crate) fn generate(context: XdpContext) -> u32 {
        next(&context).unwrap_or(xdp_action::XDP_ABORTED)
    }

    #[inline(always)]
    fn next(context: &XdpContext) -> Option<u32> {
        let traffic = TRAFFIC.get(0)?;
        let (kind, flow) = traffic.plan(cpu(), increment(&STEPS, 0)?)?;
        frame::write(&mut XdpPacket::new(context), traffic, kind, flow)?;
        let action = DEVICE.redirect(0, u64::from(xdp_action::XDP_ABORTED)).ok()?;
        increment(&SENT, kind as u32)?;
        Some(action)
    }

    #[inline(always)]
    fn cpu() -> u32 {
        // SAFETY: the helper takes no argument and touches no memory of ours.
        unsafe { bpf_get_smp_processor_id() }
    }

    /// Adds one; returns what was there before.
    #[inline(always)]
    fn increment(counters: &PerCpuArray<u64>, index: u32) -> Option<u64> {
        let counter = counters.get_ptr_mut(index)?;
        // SAFETY: the element belongs to this CPU, and XDP programs are not preempted by each other
        // on one CPU.
        unsafe {
            let before = counter.read();
            counter.write(before + 1);
            Some(before)
        }
    }

    elb_ebpf::bpf_program!();
}
