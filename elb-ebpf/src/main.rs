//! XDP program `elb`: one frame in, one action out. See `elb_common::path` for what happens to it.
//! `elb_traced` does the same and reports packets; the agent puts it in place while packets are traced.
//! So does `elb_logged`, for the flow log, while that is on.
//! `elb_probe` forwards the agent's health probes, on an interface of their own. `elb_sweep` handles no
//! packets: it sweeps the flow tables. Nor does `elb_cut`, which cuts a recorded connection.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(core_intrinsics))]
#![cfg_attr(
    target_arch = "bpf",
    allow(internal_features, reason = "atomic addition, see `shared::add`")
)]
#![allow(clippy::cast_possible_truncation, reason = "small constants, ids and seconds")]

#[cfg(target_arch = "bpf")]
mod binding;
#[cfg(target_arch = "bpf")]
mod cut;
#[cfg(target_arch = "bpf")]
mod draft;
#[cfg(target_arch = "bpf")]
mod handle;
#[cfg(target_arch = "bpf")]
mod logged;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod shared;
#[cfg(target_arch = "bpf")]
mod sockets;
#[cfg(target_arch = "bpf")]
mod subprogram;
#[cfg(target_arch = "bpf")]
mod sweep;
#[cfg(target_arch = "bpf")]
mod tables;
#[cfg(target_arch = "bpf")]
mod traced;

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::bindings::xdp_action;
    use aya_ebpf::macros::{raw_tracepoint, xdp};
    use aya_ebpf::programs::{RawTracePointContext, XdpContext};
    use elb_common::path::{Outcome, Witness, probe, process};
    use elb_ebpf::packet::XdpPacket;

    use crate::handle::Maps;
    use crate::logged::{self, FlowRecorder};
    use crate::traced::{self, EventRecorder};

    // Programs are inlined into what the macro makes of them: a call would cost each packet a frame.
    #[xdp]
    #[inline(always)]
    pub(crate) fn elb(context: XdpContext) -> u32 {
        let outcome = process(&mut XdpPacket::new(&context), &Maps::new(&context));
        #[cfg(feature = "trace")]
        trace(&context, outcome);
        action(outcome)
    }

    #[xdp]
    #[inline(always)]
    pub(crate) fn elb_traced(context: XdpContext) -> u32 {
        logged::arrived(&context);
        traced::received(&context);
        let maps = Maps::new(&context);
        let recorder = EventRecorder(FlowRecorder::new(&context));
        let outcome = process(&mut XdpPacket::new(&context), &Witness::new(&maps, &recorder));
        traced::decided(&context, outcome);
        recorder.0.decided(outcome);
        action(outcome)
    }

    #[xdp]
    #[inline(always)]
    pub(crate) fn elb_logged(context: XdpContext) -> u32 {
        logged::arrived(&context);
        let (maps, recorder) = (Maps::new(&context), FlowRecorder::new(&context));
        let outcome = process(&mut XdpPacket::new(&context), &Witness::new(&maps, &recorder));
        recorder.decided(outcome);
        action(outcome)
    }

    #[xdp]
    #[inline(always)]
    pub(crate) fn elb_probe(context: XdpContext) -> u32 {
        action(probe::process(&mut XdpPacket::new(&context), &Maps::new(&context)))
    }

    #[raw_tracepoint]
    pub(crate) fn elb_sweep(_: RawTracePointContext) -> i32 {
        crate::sweep::run();
        0
    }

    /// What the macro makes of a function, which would drop the answer.
    #[unsafe(no_mangle)]
    #[unsafe(link_section = "raw_tp")]
    pub(crate) extern "C" fn elb_cut(context: *mut core::ffi::c_void) -> u32 {
        crate::cut::run(&RawTracePointContext::new(context))
    }

    #[inline(always)]
    fn action(outcome: Outcome) -> u32 {
        match outcome {
            Outcome::Pass(_) | Outcome::HandOver => xdp_action::XDP_PASS,
            Outcome::Drop(_) => xdp_action::XDP_DROP,
            Outcome::Answer(_) | Outcome::Transmit => xdp_action::XDP_TX,
            Outcome::Redirect(_) => xdp_action::XDP_REDIRECT,
        }
    }

    #[cfg(feature = "trace")]
    fn trace(context: &XdpContext, outcome: Outcome) {
        match outcome.reason() {
            Some(reason) => aya_log_ebpf::info!(context, "{}", reason.name()),
            None => aya_log_ebpf::info!(context, "forwarded"),
        }
    }

    elb_ebpf::bpf_program!();
}
