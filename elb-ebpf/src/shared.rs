//! Words that packets write into records which other CPUs write, too.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::maps::{LruHashMap, PerCpuArray};
use elb_common::admission::Opened;
use elb_common::client::{Client, ClientKey};
use elb_common::counter::Counter;
use elb_common::flow::{Flow, Visit};

use crate::maps::*;

/// Reads a recorded flow and notes its packet in place: replacing the element would hide it from
/// other CPUs for a moment.
#[inline(always)]
pub(crate) fn find(record: *mut Flow, visit: &Visit) -> Option<Flow> {
    // SAFETY: the element stays mapped while the program runs. Its words are aligned, read and
    // written whole; an element that was recycled meanwhile yields another flow's backend for one
    // packet.
    unsafe {
        let flow = *record;
        if !visit.meets(&flow) {
            return None;
        }
        if !visit.finds(&flow) {
            return Some(flow);
        }
        let after = visit.after(flow);
        if after.seen != flow.seen {
            (*record).seen = after.seen;
        }
        if after.flags != flow.flags {
            (*record).flags = after.flags;
        }
        Some(flow)
    }
}

/// Reads which backend serves a client, as one word: an element that was recycled meanwhile is another
/// client's, whose pool it says.
#[inline(always)]
pub(crate) fn client(record: *const Client) -> Client {
    // SAFETY: the element stays mapped while the program runs; it is a word and aligned as one.
    bytemuck::cast(unsafe { record.cast::<u64>().read_volatile() })
}

/// Notes which backend serves a client, in place where the client is known: replacing the element would
/// hide it from other CPUs for a moment, and cost more.
#[inline(always)]
pub(crate) fn note_client(
    clients: &LruHashMap<ClientKey, Client>,
    key: &ClientKey,
    client: Client,
) {
    match clients.get_ptr_mut(key) {
        // SAFETY: as in `client`.
        Some(record) => unsafe { record.cast::<u64>().write_volatile(bytemuck::cast(client)) },
        // A client that is not remembered is balanced.
        None => {
            let _ = clients.insert(key, client, 0);
        }
    }
}

/// Changes the counts of records of a listener, and of strays among them.
#[inline(always)]
pub(crate) fn count_records(table: usize, listener: u16, records: i64, strays: i64) {
    let Some(state) = LISTENER_STATES.get_ptr_mut(u32::from(listener)) else { return };
    let Some(all) = FLOW_TABLES.get_ptr_mut(table as u32) else { return };
    // SAFETY: as in `Tables::may_open`; the index is one of two.
    unsafe {
        if records != 0 {
            add(&raw mut (*state).records[table & 1], records as u64);
            add(&raw mut (*all).records, records as u64);
        }
        if strays != 0 {
            add(&raw mut (*state).strays[table & 1], strays as u64);
        }
    }
}

/// Counts what opens `now`; how many there are in this second.
///
/// # Safety
/// As for [`add`].
#[inline(always)]
pub(crate) unsafe fn count_opening(opened: *mut u64, now: u32) -> u32 {
    // SAFETY: the caller's.
    unsafe {
        let before = Opened(add(opened, 1));
        if before.is_over(now) {
            // Two CPUs that both begin the second may forget a connection of a third.
            opened.write_volatile(Opened::first(now).0);
            return 1;
        }
        before.count().wrapping_add(1)
    }
}

/// Takes back one of those that [`count_opening`] counted `now`. Where two CPUs take back the last, the
/// second is over early, and nothing counts as opening.
///
/// # Safety
/// As for [`add`].
#[inline(always)]
pub(crate) unsafe fn take_back_opening(opened: *mut u64, now: u32) {
    // SAFETY: the caller's.
    unsafe {
        let before = Opened(opened.read_volatile());
        if before.one_less(now) != before {
            add(opened, 1u64.wrapping_neg());
        }
    }
}

/// Changes the counts of open connections of a listener and a backend.
#[inline(always)]
pub(crate) fn count_connection(listener: u16, backend: u16, change: u64) {
    let Some(listener) = LISTENER_STATES.get_ptr_mut(u32::from(listener)) else { return };
    let Some(backend) = BACKEND_STATES.get_ptr_mut(u32::from(backend)) else { return };
    // SAFETY: as in `Tables::may_open`.
    unsafe {
        add(&raw mut (*listener).connections, change);
        add(&raw mut (*backend).connections, change);
    }
}

/// Writes the second down. Words are written whole, and any CPU's time of this second is as good.
///
/// # Safety
/// The word is aligned and stays mapped while the program runs.
#[inline(always)]
pub(crate) unsafe fn note(word: *mut u32, now: u32) {
    // SAFETY: the caller's.
    unsafe {
        if word.read() != now {
            word.write(now);
        }
    }
}

/// Adds to a word of a map that several CPUs write, wrapping around; what it was before. The
/// target has this instruction but no compare-and-swap, so `core` offers no atomic type for it.
///
/// Not `Relaxed`: of that the compiler makes an addition that returns nothing, and takes what was
/// added for what was there.
///
/// # Safety
/// The word is aligned, stays mapped while the program runs, and everyone who writes it does so
/// atomically.
#[inline(always)]
pub(crate) unsafe fn add(word: *mut u64, value: u64) -> u64 {
    // SAFETY: the caller's.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(word, value) }
}

#[inline(always)]
pub(crate) fn count(counters: &PerCpuArray<Counter>, index: u32, bytes: u64) {
    if let Some(counter) = counters.get_ptr_mut(index) {
        // SAFETY: the element belongs to this CPU, and XDP programs are not preempted by each other
        // on one CPU.
        unsafe { (*counter).add(bytes) };
    }
}
