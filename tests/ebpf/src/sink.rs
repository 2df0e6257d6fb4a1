//! XDP program `sink`: stands where the backends of a load balancer would, inspects every frame,
//! counts it and drops it.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![allow(clippy::cast_possible_truncation, reason = "small constants, ids and seconds")]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::bindings::xdp_action;
    use aya_ebpf::macros::{map, xdp};
    use aya_ebpf::maps::{Array, PerCpuArray};
    use aya_ebpf::programs::XdpContext;
    use elb_common::backend::Backend;
    use elb_ebpf::packet::XdpPacket;
    use elb_tests_ebpf::BACKENDS;
    use elb_tests_ebpf::inspect::{Arrival, Fault, inspect};
    use elb_tests_ebpf::kind::FORWARDED;
    use elb_tests_ebpf::traffic::{FLOWS, Traffic};

    /// The test writes, every frame reads.
    #[map]
    static TRAFFIC: Array<Traffic> = Array::with_max_entries(1, 0);

    /// The test writes, every frame reads.
    #[map]
    static TARGETS: Array<Backend> = Array::with_max_entries(BACKENDS, 0);

    /// Frames write, the test reads. One record for all CPUs, since all packets of a flow come by
    /// one CPU; were that not so, counts would be lost and the test would miss packets.
    #[map]
    static ARRIVALS: Array<[u32; BACKENDS as usize]> =
        Array::with_max_entries(FORWARDED * FLOWS, 0);

    /// Frames write, the test reads. The first element counts frames without a fault.
    #[map]
    static FAULTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1 + Fault::ALL.len() as u32, 0);

    #[xdp]
    pub(crate) fn sink(context: XdpContext) -> u32 {
        let fault = match look(&context) {
            Ok(arrival) => count(&arrival),
            Err(fault) => fault as u32,
        };
        if let Some(counter) = FAULTS.get_ptr_mut(fault) {
            // SAFETY: the element belongs to this CPU, and XDP programs are not preempted by each
            // other on one CPU.
            unsafe { *counter += 1 };
        }
        xdp_action::XDP_DROP
    }

    #[inline(always)]
    fn look(context: &XdpContext) -> Result<Arrival, Fault> {
        let traffic = TRAFFIC.get(0).ok_or(Fault::Short)?;
        inspect(&XdpPacket::new(context), traffic, |id| TARGETS.get(id))
    }

    /// Counts an intact packet; 0, for no fault.
    #[inline(always)]
    fn count(arrival: &Arrival) -> u32 {
        let Some(backends) = ARRIVALS.get_ptr_mut(arrival.index()) else {
            return Fault::Kind as u32;
        };
        // SAFETY: the index is within the record, which stays in place; no other CPU gets packets of
        // this flow.
        unsafe { (*backends)[(arrival.backend % BACKENDS) as usize] += 1 };
        0
    }

    elb_ebpf::bpf_program!();
}
