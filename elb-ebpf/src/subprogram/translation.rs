//! Packets that are translated, and their answers.

use core::hint::black_box;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use elb_common::path::reply::{Back, NotBack};
use elb_common::path::subprogram::{self, Place};
use elb_common::path::{Family, Stop};
use elb_ebpf::packet::XdpPacket;

use super::{done, per_version, version, word_of};
use crate::handle::Maps;

#[inline(always)]
pub(crate) fn reply<F: Family>(
    context: &XdpContext,
    place: Place,
    endpoint: u32,
) -> Result<Back, NotBack> {
    let Place { offsets, payload } = place;
    version::back::<F>(context, place, call_reply::<F>(context, offsets, payload, endpoint))
}

#[inline(always)]
pub(crate) fn reply_error<F: Family>(context: &XdpContext) -> Result<Back, NotBack> {
    version::error_back::<F>(context, call_reply_error::<F>(context))
}

#[inline(always)]
pub(crate) fn no_vip<F: Family>(
    context: &XdpContext,
    Place { offsets, payload }: Place,
    says: u32,
) -> Result<Back, NotBack> {
    let payload = payload | says << SAYS;
    subprogram::unpack_back(black_box(call_no_vip::<F>(context, offsets, payload)))
}

#[inline(always)]
pub(crate) fn passes<F: Family>(context: &XdpContext, Place { offsets, payload }: Place, how: u32) {
    call_passes::<F>(context, offsets, payload, how);
}

#[inline(always)]
pub(crate) fn shares<F: Family>(
    context: &XdpContext,
    Place { offsets, payload }: Place,
    ids: (u16, u16),
) -> Result<(), Stop> {
    done(call_shares::<F>(context, offsets, payload, both(ids)))
}

#[inline(always)]
pub(crate) fn may_translate<F: Family>(
    context: &XdpContext,
    Place { offsets, payload }: Place,
    ids: (u16, u16),
) -> Result<(), Stop> {
    done(call_may_translate::<F>(context, offsets, payload, both(ids)))
}

#[inline(always)]
pub(crate) fn translate<F: Family>(
    context: &XdpContext,
    Place { offsets, payload }: Place,
    backend: u16,
) -> Result<(), Stop> {
    done(call_translate::<F>(context, offsets, payload, u32::from(backend)))
}

#[inline(always)]
pub(crate) fn translate_error<F: Family>(context: &XdpContext, backend: u16) -> Result<(), Stop> {
    done(call_translate_error::<F>(context, u32::from(backend)))
}

#[inline(always)]
pub(crate) fn answers_probe<F: Family>(
    context: &XdpContext,
    Place { offsets, payload }: Place,
) -> bool {
    call_answers_probe::<F>(context, offsets, payload) != 0
}

/// Ids of a backend and a listener in one number.
#[inline(always)]
fn both((backend, listener): (u16, u16)) -> u32 {
    u32::from(backend) | u32::from(listener) << 16
}

/// The ids in such a number.
#[inline(always)]
const fn ids_in(word: u32) -> (u16, u16) {
    (word as u16, (word >> 16) as u16)
}

/// Where, in the number of its payload, what a packet says of its flow begins: of two numbers, both would be kept on a
/// stack that has no room.
const SAYS: u32 = 16;

per_version! {
    /// The interface that a member's answer leaves by, or a reason, in a word.
    call_reply: elb_reply_v4, elb_reply_v6 = reply_of(offsets, payload, endpoint) -> u64;
    /// The interface that an error about a member's packet leaves by, or a reason, in a word.
    call_reply_error: elb_reply_error_v4, elb_reply_error_v6 = reply_error_of() -> u64;
    /// What becomes of a packet for no virtual address, in a word.
    call_no_vip: elb_no_vip_v4, elb_no_vip_v6 = no_vip_of(offsets, payload) -> u64;
    /// Notes a packet that passes from or to a member's endpoint.
    call_passes: elb_passes_v4, elb_passes_v6 = passes_of(offsets, payload, how) -> u32;
    /// A reason, or [`NONE`]: the listener is noted. Backend and listener are in one number.
    call_shares: elb_shares_v4, elb_shares_v6 = shares_of(offsets, payload, ids) -> u32;
    /// A reason, or [`NONE`]: the packet may be translated. Backend and listener are in one number.
    call_may_translate: elb_may_translate_v4, elb_may_translate_v6 =
        may_translate_of(offsets, payload, ids) -> u32;
    /// A reason, or [`NONE`]: the packet is translated.
    call_translate: elb_translate_v4, elb_translate_v6 =
        translate_of(offsets, payload, backend) -> u32;
    /// A reason, or [`NONE`]: it is translated.
    call_translate_error: elb_translate_error_v4, elb_translate_error_v6 =
        translate_error_of(backend) -> u32;
    /// Whether a member's answer to this host answers a probe: 1 or 0.
    call_answers_probe: elb_answers_probe_v4, elb_answers_probe_v6 =
        answers_probe_of(offsets, payload) -> u32;
}

#[inline(always)]
fn reply_of<F: Family>(context: *mut xdp_md, offsets: u32, payload: u32, endpoint: u32) -> u64 {
    let context = XdpContext::new(context);
    let (mut packet, maps) = (XdpPacket::new(&context), Maps::new(&context));
    let place = Place { offsets, payload };
    subprogram::pack_back(subprogram::reply::<F, _, _>(&mut packet, &maps, place, endpoint))
}

#[inline(always)]
fn reply_error_of<F: Family>(context: *mut xdp_md) -> u64 {
    let context = XdpContext::new(context);
    let mut packet = XdpPacket::new(&context);
    subprogram::pack_back(subprogram::reply_error::<F, _, _>(&mut packet, &Maps::new(&context)))
}

#[inline(always)]
fn no_vip_of<F: Family>(context: *mut xdp_md, offsets: u32, payload: u32) -> u64 {
    let context = XdpContext::new(context);
    let (mut packet, maps) = (XdpPacket::new(&context), Maps::new(&context));
    let (place, says) = (Place { offsets, payload: payload & 0xffff }, payload >> SAYS);
    subprogram::pack_back(subprogram::no_vip::<F, _, _>(&mut packet, &maps, place, says))
}

#[inline(always)]
fn passes_of<F: Family>(context: *mut xdp_md, offsets: u32, payload: u32, how: u32) -> u32 {
    let context = XdpContext::new(context);
    let place = Place { offsets, payload };
    subprogram::passes::<F, _, _>(&XdpPacket::new(&context), &Maps::new(&context), place, how);
    0
}

#[inline(always)]
fn shares_of<F: Family>(context: *mut xdp_md, offsets: u32, payload: u32, ids: u32) -> u32 {
    let context = XdpContext::new(context);
    let (packet, maps) = (XdpPacket::new(&context), Maps::new(&context));
    let place = Place { offsets, payload };
    word_of(subprogram::shares::<F, _, _>(&packet, &maps, place, ids_in(ids)))
}

#[inline(always)]
fn may_translate_of<F: Family>(context: *mut xdp_md, offsets: u32, payload: u32, ids: u32) -> u32 {
    let context = XdpContext::new(context);
    let (packet, maps) = (XdpPacket::new(&context), Maps::new(&context));
    let place = Place { offsets, payload };
    word_of(subprogram::may_translate::<F, _, _>(&packet, &maps, place, ids_in(ids)))
}

#[inline(always)]
fn translate_of<F: Family>(context: *mut xdp_md, offsets: u32, payload: u32, backend: u32) -> u32 {
    let context = XdpContext::new(context);
    let (mut packet, maps) = (XdpPacket::new(&context), Maps::new(&context));
    let place = Place { offsets, payload };
    word_of(subprogram::translate::<F, _, _>(&mut packet, &maps, place, backend as u16))
}

#[inline(always)]
fn translate_error_of<F: Family>(context: *mut xdp_md, backend: u32) -> u32 {
    let context = XdpContext::new(context);
    let (mut packet, maps) = (XdpPacket::new(&context), Maps::new(&context));
    word_of(subprogram::translate_error::<F, _, _>(&mut packet, &maps, backend as u16))
}

#[inline(always)]
fn answers_probe_of<F: Family>(context: *mut xdp_md, offsets: u32, payload: u32) -> u32 {
    let context = XdpContext::new(context);
    let packet = XdpPacket::new(&context);
    let place = Place { offsets, payload };
    subprogram::answers_probe::<F, _, _>(&packet, &Maps::new(&context), place).into()
}
