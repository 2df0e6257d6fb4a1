//! Bindings, as packets on all CPUs read and take them.

use core::intrinsics::{AtomicOrdering, atomic_cxchg};

use elb_common::binding::{Binding, Bucket, Course, Owner};
use elb_common::path::bind;

/// Reads a binding. Its words are aligned, read and written whole; one that is taken meanwhile is another flow's for one
/// packet, and its backend may be that of the flow before.
#[inline(always)]
pub(crate) fn read(place: *mut Binding) -> Binding {
    // SAFETY: an element of an array stays mapped while the program runs.
    unsafe {
        let owner = (&raw const (*place).owner).read_volatile();
        Binding { owner, course: (&raw const (*place).course).read_volatile() }
    }
}

/// Writes what is known of a flow.
#[inline(always)]
pub(crate) fn set_course(place: *mut Binding, course: Course) {
    // SAFETY: as in `read`.
    unsafe { (&raw mut (*place).course).write_volatile(course) }
}

/// Takes a binding, if it is still this owner's. Meanwhile it has no owner, so that no packet meets one flow's owner
/// with another's backend.
#[inline(always)]
pub(crate) fn claim(place: *mut Binding, owner: Owner, wanted: Binding) -> bool {
    if !exchange(place, owner, Owner::BUSY) {
        return false;
    }
    set_course(place, wanted.course);
    exchange(place, Owner::BUSY, wanted.owner)
}

/// Replaces the owner, if it is this one.
#[inline(always)]
fn exchange(place: *mut Binding, old: Owner, new: Owner) -> bool {
    const ORDER: AtomicOrdering = AtomicOrdering::SeqCst;
    // SAFETY: as in `read`; packets write the word in no other way.
    let (before, _) = unsafe {
        atomic_cxchg::<u64, ORDER, ORDER>((&raw mut (*place).owner).cast(), old.0, new.0)
    };
    before == old.0
}

/// Which of a bucket's bindings is its owner's.
#[inline(always)]
pub(crate) fn find(bucket: *const Bucket, owner: Owner) -> Option<u32> {
    let first = bucket.cast::<Binding>();
    // SAFETY: as in `read`; a bucket has so many.
    bind::find_owner(|way| unsafe { (*first.add(way as usize)).owner }, owner)
}
