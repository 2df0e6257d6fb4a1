//! What `elb_traced` does beyond `elb`: it reports the packets that were asked for to the agent.
//!
//! The frame is copied as it came before the packet path rewrites it, since only afterwards is
//! known whether it is one of those.

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::generated::{bpf_get_prandom_u32, bpf_ktime_get_ns, bpf_xdp_load_bytes};
use aya_ebpf::programs::XdpContext;
use elb_common::path::{Asked, Note, Outcome, Packet as _, Tables as _, peek};
use elb_common::trace::{Event, FORWARDED, MAX_SNAP, NO_LISTENER, Trace, trace_counter};
use elb_ebpf::packet::XdpPacket;

use crate::draft::{Draft, Window};
use crate::handle::Maps;
use crate::logged::FlowRecorder;
use crate::maps::{EVENTS, TRACE, TRACE_BUFFER, TRACE_COUNTERS};

const EVENT: usize = size_of::<Event>();

/// Writes down what the packet path meets on its way, into the draft: the stack is full. What the flow log
/// is about goes on meanwhile.
pub(crate) struct EventRecorder<'c>(pub(crate) FlowRecorder<'c>);

impl<'t> Note<'t> for EventRecorder<'_> {
    const SUBPROGRAMS: bool = false;
    const LOGS: bool = true;
    const TRACES: bool = true;

    #[inline(always)]
    #[allow(clippy::wildcard_enum_match_arm, reason = "an event names listener and backend only")]
    fn note(&self, asked: Asked<'t>) {
        self.0.note(asked);
        match asked {
            Asked::ListenerV4(_, Some(listener))
            | Asked::ListenerV6(_, Some(listener))
            | Asked::Range(_, Some(listener)) => note(|event| event.listener = listener.id.into()),
            Asked::CountListener(id) => note(|event| event.listener = id.into()),
            Asked::CountReply(listener, backend) => note(|event| {
                (event.listener, event.backend) = (listener.into(), backend.into());
            }),
            Asked::Backend(id, _) => note(|event| event.backend = id.into()),
            _ => {}
        }
    }
}

#[inline(always)]
fn note(write: impl FnOnce(&mut Event)) {
    if let Some(draft) = TRACE_BUFFER.get_ptr_mut(0) {
        // SAFETY: the element belongs to this CPU, and XDP programs are not preempted by each other
        // on one CPU.
        write(unsafe { &mut (*draft).event });
    }
}

/// Before the packet path: keeps the frame as it came, if it may be one of those asked for.
#[inline(always)]
pub(crate) fn received(context: &XdpContext) {
    elb_received(context.ctx);
}

/// After the packet path: reports what became of the frame, if that is asked for.
#[inline(always)]
pub(crate) fn decided(context: &XdpContext, outcome: Outcome) {
    let reason = outcome.reason().map_or(FORWARDED, |reason| reason as u32);
    let egress = match outcome {
        Outcome::Pass(_) | Outcome::Drop(_) | Outcome::HandOver => 0,
        Outcome::Answer(_) | Outcome::Transmit => context.ingress_ifindex() as u32,
        Outcome::Redirect(ifindex) => ifindex,
    };
    elb_decided(context.ctx, reason, egress);
}

/// Global, as the steps of [`crate::subprogram`] are and for the same reasons.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_received(context: *mut xdp_md) -> u32 {
    let context = &XdpContext::new(context);
    let (Some(trace), Some(draft)) = (TRACE.get(0), TRACE_BUFFER.get_ptr_mut(0)) else { return 0 };
    let packet = XdpPacket::new(context);
    let asked_for =
        now(context) < trace.until && is_sampled(trace) && trace.wants(peek::ends(&packet));
    let copied = if asked_for { copy(context, trace, draft, 0) } else { 0 };
    // SAFETY: as in `note`.
    let event = unsafe { &mut (*draft).event };
    (event.received, event.received_bytes) = (packet.length(), copied);
    (event.listener, event.backend) = (NO_LISTENER, 0);
    copied
}

/// As `elb_received`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_decided(context: *mut xdp_md, reason: u32, egress: u32) -> u32 {
    let context = &XdpContext::new(context);
    let (Some(trace), Some(draft)) = (TRACE.get(0), TRACE_BUFFER.get_ptr_mut(0)) else { return 0 };
    // SAFETY: as in `note`.
    let (event, window) = unsafe { (&mut (*draft).event, &mut (*draft).window) };
    let is_asked_for = event.received_bytes != 0
        && trace.wants_reason(reason)
        && is_member(context, trace, event.backend);
    if !is_asked_for {
        return 0;
    }
    count(trace_counter::MATCHED);
    if !is_within_limit(context, trace, window) {
        count(trace_counter::LIMITED);
        return 0;
    }
    let went = egress != 0;
    event.sent = if went { XdpPacket::new(context).length() } else { 0 };
    event.sent_bytes = if went { copy(context, trace, draft, event.received_bytes) } else { 0 };
    event.ingress = context.ingress_ifindex() as u32;
    (event.egress, event.reason) = (egress, reason);
    // SAFETY: the helper takes no argument and touches no memory of ours.
    event.time = unsafe { bpf_ktime_get_ns() };
    let length = EVENT + masked(event.received_bytes) + masked(event.sent_bytes);
    // SAFETY: an event and two lengths, each at most half of the draft's bytes, are within it.
    let whole = unsafe { core::slice::from_raw_parts(draft.cast::<u8>(), length) };
    if EVENTS.output::<[u8]>(whole, 0).is_err() {
        count(trace_counter::FULL);
    }
    1
}

/// Copies the first bytes of the frame into the draft, `offset` bytes behind the event; how many.
#[inline(always)]
fn copy(context: &XdpContext, trace: &Trace, draft: *mut Draft, offset: u32) -> u32 {
    let length = XdpPacket::new(context).length().min(trace.snap);
    // For the verifier: 1 to MAX_SNAP, whatever was computed before.
    let length = (core::hint::black_box(length.wrapping_sub(1)) & (MAX_SNAP - 1)) + 1;
    // SAFETY: offset and length are at most half of the draft's bytes.
    let refused = unsafe {
        let to = (&raw mut (*draft).bytes).cast::<u8>().add(masked(offset));
        bpf_xdp_load_bytes(context.ctx, 0, to.cast(), length)
    };
    if refused == 0 { length } else { 0 }
}

/// A length that this program wrote, for the verifier, which does not know that it is at most
/// `MAX_SNAP`.
#[inline(always)]
fn masked(length: u32) -> usize {
    (core::hint::black_box(length) & (2 * MAX_SNAP - 1)) as usize
}

#[inline(always)]
fn is_sampled(trace: &Trace) -> bool {
    // SAFETY: the helper takes no argument and touches no memory of ours.
    let random = unsafe { bpf_get_prandom_u32() };
    trace.sample < 2 || (u64::from(random) * u64::from(trace.sample)) >> 32 == 0
}

#[inline(always)]
fn is_member(context: &XdpContext, trace: &Trace, backend: u32) -> bool {
    if trace.member[0] | trace.member[1] == 0 {
        return true;
    }
    let backend = Maps::new(context).backend(backend as u16).map(|backend| backend.address.words());
    backend == Some(trace.member)
}

/// Counts this event in the present second of this CPU.
#[inline(always)]
fn is_within_limit(context: &XdpContext, trace: &Trace, window: &mut Window) -> bool {
    let second = now(context);
    if window.second != second {
        *window = Window { second, reported: 0 };
    }
    window.reported += 1;
    window.reported <= trace.limit
}

#[inline(always)]
fn now(context: &XdpContext) -> u32 {
    Maps::new(context).now()
}

#[inline(always)]
fn count(index: u32) {
    if let Some(counter) = TRACE_COUNTERS.get_ptr_mut(index) {
        // SAFETY: as in `note`.
        unsafe { *counter += 1 };
    }
}
