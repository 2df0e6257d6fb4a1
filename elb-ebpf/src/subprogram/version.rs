//! Packets that become packets of the other IP version.

use core::hint::black_box;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use elb_common::path::reply::{Back, NotBack};
use elb_common::path::subprogram::{self, EMBEDDED, EMBEDDED_ERROR, Place};
use elb_common::path::{Family, Stop};
use elb_ebpf::packet::XdpPacket;

use super::{done, word_of};
use crate::handle::Maps;

#[inline(always)]
pub(crate) fn sum_datagram(
    context: &XdpContext,
    Place { offsets, payload }: Place,
) -> Result<(), Stop> {
    done(elb_sum_datagram(context.ctx, offsets, payload))
}

#[inline(always)]
pub(crate) fn translate_46(
    context: &XdpContext,
    Place { offsets, payload }: Place,
    (backend, listener): (u16, u16),
) -> Result<(), Stop> {
    let (backend, listener) = (u32::from(backend), u32::from(listener));
    done(elb_translate_46(context.ctx, offsets, payload, backend, listener))
}

#[inline(always)]
pub(crate) fn translate_46_error(
    context: &XdpContext,
    (backend, listener): (u16, u16),
) -> Result<(), Stop> {
    done(elb_translate_46_error(context.ctx, u32::from(backend), u32::from(listener)))
}

/// What became of an answer, from what a step says that it became: the translation to IPv4 is another one.
#[inline(always)]
pub(super) fn back<F: Family>(
    context: &XdpContext,
    Place { offsets, payload }: Place,
    word: u64,
) -> Result<Back, NotBack> {
    let mut word = black_box(word);
    let (ifindex, ids) = (word as u32, (word >> 32) as u32);
    if F::EMBEDS && ids != 0 && ifindex == EMBEDDED {
        word = black_box(elb_reply_embedded(context.ctx, offsets, payload, ids));
    }
    subprogram::unpack_back(word)
}

/// As [`back`], of an error.
#[inline(always)]
pub(super) fn error_back<F: Family>(context: &XdpContext, word: u64) -> Result<Back, NotBack> {
    let mut word = black_box(word);
    let (ifindex, ids) = (word as u32, (word >> 32) as u32);
    if F::EMBEDS && ids != 0 && ifindex == EMBEDDED_ERROR {
        word = black_box(elb_reply_embedded_error(context.ctx, ids));
    }
    subprogram::unpack_back(word)
}

/// A reason, or none: the datagram has a checksum.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_sum_datagram(context: *mut xdp_md, offsets: u32, payload: u32) -> u32 {
    let context = XdpContext::new(context);
    let mut packet = XdpPacket::new(&context);
    word_of(subprogram::sum_datagram(&mut packet, Place { offsets, payload }))
}

/// A reason, or none: the packet is translated.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_translate_46(
    context: *mut xdp_md,
    offsets: u32,
    payload: u32,
    backend: u32,
    listener: u32,
) -> u32 {
    let context = XdpContext::new(context);
    let (mut packet, maps) = (XdpPacket::new(&context), Maps::new(&context));
    let place = Place { offsets, payload };
    let (backend, listener) = (backend as u16, listener as u16);
    word_of(subprogram::translate_46(&mut packet, &maps, place, backend, listener))
}

/// As `elb_translate_46`, of an error.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_translate_46_error(context: *mut xdp_md, backend: u32, listener: u32) -> u32 {
    let context = XdpContext::new(context);
    let (mut packet, maps) = (XdpPacket::new(&context), Maps::new(&context));
    let (backend, listener) = (backend as u16, listener as u16);
    word_of(subprogram::translate_46_error(&mut packet, &maps, backend, listener))
}

/// The interface that an answer leaves by, or a reason, in a word.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_reply_embedded(
    context: *mut xdp_md,
    offsets: u32,
    payload: u32,
    ids: u32,
) -> u64 {
    let context = XdpContext::new(context);
    let (mut packet, maps) = (XdpPacket::new(&context), Maps::new(&context));
    let place = Place { offsets, payload };
    let ids = (ids as u16, (ids >> 16) as u16);
    subprogram::pack_back(subprogram::reply_embedded(&mut packet, &maps, place, ids))
}

/// As `elb_reply_embedded`, of an error.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_reply_embedded_error(context: *mut xdp_md, ids: u32) -> u64 {
    let context = XdpContext::new(context);
    let (mut packet, maps) = (XdpPacket::new(&context), Maps::new(&context));
    let ids = (ids as u16, (ids >> 16) as u16);
    subprogram::pack_back(subprogram::reply_embedded_error(&mut packet, &maps, ids))
}
