//! Steps of the packet path that few packets take, as global subprograms: the kernel verifies each once
//! by itself, for any arguments, instead of walking it for every path that ends there. They take and
//! return plain numbers; what is more lies in a per-CPU map, since the stack has no room for it.

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use elb_common::flow::{FlowKeyV4, FlowKeyV6};
use elb_common::listener::CidPart;
use elb_common::path::choose::{self, Answer, Schedule};
use elb_common::path::control::Quote;
use elb_common::path::question::{QuestionV4, QuestionV6};
use elb_common::path::reply::{Back, NotBack};
use elb_common::path::subprogram::{self, Place};
use elb_common::path::{Family, Stop, Target, V4, V6};
use elb_common::quic;
use elb_common::reason::Reason;
use elb_ebpf::packet::XdpPacket;

use crate::handle::Maps;
use crate::maps::{QUESTION_V4, QUESTION_V6};
use crate::sockets;

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

#[inline(always)]
pub(crate) fn answer<F: Family>(context: &XdpContext) -> Reason {
    let reason = match F::INNER_PROTOCOL {
        V4::INNER_PROTOCOL => elb_answer_v4(context.ctx),
        _ => elb_answer_v6(context.ctx),
    };
    Reason::new(reason as u8).unwrap_or(Reason::OtherProtocol)
}

#[inline(always)]
pub(crate) fn quote<F: Family>(context: &XdpContext) -> Result<Quote, Stop> {
    let word = match F::INNER_PROTOCOL {
        V4::INNER_PROTOCOL => elb_quote_v4(context.ctx),
        _ => elb_quote_v6(context.ctx),
    };
    // The compiler knows what the function returns and would leave bounds out; the verifier does
    // not.
    subprogram::unpack(core::hint::black_box(word))
}

#[inline(always)]
pub(crate) fn too_big<F: Family>(context: &XdpContext, mtu: u16) -> Reason {
    let reason = match F::INNER_PROTOCOL {
        V4::INNER_PROTOCOL => elb_too_big_v4(context.ctx, u32::from(mtu)),
        _ => elb_too_big_v6(context.ctx, u32::from(mtu)),
    };
    Reason::new(reason as u8).unwrap_or(Reason::TooBig)
}

#[inline(always)]
pub(crate) fn refuse<F: Family>(context: &XdpContext, refusal: u32) -> Reason {
    let reason = match F::INNER_PROTOCOL {
        V4::INNER_PROTOCOL => elb_refuse_v4(context.ctx, refusal),
        _ => elb_refuse_v6(context.ctx, refusal),
    };
    Reason::new(reason as u8).unwrap_or(Reason::ClosedPort)
}

#[inline(always)]
pub(crate) fn fragment_target<F: Family>(context: &XdpContext) -> Option<Target> {
    let word = match F::INNER_PROTOCOL {
        V4::INNER_PROTOCOL => elb_fragment_v4(context.ctx),
        _ => elb_fragment_v6(context.ctx),
    };
    subprogram::unpack_target(core::hint::black_box(word))
}

#[inline(always)]
pub(crate) fn note_fragment<F: Family>(context: &XdpContext, target: Target, part: u32) {
    let Target { backend, listener, hash } = target;
    match F::INNER_PROTOCOL {
        V4::INNER_PROTOCOL => elb_note_fragment_v4(context.ctx, backend, listener, hash, part),
        _ => elb_note_fragment_v6(context.ctx, backend, listener, hash, part),
    };
}

#[inline(always)]
pub(crate) fn reply<F: Family>(
    context: &XdpContext,
    Place { offsets, payload }: Place,
    endpoint: u32,
) -> Result<Back, NotBack> {
    let word = match F::INNER_PROTOCOL {
        V4::INNER_PROTOCOL => elb_reply_v4(context.ctx, offsets, payload, endpoint),
        _ => elb_reply_v6(context.ctx, offsets, payload, endpoint),
    };
    subprogram::unpack_back(core::hint::black_box(word))
}

#[inline(always)]
pub(crate) fn passes<F: Family>(context: &XdpContext, place: Place, how: u32) {
    let Place { offsets, payload } = place;
    match F::INNER_PROTOCOL {
        V4::INNER_PROTOCOL => elb_passes_v4(context.ctx, offsets, payload, how),
        _ => elb_passes_v6(context.ctx, offsets, payload, how),
    };
}

#[inline(always)]
pub(crate) fn shares<F: Family>(
    context: &XdpContext,
    Place { offsets, payload }: Place,
    (backend, listener): (u16, u16),
) -> Result<(), Stop> {
    let ids = u32::from(backend) | u32::from(listener) << 16;
    let reason = match F::INNER_PROTOCOL {
        V4::INNER_PROTOCOL => elb_shares_v4(context.ctx, offsets, payload, ids),
        _ => elb_shares_v6(context.ctx, offsets, payload, ids),
    };
    Reason::new(core::hint::black_box(reason) as u8).map_or(Ok(()), |reason| Err(Stop(reason)))
}

#[inline(always)]
pub(crate) fn reply_error<F: Family>(context: &XdpContext) -> Result<Back, NotBack> {
    let word = match F::INNER_PROTOCOL {
        V4::INNER_PROTOCOL => elb_reply_error_v4(context.ctx),
        _ => elb_reply_error_v6(context.ctx),
    };
    subprogram::unpack_back(core::hint::black_box(word))
}

#[inline(always)]
pub(crate) fn may_translate<F: Family>(
    context: &XdpContext,
    Place { offsets, payload }: Place,
    (backend, listener): (u16, u16),
) -> Result<(), Stop> {
    let ids = u32::from(backend) | u32::from(listener) << 16;
    let reason = match F::INNER_PROTOCOL {
        V4::INNER_PROTOCOL => elb_may_translate_v4(context.ctx, offsets, payload, ids),
        _ => elb_may_translate_v6(context.ctx, offsets, payload, ids),
    };
    Reason::new(core::hint::black_box(reason) as u8).map_or(Ok(()), |reason| Err(Stop(reason)))
}

#[inline(always)]
pub(crate) fn translate<F: Family>(
    context: &XdpContext,
    Place { offsets, payload }: Place,
    backend: u16,
) -> Result<(), Stop> {
    let ids = u32::from(backend);
    let reason = match F::INNER_PROTOCOL {
        V4::INNER_PROTOCOL => elb_translate_v4(context.ctx, offsets, payload, ids),
        _ => elb_translate_v6(context.ctx, offsets, payload, ids),
    };
    Reason::new(core::hint::black_box(reason) as u8).map_or(Ok(()), |reason| Err(Stop(reason)))
}

#[inline(always)]
pub(crate) fn no_vip<F: Family>(
    context: &XdpContext,
    Place { offsets, payload }: Place,
    says: u32,
) -> Result<Back, NotBack> {
    let word = match F::INNER_PROTOCOL {
        V4::INNER_PROTOCOL => elb_no_vip_v4(context.ctx, offsets, payload, says),
        _ => elb_no_vip_v6(context.ctx, offsets, payload, says),
    };
    subprogram::unpack_back(core::hint::black_box(word))
}

#[inline(always)]
pub(crate) fn translate_error<F: Family>(context: &XdpContext, backend: u16) -> Result<(), Stop> {
    let reason = match F::INNER_PROTOCOL {
        V4::INNER_PROTOCOL => elb_translate_error_v4(context.ctx, u32::from(backend)),
        _ => elb_translate_error_v6(context.ctx, u32::from(backend)),
    };
    Reason::new(core::hint::black_box(reason) as u8).map_or(Ok(()), |reason| Err(Stop(reason)))
}

#[inline(always)]
pub(crate) fn answers_probe<F: Family>(context: &XdpContext, place: Place) -> bool {
    let Place { offsets, payload } = place;
    match F::INNER_PROTOCOL {
        V4::INNER_PROTOCOL => elb_answers_probe_v4(context.ctx, offsets, payload) != 0,
        _ => elb_answers_probe_v6(context.ctx, offsets, payload) != 0,
    }
}

/// No reason has this number.
const NONE: u32 = 0xff;

#[inline(always)]
pub(crate) fn stray(context: &XdpContext) -> Option<Reason> {
    Reason::new(elb_stray(context.ctx) as u8)
}

#[inline(always)]
pub(crate) fn is_connected_v4(context: &XdpContext, key: &FlowKeyV4) -> bool {
    let Some(place) = QUESTION_V4.get_ptr_mut(0) else { return false };
    // SAFETY: as in `choose_v4`.
    unsafe { (*place).tuple = *key };
    elb_connected_v4(context.ctx) != 0
}

#[inline(always)]
pub(crate) fn is_connected_v6(context: &XdpContext, key: &FlowKeyV6) -> bool {
    let Some(place) = QUESTION_V6.get_ptr_mut(0) else { return false };
    // SAFETY: as in `choose_v4`.
    unsafe { (*place).tuple = *key };
    elb_connected_v6(context.ctx) != 0
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

/// A reason.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_answer_v4(context: *mut xdp_md) -> u32 {
    answer_of::<V4>(context)
}

/// A reason.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_answer_v6(context: *mut xdp_md) -> u32 {
    answer_of::<V6>(context)
}

#[inline(always)]
fn answer_of<F: Family>(context: *mut xdp_md) -> u32 {
    let context = XdpContext::new(context);
    subprogram::answer::<F, _, _>(&mut XdpPacket::new(&context), &Maps::new(&context)) as u32
}

/// A quote in a word.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_quote_v4(context: *mut xdp_md) -> u32 {
    quote_of::<V4>(context)
}

/// A quote in a word.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_quote_v6(context: *mut xdp_md) -> u32 {
    quote_of::<V6>(context)
}

#[inline(always)]
fn quote_of<F: Family>(context: *mut xdp_md) -> u32 {
    let context = XdpContext::new(context);
    let packet = XdpPacket::new(&context);
    subprogram::pack(subprogram::quote::<F, _, _>(&packet, &Maps::new(&context)))
}

/// A reason.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_too_big_v4(context: *mut xdp_md, mtu: u32) -> u32 {
    too_big_of::<V4>(context, mtu)
}

/// A reason.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_too_big_v6(context: *mut xdp_md, mtu: u32) -> u32 {
    too_big_of::<V6>(context, mtu)
}

#[inline(always)]
fn too_big_of<F: Family>(context: *mut xdp_md, mtu: u32) -> u32 {
    let context = XdpContext::new(context);
    let mut packet = XdpPacket::new(&context);
    subprogram::too_big::<F, _, _>(&mut packet, &Maps::new(&context), mtu as u16) as u32
}

/// A reason.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_refuse_v4(context: *mut xdp_md, refusal: u32) -> u32 {
    refuse_of::<V4>(context, refusal)
}

/// A reason.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_refuse_v6(context: *mut xdp_md, refusal: u32) -> u32 {
    refuse_of::<V6>(context, refusal)
}

#[inline(always)]
fn refuse_of<F: Family>(context: *mut xdp_md, refusal: u32) -> u32 {
    let context = XdpContext::new(context);
    let mut packet = XdpPacket::new(&context);
    subprogram::refuse::<F, _, _>(&mut packet, &Maps::new(&context), refusal) as u32
}

/// Where a later fragment goes, in a word.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_fragment_v4(context: *mut xdp_md) -> u64 {
    fragment_of::<V4>(context)
}

/// As for IPv4.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_fragment_v6(context: *mut xdp_md) -> u64 {
    fragment_of::<V6>(context)
}

#[inline(always)]
fn fragment_of<F: Family>(context: *mut xdp_md) -> u64 {
    let context = XdpContext::new(context);
    let packet = XdpPacket::new(&context);
    subprogram::pack_target(subprogram::fragment_target::<F, _, _>(&packet, &Maps::new(&context)))
}

/// Notes where a first fragment goes.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_note_fragment_v4(
    context: *mut xdp_md,
    backend: u32,
    listener: u32,
    hash: u32,
    part: u32,
) -> u32 {
    note_fragment_of::<V4>(context, Target { backend, listener, hash }, part)
}

/// As for IPv4.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_note_fragment_v6(
    context: *mut xdp_md,
    backend: u32,
    listener: u32,
    hash: u32,
    part: u32,
) -> u32 {
    note_fragment_of::<V6>(context, Target { backend, listener, hash }, part)
}

#[inline(always)]
fn note_fragment_of<F: Family>(context: *mut xdp_md, target: Target, part: u32) -> u32 {
    let context = XdpContext::new(context);
    let packet = XdpPacket::new(&context);
    subprogram::note_fragment::<F, _, _>(&packet, &Maps::new(&context), target, part);
    0
}

/// The interface that a member's answer leaves by, or a reason, in a word.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_reply_v4(context: *mut xdp_md, offsets: u32, payload: u32, endpoint: u32) -> u64 {
    reply_of::<V4>(context, Place { offsets, payload }, endpoint)
}

/// As for IPv4.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_reply_v6(context: *mut xdp_md, offsets: u32, payload: u32, endpoint: u32) -> u64 {
    reply_of::<V6>(context, Place { offsets, payload }, endpoint)
}

#[inline(always)]
fn reply_of<F: Family>(context: *mut xdp_md, place: Place, endpoint: u32) -> u64 {
    let context = XdpContext::new(context);
    let mut packet = XdpPacket::new(&context);
    let maps = Maps::new(&context);
    subprogram::pack_back(subprogram::reply::<F, _, _>(&mut packet, &maps, place, endpoint))
}

/// Notes a packet that passes from or to a member's endpoint.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_passes_v4(context: *mut xdp_md, offsets: u32, payload: u32, how: u32) -> u32 {
    passes_of::<V4>(context, Place { offsets, payload }, how)
}

/// As for IPv4.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_passes_v6(context: *mut xdp_md, offsets: u32, payload: u32, how: u32) -> u32 {
    passes_of::<V6>(context, Place { offsets, payload }, how)
}

#[inline(always)]
fn passes_of<F: Family>(context: *mut xdp_md, place: Place, how: u32) -> u32 {
    let context = XdpContext::new(context);
    subprogram::passes::<F, _, _>(&XdpPacket::new(&context), &Maps::new(&context), place, how);
    0
}

/// A reason, or [`NONE`]: the listener is noted. Backend and listener are in one number.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_shares_v4(context: *mut xdp_md, offsets: u32, payload: u32, ids: u32) -> u32 {
    shares_of::<V4>(context, Place { offsets, payload }, ids)
}

/// As for IPv4.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_shares_v6(context: *mut xdp_md, offsets: u32, payload: u32, ids: u32) -> u32 {
    shares_of::<V6>(context, Place { offsets, payload }, ids)
}

#[inline(always)]
fn shares_of<F: Family>(context: *mut xdp_md, place: Place, ids: u32) -> u32 {
    let context = XdpContext::new(context);
    let (packet, maps) = (XdpPacket::new(&context), Maps::new(&context));
    let ids = (ids as u16, (ids >> 16) as u16);
    let noted = subprogram::shares::<F, _, _>(&packet, &maps, place, ids);
    noted.map_or_else(|Stop(reason)| reason as u32, |()| NONE)
}

/// The interface that an error about a member's packet leaves by, or a reason, in a word.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_reply_error_v4(context: *mut xdp_md) -> u64 {
    reply_error_of::<V4>(context)
}

/// As for IPv4.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_reply_error_v6(context: *mut xdp_md) -> u64 {
    reply_error_of::<V6>(context)
}

#[inline(always)]
fn reply_error_of<F: Family>(context: *mut xdp_md) -> u64 {
    let context = XdpContext::new(context);
    let mut packet = XdpPacket::new(&context);
    subprogram::pack_back(subprogram::reply_error::<F, _, _>(&mut packet, &Maps::new(&context)))
}

/// A reason, or [`NONE`]: the packet may be translated. Backend and listener are in one number.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_may_translate_v4(
    context: *mut xdp_md,
    offsets: u32,
    payload: u32,
    ids: u32,
) -> u32 {
    may_translate_of::<V4>(context, Place { offsets, payload }, ids)
}

/// As for IPv4.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_may_translate_v6(
    context: *mut xdp_md,
    offsets: u32,
    payload: u32,
    ids: u32,
) -> u32 {
    may_translate_of::<V6>(context, Place { offsets, payload }, ids)
}

#[inline(always)]
fn may_translate_of<F: Family>(context: *mut xdp_md, place: Place, ids: u32) -> u32 {
    let context = XdpContext::new(context);
    let (packet, maps) = (XdpPacket::new(&context), Maps::new(&context));
    let done = subprogram::may_translate::<F, _, _>(
        &packet,
        &maps,
        place,
        (ids as u16, (ids >> 16) as u16),
    );
    done.map_or_else(|Stop(reason)| reason as u32, |()| NONE)
}

/// A reason, or [`NONE`]: the packet is translated.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_translate_v4(context: *mut xdp_md, offsets: u32, payload: u32, ids: u32) -> u32 {
    translate_of::<V4>(context, Place { offsets, payload }, ids)
}

/// As for IPv4.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_translate_v6(context: *mut xdp_md, offsets: u32, payload: u32, ids: u32) -> u32 {
    translate_of::<V6>(context, Place { offsets, payload }, ids)
}

#[inline(always)]
fn translate_of<F: Family>(context: *mut xdp_md, place: Place, ids: u32) -> u32 {
    let context = XdpContext::new(context);
    let (mut packet, maps) = (XdpPacket::new(&context), Maps::new(&context));
    let done = subprogram::translate::<F, _, _>(&mut packet, &maps, place, ids as u16);
    done.map_or_else(|Stop(reason)| reason as u32, |()| NONE)
}

/// What becomes of a packet for no virtual address, in a word.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_no_vip_v4(context: *mut xdp_md, offsets: u32, payload: u32, says: u32) -> u64 {
    no_vip_of::<V4>(context, Place { offsets, payload }, says)
}

/// As for IPv4.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_no_vip_v6(context: *mut xdp_md, offsets: u32, payload: u32, says: u32) -> u64 {
    no_vip_of::<V6>(context, Place { offsets, payload }, says)
}

#[inline(always)]
fn no_vip_of<F: Family>(context: *mut xdp_md, place: Place, says: u32) -> u64 {
    let context = XdpContext::new(context);
    let (mut packet, maps) = (XdpPacket::new(&context), Maps::new(&context));
    subprogram::pack_back(subprogram::no_vip::<F, _, _>(&mut packet, &maps, place, says))
}

/// A reason, or [`NONE`]: it is translated.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_translate_error_v4(context: *mut xdp_md, backend: u32) -> u32 {
    translate_error_of::<V4>(context, backend)
}

/// As for IPv4.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_translate_error_v6(context: *mut xdp_md, backend: u32) -> u32 {
    translate_error_of::<V6>(context, backend)
}

#[inline(always)]
fn translate_error_of<F: Family>(context: *mut xdp_md, backend: u32) -> u32 {
    let context = XdpContext::new(context);
    let (mut packet, maps) = (XdpPacket::new(&context), Maps::new(&context));
    let translated = subprogram::translate_error::<F, _, _>(&mut packet, &maps, backend as u16);
    translated.map_or_else(|Stop(reason)| reason as u32, |()| NONE)
}

/// Whether a member's answer to this host answers a probe: 1 or 0.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_answers_probe_v4(context: *mut xdp_md, offsets: u32, payload: u32) -> u32 {
    answers_probe_of::<V4>(context, Place { offsets, payload })
}

/// As for IPv4.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_answers_probe_v6(context: *mut xdp_md, offsets: u32, payload: u32) -> u32 {
    answers_probe_of::<V6>(context, Place { offsets, payload })
}

#[inline(always)]
fn answers_probe_of<F: Family>(context: *mut xdp_md, place: Place) -> u32 {
    let context = XdpContext::new(context);
    let packet = XdpPacket::new(&context);
    subprogram::answers_probe::<F, _, _>(&packet, &Maps::new(&context), place).into()
}

/// A reason, or [`NONE`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_stray(context: *mut xdp_md) -> u32 {
    let context = XdpContext::new(context);
    let stray = subprogram::stray(&XdpPacket::new(&context), &Maps::new(&context));
    stray.map_or(NONE, |reason| reason as u32)
}

/// Whether this host has the connection that the question names: 1 or 0.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_connected_v4(context: *mut xdp_md) -> u32 {
    let Some(question) = QUESTION_V4.get_ptr_mut(0) else { return 0 };
    // SAFETY: as in `choose_v4`, which holds no reference meanwhile.
    let key = unsafe { (*question).tuple };
    sockets::is_connected(context, key.words(), key.protocol(), sockets::TUPLE_V4)
}

/// As for IPv4.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_connected_v6(context: *mut xdp_md) -> u32 {
    let Some(question) = QUESTION_V6.get_ptr_mut(0) else { return 0 };
    // SAFETY: as in `choose_v4`, which holds no reference meanwhile.
    let key = unsafe { (*question).tuple };
    sockets::is_connected(context, key.words(), key.protocol(), sockets::TUPLE_V6)
}
