//! What a program asks: the maps, and the frame that it was called for.

use aya_ebpf::programs::XdpContext;

/// The pinned maps, and the frame that the program was called for.
pub struct Maps<'c> {
    pub(crate) context: &'c XdpContext,
}

impl<'c> Maps<'c> {
    /// The maps, for this frame.
    #[inline(always)]
    pub fn new(context: &'c XdpContext) -> Self {
        Self { context }
    }
}
