//! Whether the kernel takes its clock for synchronised.

use std::mem::MaybeUninit;

/// `None` where the kernel does not say.
pub(super) fn synchronised() -> Option<bool> {
    // SAFETY: `timex` consists of integers, for which zeros are a value; `modes` 0 asks for nothing
    // to be changed.
    let mut times: libc::timex = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the pointer is to a whole `timex` that lives longer than the call.
    let state = unsafe { libc::adjtimex(&raw mut times) };
    (state >= 0).then_some(state != libc::TIME_ERROR && times.status & libc::STA_UNSYNC == 0)
}
