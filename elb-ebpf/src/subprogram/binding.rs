//! Flows whose members see source addresses of ours.

use core::hint::black_box;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use elb_common::binding::{Binding, Owner};
use elb_common::path::Stop;
use elb_common::path::bind::{self, Bearer, Passenger};
use elb_common::path::reply::{Back, NotBack};
use elb_common::path::subprogram::{self, Place};
use elb_ebpf::packet::XdpPacket;

use super::{done, word_of};
use crate::binding;
use crate::handle::Maps;
use crate::maps::BINDINGS_V4;

#[inline(always)]
pub(crate) fn bind(passenger: Passenger) -> Result<u32, Stop> {
    let Passenger { owner, backend, pool, flags, hash } = passenger;
    let ids = u32::from(backend) | u32::from(pool) << 16;
    subprogram::unpack_number(black_box(elb_bind(owner.0, ids, flags, hash)))
}

#[inline(always)]
pub(crate) fn open(bearer: Bearer) -> Result<u32, Stop> {
    let Bearer { owner, flags, .. } = bearer;
    subprogram::unpack_number(black_box(elb_open(owner.0, ids(bearer), flags)))
}

/// Ids of backend and pool in one number.
#[inline(always)]
fn ids(Bearer { backend, pool, .. }: Bearer) -> u32 {
    u32::from(backend) | u32::from(pool) << 16
}

/// The packet that numbers say.
#[inline(always)]
fn bearer(owner: u64, ids: u32, flags: u32) -> Bearer {
    Bearer { owner: Owner(owner), backend: ids as u16, pool: (ids >> 16) as u16, flags }
}

#[inline(always)]
pub(crate) fn vacancy(bucket: u32, now: u32) -> u32 {
    black_box(elb_vacancy(bucket, now))
}

#[inline(always)]
pub(crate) fn translate_both(
    context: &XdpContext,
    Place { offsets, payload }: Place,
    backend: u16,
    number: u32,
) -> Result<(), Stop> {
    let backend = u32::from(backend);
    done(elb_translate_both(context.ctx, offsets, payload, backend, number))
}

#[inline(always)]
pub(crate) fn reply_bound(
    context: &XdpContext,
    Place { offsets, payload }: Place,
    number: u32,
) -> Result<Back, NotBack> {
    let word = elb_reply_bound(context.ctx, offsets, payload, number);
    subprogram::unpack_back(black_box(word))
}

/// The number of a flow's source address and port, or a reason, in a word. No packet decides that: the compiler would
/// leave out a context, which the verifier would miss.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_bind(owner: u64, ids: u32, flags: u32, hash: u32) -> u64 {
    let context = XdpContext::new(core::ptr::null_mut());
    let (backend, pool) = (ids as u16, (ids >> 16) as u16);
    let passenger = Passenger { owner: Owner(owner), backend, pool, flags, hash };
    subprogram::pack_number(subprogram::bind(&Maps::new(&context), passenger))
}

/// As `elb_bind`, of a flow that opens.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_open(owner: u64, ids: u32, flags: u32) -> u64 {
    let context = XdpContext::new(core::ptr::null_mut());
    let number = subprogram::open(&Maps::new(&context), bearer(owner, ids, flags));
    subprogram::pack_number(number)
}

/// What is vacant in a bucket.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_vacancy(bucket: u32, now: u32) -> u32 {
    let Some(bucket) = BINDINGS_V4.get_ptr_mut(bucket) else { return 0 };
    let first: *mut Binding = bucket.cast();
    // SAFETY: a bucket has so many.
    let at = |way: u32| binding::read(unsafe { first.add(way as usize) });
    bind::vacancy(at, now)
}

/// A reason, or none: the packet is translated.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_translate_both(
    context: *mut xdp_md,
    offsets: u32,
    payload: u32,
    backend: u32,
    number: u32,
) -> u32 {
    let context = XdpContext::new(context);
    let (mut packet, maps) = (XdpPacket::new(&context), Maps::new(&context));
    let place = Place { offsets, payload };
    word_of(subprogram::translate_both(&mut packet, &maps, place, backend as u16, number))
}

/// The interface that an answer leaves by, or a reason, in a word.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_reply_bound(
    context: *mut xdp_md,
    offsets: u32,
    payload: u32,
    number: u32,
) -> u64 {
    let context = XdpContext::new(context);
    let (mut packet, maps) = (XdpPacket::new(&context), Maps::new(&context));
    let place = Place { offsets, payload };
    subprogram::pack_back(subprogram::reply_bound(&mut packet, &maps, place, number))
}
