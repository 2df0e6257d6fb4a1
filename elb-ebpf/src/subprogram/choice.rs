//! The choice of a backend, where that takes more than a look at a slot.

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use elb_common::listener::CidPart;
use elb_common::path::choose::{self, Answer, Schedule};
use elb_common::path::question::{QuestionV4, QuestionV6};
use elb_common::path::{Family, Stop, V4, V6};
use elb_common::quic;
use elb_common::reason::Reason;
use elb_ebpf::packet::XdpPacket;

use crate::handle::Maps;
use crate::maps::{QUESTION_V4, QUESTION_V6};

#[inline(always)]
pub(crate) fn choose_v4(
    context: &XdpContext,
    ask: impl FnOnce(&mut QuestionV4),
) -> Result<u16, Stop> {
    let Some(place) = QUESTION_V4.get_ptr_mut(0) else { return Err(Stop(Reason::RingRange)) };
    // SAFETY: the element belongs to this CPU, and XDP programs are not preempted by each other on
    // one CPU.
    ask(unsafe { &mut *place });
    Answer::from_word(elb_choose_v4(context.ctx)).get()
}

#[inline(always)]
pub(crate) fn choose_v6(
    context: &XdpContext,
    ask: impl FnOnce(&mut QuestionV6),
) -> Result<u16, Stop> {
    let Some(place) = QUESTION_V6.get_ptr_mut(0) else { return Err(Stop(Reason::RingRange)) };
    // SAFETY: as for IPv4.
    ask(unsafe { &mut *place });
    Answer::from_word(elb_choose_v6(context.ctx)).get()
}

#[inline(always)]
pub(crate) fn another(Schedule { base, size, now }: Schedule, turn: u32) -> u32 {
    elb_another(base, size, now, turn)
}

#[inline(always)]
pub(crate) fn least_loaded(Schedule { base, size, now }: Schedule, turn: u32) -> u16 {
    core::hint::black_box(elb_least_loaded(base, size, now, turn)) as u16
}

#[inline(always)]
pub(crate) fn owner_room(slot: u32, now: u32, best: u32) -> u32 {
    core::hint::black_box(elb_owner_room(slot, now, best))
}

#[inline(always)]
pub(crate) fn room(backend: u16, now: u32) -> u32 {
    // The compiler knows that it is small, the verifier does not.
    core::hint::black_box(elb_room(u32::from(backend), now))
}

/// The client is that of the question that the choice is about.
#[inline(always)]
pub(crate) fn client<F: Family>(occasion: u32, backend: u16) -> u16 {
    let id = match F::INNER_PROTOCOL {
        V4::INNER_PROTOCOL => elb_client_v4(occasion, u32::from(backend)),
        _ => elb_client_v6(occasion, u32::from(backend)),
    };
    core::hint::black_box(id) as u16
}

#[inline(always)]
pub(crate) fn connection_id(context: &XdpContext, datagram: usize, part: CidPart) -> Option<u64> {
    let [offset, length] = [part.offset, part.length].map(u32::from);
    let digest = elb_connection_id(context.ctx, datagram as u32, offset, length);
    (digest != 0).then_some(digest)
}

/// An answer of `choose`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_choose_v4(context: *mut xdp_md) -> u32 {
    let Some(question) = QUESTION_V4.get_ptr_mut(0) else { return 0 };
    let context = XdpContext::new(context);
    // SAFETY: as in `choose_v4`, which holds no reference meanwhile.
    let question = unsafe { &mut *question };
    let packet = XdpPacket::new(&context);
    choose::answer::<V4, _, _>(&packet, &Maps::new(&context), question).word()
}

/// An answer of `choose`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_choose_v6(context: *mut xdp_md) -> u32 {
    let Some(question) = QUESTION_V6.get_ptr_mut(0) else { return 0 };
    let context = XdpContext::new(context);
    // SAFETY: as in `choose_v4`, which holds no reference meanwhile.
    let question = unsafe { &mut *question };
    let packet = XdpPacket::new(&context);
    choose::answer::<V6, _, _>(&packet, &Maps::new(&context), question).word()
}

/// The backend that serves a client, 0: none.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_client_v4(occasion: u32, backend: u32) -> u32 {
    let Some(question) = QUESTION_V4.get_ptr(0) else { return 0 };
    // SAFETY: as in `choose_v4`; nothing is written to it meanwhile.
    let question = unsafe { &*question };
    let context = XdpContext::new(core::ptr::null_mut());
    choose::client::<V4, _>(&Maps::new(&context), question, occasion, backend as u16).into()
}

/// As for IPv4.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_client_v6(occasion: u32, backend: u32) -> u32 {
    let Some(question) = QUESTION_V6.get_ptr(0) else { return 0 };
    // SAFETY: as for IPv4.
    let question = unsafe { &*question };
    let context = XdpContext::new(core::ptr::null_mut());
    choose::client::<V6, _>(&Maps::new(&context), question, occasion, backend as u16).into()
}

/// Another owner of a schedule than one without room. No packet decides that: the compiler would leave out a
/// context, which the verifier would miss.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_another(base: u32, size: u32, now: u32, turn: u32) -> u32 {
    let context = XdpContext::new(core::ptr::null_mut());
    choose::another(&Maps::new(&context), &Schedule { base, size, now }, turn)
}

/// The owner with the fewest connections, 0: not known.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_least_loaded(base: u32, size: u32, now: u32, turn: u32) -> u32 {
    let context = XdpContext::new(core::ptr::null_mut());
    let schedule = Schedule { base, size, now };
    schedule.least_loaded(&Maps::new(&context), turn).unwrap_or(0).into()
}

/// The owner of a slot, and what it has room for.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_owner_room(slot: u32, now: u32, best: u32) -> u32 {
    let context = XdpContext::new(core::ptr::null_mut());
    let maps = Maps::new(&context);
    choose::room_of_owner(&maps, slot, now, best)
}

/// What a backend has room for.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_room(backend: u32, now: u32) -> u32 {
    let context = XdpContext::new(core::ptr::null_mut());
    choose::room_of(&Maps::new(&context), backend as u16, now)
}

/// The digest of a connection id, 0: none.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_connection_id(
    context: *mut xdp_md,
    datagram: u32,
    offset: u32,
    length: u32,
) -> u64 {
    /// Farther than any header chain that is walked reaches.
    const FARTHEST: u32 = 0xfff;
    let part = CidPart { offset: offset as u8, length: length as u8 };
    let context = XdpContext::new(context);
    let packet = XdpPacket::new(&context);
    quic::digest_of(&packet, (datagram & FARTHEST) as usize, part).unwrap_or(0)
}
