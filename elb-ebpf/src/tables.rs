//! The questions of the packet path, answered by the maps.

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns;
use aya_ebpf::maps::PerCpuArray;
use elb_common::addr::{Be32, Be128};
use elb_common::backend::Backend;
use elb_common::counter::Counter;
use elb_common::flow::{Flow, FlowKeyV4, FlowKeyV6};
use elb_common::fragment::Fragment;
use elb_common::interface::Interface;
use elb_common::listener::{Listener, ListenerKeyV4, ListenerKeyV6, Pool, Vip};
use elb_common::path::Tables;
use elb_common::reason::Reason;
use elb_common::ring::{CHUNK, Slot};

use crate::maps::*;

/// The pinned maps.
pub struct Maps;

/// Reads of records that the agent may replace meanwhile see the old or the new word; see the
/// records for what that means.
impl Tables for Maps {
    #[inline(always)]
    fn listener_v4(&self, key: &ListenerKeyV4) -> Option<&Listener> {
        // SAFETY: elements of a preallocated hash map stay in place; the agent replaces a listener
        // by a new element, so this one is not written to while a packet reads it.
        unsafe { LISTENERS_V4.get(key) }
    }

    #[inline(always)]
    fn listener_v6(&self, key: &ListenerKeyV6) -> Option<&Listener> {
        // SAFETY: as for IPv4.
        unsafe { LISTENERS_V6.get(key) }
    }

    #[inline(always)]
    fn vip_v4(&self, address: Be32) -> Option<Vip> {
        // SAFETY: one word, copied at once.
        unsafe { VIPS_V4.get(address.raw()) }.copied()
    }

    #[inline(always)]
    fn vip_v6(&self, address: Be128) -> Option<Vip> {
        // SAFETY: one word, copied at once.
        unsafe { VIPS_V6.get(address.raw()) }.copied()
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> Option<Slot> {
        let chunk = RINGS.get(index / CHUNK)?;
        Some(Slot(chunk[(index % CHUNK) as usize]))
    }

    #[inline(always)]
    fn note_moving(&self, index: u32, now: u32) {
        let Some(chunk) = RINGS_SEEN.get_ptr_mut(index / CHUNK) else { return };
        // SAFETY: the map holds the chunk for as long as the program lives; the index is within the
        // chunk; words are written whole, and any CPU's time of this second is as good.
        unsafe {
            let seen = &raw mut (*chunk)[(index % CHUNK) as usize];
            if seen.read() != now {
                seen.write(now);
            }
        }
    }

    #[inline(always)]
    fn pool(&self, id: u16) -> Option<Pool> {
        POOLS.get(u32::from(id)).copied()
    }

    #[inline(always)]
    fn backend(&self, id: u16) -> Option<&Backend> {
        BACKENDS.get(u32::from(id))
    }

    #[inline(always)]
    fn flow_v4(&self, key: &FlowKeyV4, now: u32) -> Option<u16> {
        visit(FLOWS_V4.get_ptr_mut(key)?, now)
    }

    #[inline(always)]
    fn flow_v6(&self, key: &FlowKeyV6, now: u32) -> Option<u16> {
        visit(FLOWS_V6.get_ptr_mut(key)?, now)
    }

    #[inline(always)]
    fn record_v4(&self, key: &FlowKeyV4, flow: Flow) {
        // A flow that cannot be recorded is served by the former owner's rule.
        let _ = FLOWS_V4.insert(key, flow, 0);
    }

    #[inline(always)]
    fn record_v6(&self, key: &FlowKeyV6, flow: Flow) {
        let _ = FLOWS_V6.insert(key, flow, 0);
    }

    #[inline(always)]
    fn fragment_v4(&self, key: &FlowKeyV4) -> Option<Fragment> {
        // SAFETY: copied at once; an element that is recycled meanwhile yields another datagram's
        // backend for one fragment.
        unsafe { FRAGMENTS_V4.get(key) }.copied()
    }

    #[inline(always)]
    fn fragment_v6(&self, key: &FlowKeyV6) -> Option<Fragment> {
        // SAFETY: as for IPv4.
        unsafe { FRAGMENTS_V6.get(key) }.copied()
    }

    #[inline(always)]
    fn record_fragment_v4(&self, key: &FlowKeyV4, fragment: Fragment) {
        // Without a record, later fragments are dropped as those are that come before the first.
        let _ = FRAGMENTS_V4.insert(key, fragment, 0);
    }

    #[inline(always)]
    fn record_fragment_v6(&self, key: &FlowKeyV6, fragment: Fragment) {
        let _ = FRAGMENTS_V6.insert(key, fragment, 0);
    }

    #[inline(always)]
    fn may_answer(&self, now: u32) -> bool {
        let Some(told) = ERRORS_TOLD.get_ptr_mut(0) else { return false };
        // SAFETY: the element belongs to this CPU, and XDP programs are not preempted by each other
        // on one CPU.
        unsafe { (*told).one_more(now) }
    }

    #[inline(always)]
    fn now(&self) -> u32 {
        // SAFETY: the helper takes no argument and touches no memory of ours.
        (unsafe { bpf_ktime_get_coarse_ns() } / 1_000_000_000) as u32
    }

    #[inline(always)]
    fn interface(&self, index: u32) -> Option<Interface> {
        // SAFETY: one word, copied at once.
        unsafe { INTERFACES.get(index) }.copied()
    }

    #[inline(always)]
    fn redirect(&self, ifindex: u32) -> bool {
        let action = DEVMAP.redirect(ifindex, u64::from(xdp_action::XDP_DROP));
        action.is_ok_and(|action| action == xdp_action::XDP_REDIRECT)
    }

    #[inline(always)]
    fn count_listener(&self, id: u16, bytes: u64) {
        count(&LISTENER_COUNTERS, u32::from(id), bytes);
    }

    #[inline(always)]
    fn count_backend(&self, id: u16, bytes: u64) {
        count(&BACKEND_COUNTERS, u32::from(id), bytes);
    }

    #[inline(always)]
    fn count_reason(&self, reason: Reason, bytes: u64) {
        count(&REASON_COUNTERS, reason as u32, bytes);
    }
}

/// Reads a recorded flow and notes its packet in place: replacing the element would hide it from
/// other CPUs for a moment.
#[inline(always)]
fn visit(flow: *mut Flow, now: u32) -> Option<u16> {
    // SAFETY: the element stays mapped while the program runs. Both words are aligned, read and
    // written whole; an element that was recycled meanwhile yields another flow's backend for one
    // packet.
    unsafe {
        if (*flow).seen != now {
            (*flow).seen = now;
        }
        Some((*flow).backend as u16)
    }
}

#[inline(always)]
fn count(counters: &PerCpuArray<Counter>, index: u32, bytes: u64) {
    if let Some(counter) = counters.get_ptr_mut(index) {
        // SAFETY: the element belongs to this CPU, and XDP programs are not preempted by each other
        // on one CPU.
        unsafe { (*counter).add(bytes) };
    }
}
