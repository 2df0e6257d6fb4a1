//! Where the first fragment of a datagram went, for those that come after it.

use core::hint::black_box;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use elb_common::path::{Family, Target, subprogram};
use elb_ebpf::packet::XdpPacket;

use super::per_version;
use crate::handle::Maps;

#[inline(always)]
pub(crate) fn fragment_target<F: Family>(context: &XdpContext) -> Option<Target> {
    subprogram::unpack_target(black_box(call_fragment::<F>(context)))
}

#[inline(always)]
pub(crate) fn note_fragment<F: Family>(context: &XdpContext, target: Target, part: u32) {
    let Target { backend, listener, hash } = target;
    call_note_fragment::<F>(context, backend, listener, hash, part);
}

per_version! {
    /// Where a later fragment goes, in a word.
    call_fragment: elb_fragment_v4, elb_fragment_v6 = fragment_of() -> u64;
    /// Notes where a first fragment goes.
    call_note_fragment: elb_note_fragment_v4, elb_note_fragment_v6 =
        note_fragment_of(backend, listener, hash, part) -> u32;
}

#[inline(always)]
fn fragment_of<F: Family>(context: *mut xdp_md) -> u64 {
    let context = XdpContext::new(context);
    let packet = XdpPacket::new(&context);
    subprogram::pack_target(subprogram::fragment_target::<F, _, _>(&packet, &Maps::new(&context)))
}

#[inline(always)]
fn note_fragment_of<F: Family>(
    context: *mut xdp_md,
    backend: u32,
    listener: u32,
    hash: u32,
    part: u32,
) -> u32 {
    let context = XdpContext::new(context);
    let packet = XdpPacket::new(&context);
    let target = Target { backend, listener, hash };
    subprogram::note_fragment::<F, _, _>(&packet, &Maps::new(&context), target, part);
    0
}
