//! An XDP frame as a [`Packet`]: the only pointer arithmetic of the forwarding program.

use core::mem::{align_of, size_of};

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail};
use aya_ebpf::programs::XdpContext;
use bytemuck::Pod;
use elb_common::path::parse::extension::{self, Chain};
use elb_common::path::{Packet, Stop};

/// The frame of an XDP context.
pub struct XdpPacket<'c> {
    context: &'c XdpContext,
}

impl<'c> XdpPacket<'c> {
    /// The frame that the program was called for.
    #[inline(always)]
    pub fn new(context: &'c XdpContext) -> Self {
        Self { context }
    }

    /// Address of the record at `offset`, if it lies within the frame.
    #[inline(always)]
    fn at<H: Pod>(&self, offset: usize) -> Option<*mut H> {
        // One byte would be compared with the end itself, from which the verifier learns nothing.
        const { assert!(align_of::<H>() <= 2 && size_of::<H>() > 1) };
        let start = self.context.data() + offset;
        if start + size_of::<H>() > self.context.data_end() {
            return None;
        }
        // SAFETY: no frame lies at address 0; the compiler would look at each.
        unsafe { core::hint::assert_unchecked(start != 0) };
        Some(start as *mut H)
    }

    #[inline(always)]
    fn move_head(&mut self, change: i32) -> Option<()> {
        // SAFETY: the context is the one the kernel called the program with; `&mut self` proves
        // that no view, which the call would invalidate, is alive.
        let refused = unsafe { bpf_xdp_adjust_head(self.context.ctx, change) };
        (refused == 0).then_some(())
    }
}

impl Packet for XdpPacket<'_> {
    #[inline(always)]
    fn length(&self) -> u32 {
        (self.context.data_end() - self.context.data()) as u32
    }

    #[inline(always)]
    fn view<H: Pod>(&self, offset: usize) -> Option<&H> {
        // SAFETY: `at` checked the bounds, as the verifier demands; drivers and `Packet`'s contract
        // keep the address even; `Pod` makes every bit pattern valid; the kernel gives the frame to
        // this program alone.
        self.at(offset).map(|header| unsafe { &*header })
    }

    #[inline(always)]
    fn view_mut<H: Pod>(&mut self, offset: usize) -> Option<&mut H> {
        // SAFETY: as in `view`, and `&mut self` excludes other views.
        self.at(offset).map(|header| unsafe { &mut *header })
    }

    #[inline(always)]
    fn grow_head(&mut self, bytes: u32) -> Option<()> {
        self.move_head(-(bytes as i32))
    }

    #[inline(always)]
    fn shrink_head(&mut self, bytes: u32) -> Option<()> {
        self.move_head(bytes as i32)
    }

    #[inline(always)]
    fn set_len(&mut self, length: u32) -> Option<()> {
        // The compiler would turn this into arithmetic on the end pointer, which the verifier
        // forbids; it only allows the difference of two pointers.
        let change = length as i32 - core::hint::black_box(self.length()) as i32;
        // SAFETY: as in `move_head`.
        let refused = unsafe { bpf_xdp_adjust_tail(self.context.ctx, change) };
        (refused == 0).then_some(())
    }

    #[inline(always)]
    fn extensions(&self, offset: usize, protocol: u8) -> Result<Chain, Stop> {
        let word = elb_extensions(self.context.ctx, offset as u32, u32::from(protocol));
        // The compiler knows what the function returns and would leave bounds out; the verifier
        // does not.
        extension::unpack(core::hint::black_box(word))
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        self.context.ingress_ifindex() as u32
    }
}

/// What IPv6 extension headers say, in a word. A global function: the kernel verifies its many ways
/// once by itself.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn elb_extensions(context: *mut xdp_md, offset: u32, protocol: u32) -> u64 {
    /// Farther than any header in front of them.
    const FARTHEST: u32 = 0xfff;
    let context = XdpContext::new(context);
    let packet = XdpPacket::new(&context);
    extension::pack(extension::walk(&packet, (offset & FARTHEST) as usize, protocol as u8))
}
