//! What is answered, and what an error quotes.

use core::hint::black_box;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use elb_common::path::control::Quote;
use elb_common::path::{Family, Stop, subprogram};
use elb_common::reason::Reason;
use elb_ebpf::packet::XdpPacket;

use super::{NONE, per_version};
use crate::handle::Maps;

#[inline(always)]
pub(crate) fn answer<F: Family>(context: &XdpContext) -> Reason {
    Reason::new(call_answer::<F>(context) as u8).unwrap_or(Reason::OtherProtocol)
}

#[inline(always)]
pub(crate) fn quote<F: Family>(context: &XdpContext) -> Result<Quote, Stop> {
    // The compiler knows what the function returns and would leave bounds out; the verifier does not.
    subprogram::unpack(black_box(call_quote::<F>(context)))
}

#[inline(always)]
pub(crate) fn too_big<F: Family>(context: &XdpContext, mtu: u16) -> Reason {
    Reason::new(call_too_big::<F>(context, u32::from(mtu)) as u8).unwrap_or(Reason::TooBig)
}

#[inline(always)]
pub(crate) fn refuse<F: Family>(context: &XdpContext, refusal: u32) -> Reason {
    Reason::new(call_refuse::<F>(context, refusal) as u8).unwrap_or(Reason::ClosedPort)
}

#[inline(always)]
pub(crate) fn stray(context: &XdpContext) -> Option<Reason> {
    Reason::new(elb_stray(context.ctx) as u8)
}

per_version! {
    /// A reason.
    call_answer: elb_answer_v4, elb_answer_v6 = answer_of() -> u32;
    /// A quote in a word.
    call_quote: elb_quote_v4, elb_quote_v6 = quote_of() -> u32;
    /// A reason.
    call_too_big: elb_too_big_v4, elb_too_big_v6 = too_big_of(mtu) -> u32;
    /// A reason.
    call_refuse: elb_refuse_v4, elb_refuse_v6 = refuse_of(refusal) -> u32;
}

#[inline(always)]
fn answer_of<F: Family>(context: *mut xdp_md) -> u32 {
    let context = XdpContext::new(context);
    subprogram::answer::<F, _, _>(&mut XdpPacket::new(&context), &Maps::new(&context)) as u32
}

#[inline(always)]
fn quote_of<F: Family>(context: *mut xdp_md) -> u32 {
    let context = XdpContext::new(context);
    let packet = XdpPacket::new(&context);
    subprogram::pack(subprogram::quote::<F, _, _>(&packet, &Maps::new(&context)))
}

#[inline(always)]
fn too_big_of<F: Family>(context: *mut xdp_md, mtu: u32) -> u32 {
    let context = XdpContext::new(context);
    let mut packet = XdpPacket::new(&context);
    subprogram::too_big::<F, _, _>(&mut packet, &Maps::new(&context), mtu as u16) as u32
}

#[inline(always)]
fn refuse_of<F: Family>(context: *mut xdp_md, refusal: u32) -> u32 {
    let context = XdpContext::new(context);
    let mut packet = XdpPacket::new(&context);
    subprogram::refuse::<F, _, _>(&mut packet, &Maps::new(&context), refusal) as u32
}

/// A reason, or [`NONE`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_stray(context: *mut xdp_md) -> u32 {
    let context = XdpContext::new(context);
    let stray = subprogram::stray(&XdpPacket::new(&context), &Maps::new(&context));
    stray.map_or(NONE, |reason| reason as u32)
}
