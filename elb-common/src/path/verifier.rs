//! What keeps the kernel's verifier from walking the same way many times: it tells states apart by what it knows of
//! numbers.

use core::hint::black_box;

/// The same number, of which the verifier forgets what it knows: it would walk what follows once for each that this can
/// be. `unknown` is something that it knows nothing of.
#[inline(always)]
pub(super) fn forgotten(number: u64, unknown: u64) -> u64 {
    black_box(number ^ unknown) ^ unknown
}
