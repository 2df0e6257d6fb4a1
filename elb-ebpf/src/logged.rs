//! What `elb_logged` does beyond `elb`: it writes opens, ends and refusals down for the flow log, and refusals
//! and sampled packets, with the first bytes of their frames, for sFlow.
//!
//! A packet that opens or ends a connection, and one that may be answered, is described before the packet
//! path rewrites it; one that is dropped is described afterwards, since it is as it came. All others pay
//! a few instructions.

use core::cell::Cell;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::generated::{bpf_get_prandom_u32, bpf_ktime_get_ns, bpf_xdp_load_bytes};
use aya_ebpf::programs::XdpContext;
use elb_common::flow_log::{FlowEvent, FlowLog, HEADER, Kind, NO_LISTENER, flow_counter, known};
use elb_common::path::{Asked, Note, Outcome, Packet as _, Tables as _, seen};
use elb_common::reason::Reason;
use elb_common::trace::FORWARDED;
use elb_ebpf::packet::XdpPacket;

use crate::draft::LogDraft;
use crate::handle::Maps;
use crate::maps::{FLOW_COUNTERS, FLOW_EVENTS, FLOW_LOG, LOG_BUFFER};

/// Listener and backend in a word, where there is neither.
const NONE: u32 = named(NO_LISTENER, 0);

/// Writes down what the packet path meets on its way.
pub(crate) struct FlowRecorder<'c> {
    context: &'c XdpContext,
    /// Whether the packet was described before it was rewritten.
    is_described: Cell<bool>,
    named: Cell<u32>,
}

impl<'c> FlowRecorder<'c> {
    #[inline(always)]
    pub(crate) const fn new(context: &'c XdpContext) -> Self {
        Self { context, is_described: Cell::new(false), named: Cell::new(NONE) }
    }

    #[inline(always)]
    fn describe(&self) {
        if !self.is_described.get() {
            elb_described(self.context.ctx);
            self.is_described.set(true);
        }
    }

    /// After the packet path: writes the event, if there is one.
    #[inline(always)]
    pub(crate) fn decided(&self, outcome: Outcome) {
        let (reason, is_dropped) = match outcome {
            Outcome::Pass(_) => return,
            Outcome::Drop(reason) => (reason as u32, true),
            Outcome::Answer(reason) => (reason as u32, false),
            Outcome::Transmit | Outcome::Redirect(_) | Outcome::HandOver => (FORWARDED, false),
        };
        if is_dropped || self.is_described.get() {
            elb_noted(self.context.ctx, reason, self.named.get(), self.is_described.get().into());
        }
    }
}

impl<'t> Note<'t> for FlowRecorder<'_> {
    const SUBPROGRAMS: bool = false;
    const LOGS: bool = true;

    #[inline(always)]
    #[allow(clippy::wildcard_enum_match_arm, reason = "only these are for the flow log")]
    fn note(&self, asked: Asked<'t>) {
        match asked {
            Asked::Chosen(listener, backend) => {
                self.named.set(named(listener, backend));
                self.describe();
            }
            Asked::Stopped(listener, backend) => self.named.set(named(listener, backend)),
            Asked::Answering => self.describe(),
            _ => {}
        }
    }
}

const fn named(listener: u16, backend: u16) -> u32 {
    (listener as u32) << 16 | backend as u32
}

/// Describes the frame as it came. Global, as the steps of [`crate::subprogram`] are and for the same
/// reasons.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_described(context: *mut xdp_md) -> u32 {
    let context = &XdpContext::new(context);
    let (Some(log), Some(draft)) = (FLOW_LOG.get(0), LOG_BUFFER.get_ptr_mut(0)) else { return 0 };
    // SAFETY: the element belongs to this CPU, and XDP programs are not preempted by each other on one
    // CPU.
    seen::describe(&XdpPacket::new(context), unsafe { &mut (*draft).event });
    keep_header(context, log, draft);
    1
}

/// As `elb_described`: writes the event of a packet.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_noted(context: *mut xdp_md, reason: u32, named: u32, is_described: u32) -> u32 {
    let context = &XdpContext::new(context);
    let (Some(log), Some(draft)) = (FLOW_LOG.get(0), LOG_BUFFER.get_ptr_mut(0)) else { return 0 };
    let now = Maps::new(context).now();
    if now >= log.until {
        return 0;
    }
    if is_described == 0 {
        describe_late(context, reason, log, draft);
    }
    // SAFETY: as in `elb_described`.
    let (event, spent) = unsafe { (&mut (*draft).event, &mut (*draft).spent) };
    let kind = FlowEvent::kind(reason, event.flags);
    let is_discard = log.discards != 0 && matches!(kind, Kind::Refusal);
    if log.logged != 0 {
        count(kind as u32);
    } else if !is_discard {
        return 0;
    }
    if !spent.takes(now, matches!(kind, Kind::Open), log.budget) {
        lose(log, is_discard, flow_counter::RATE);
        return 0;
    }
    (event.listener, event.backend) = ((named >> 16) as u16, named as u16);
    event.reason = reason;
    if !write(draft, is_discard) {
        lose(log, is_discard, flow_counter::RING);
    }
    1
}

/// As `elb_described`: a packet that is a sample is written down as it came.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_sampled(context: *mut xdp_md) -> u32 {
    let context = &XdpContext::new(context);
    let (Some(log), Some(draft)) = (FLOW_LOG.get(0), LOG_BUFFER.get_ptr_mut(0)) else { return 0 };
    // SAFETY: as in `elb_described`.
    let (event, kept) = unsafe { (&mut (*draft).event, &mut (*draft).kept) };
    // SAFETY: as in `elb_described`.
    let (spent, countdown) = unsafe { (&mut (*draft).samples, &mut (*draft).countdown) };
    // SAFETY: the helper takes no argument and touches no memory of ours.
    let random = || unsafe { bpf_get_prandom_u32() };
    let Some(stands_for) = countdown.counts(log.sampling, random) else { return 0 };
    let now = Maps::new(context).now();
    if now >= log.until {
        return 0;
    }
    if !spent.takes(now, false, log.budget) {
        count(flow_counter::SAMPLES_LOST);
        return 0;
    }
    let packet = XdpPacket::new(context);
    seen::nothing(event);
    (event.length, event.ingress, event.data) = (packet.length(), packet.ingress(), stands_for);
    event.known = known::LENGTH | known::SAMPLE;
    (event.reason, event.listener, event.backend) = (FORWARDED, NO_LISTENER, 0);
    *kept = copy_header(context, draft);
    if !write(draft, true) {
        count(flow_counter::SAMPLES_LOST);
    }
    1
}

/// Before the packet path: the packet may be a sample.
#[inline(always)]
pub(crate) fn arrived(context: &XdpContext) {
    if FLOW_LOG.get(0).is_some_and(|log| log.sampling != 0) {
        elb_sampled(context.ctx);
    }
}

/// What is dropped is as it came, unless that happened on its way into the tunnel.
#[inline(always)]
fn describe_late(context: &XdpContext, reason: u32, log: &FlowLog, draft: *mut LogDraft) {
    const NO_ROOM: u32 = Reason::NoRoom as u32;
    const NO_DEVICE: u32 = Reason::NoDevice as u32;
    // SAFETY: as in `elb_described`.
    let (event, kept) = unsafe { (&mut (*draft).event, &mut (*draft).kept) };
    if matches!(reason, NO_ROOM | NO_DEVICE) {
        seen::nothing(event);
        event.ingress = context.ingress_ifindex() as u32;
        *kept = 0;
    } else {
        seen::describe(&XdpPacket::new(context), event);
        keep_header(context, log, draft);
    }
}

/// Keeps the first bytes of the frame, if they are asked for.
#[inline(always)]
fn keep_header(context: &XdpContext, log: &FlowLog, draft: *mut LogDraft) {
    let kept = if log.discards != 0 { copy_header(context, draft) } else { 0 };
    // SAFETY: as in `elb_described`.
    unsafe { (*draft).kept = kept };
}

/// Copies the first bytes of the frame into the draft; how many.
#[inline(always)]
fn copy_header(context: &XdpContext, draft: *mut LogDraft) -> u32 {
    let length = XdpPacket::new(context).length().min(HEADER);
    // For the verifier: 1 to HEADER, whatever was computed before.
    let length = (core::hint::black_box(length.wrapping_sub(1)) & (HEADER - 1)) + 1;
    // SAFETY: the draft has room for twice as many bytes, and is this CPU's.
    let refused = unsafe {
        let to = (&raw mut (*draft).header).cast::<u8>();
        bpf_xdp_load_bytes(context.ctx, 0, to.cast(), length)
    };
    if refused == 0 { length } else { 0 }
}

/// Writes the draft's event, with the first bytes of the frame; whether there was room.
#[inline(always)]
fn write(draft: *mut LogDraft, with_header: bool) -> bool {
    // SAFETY: the helper takes no argument and touches no memory of ours; the draft is this CPU's.
    let kept = unsafe {
        (*draft).event.time = bpf_ktime_get_ns();
        (*draft).kept
    };
    let header = if with_header { core::hint::black_box(kept) & (2 * HEADER - 1) } else { 0 };
    let length = size_of::<FlowEvent>() + header as usize;
    // SAFETY: an event and a length under the mask are within the draft, whose header follows its event.
    let whole = unsafe { core::slice::from_raw_parts(draft.cast::<u8>(), length) };
    FLOW_EVENTS.output::<[u8]>(whole, 0).is_ok()
}

/// Counts an event that is not written.
#[inline(always)]
fn lose(log: &FlowLog, is_discard: bool, cause: u32) {
    if log.logged != 0 {
        count(cause);
    }
    if is_discard {
        count(flow_counter::DISCARDS_LOST);
    }
}

#[inline(always)]
fn count(index: u32) {
    if let Some(counter) = FLOW_COUNTERS.get_ptr_mut(index) {
        // SAFETY: as in `elb_described`.
        unsafe { *counter += 1 };
    }
}
