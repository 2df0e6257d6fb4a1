//! Bounded access to a frame.

use bytemuck::Pod;

use super::Stop;
use super::parse::extension::{self, Chain};

/// A frame: views of headers inside it, and room at both ends.
///
/// A view is refused when it would reach beyond the frame. Views are of records with an alignment
/// of at most 2, and are taken at even offsets of a frame that starts at an even address, which
/// both implementations guarantee.
pub trait Packet {
    /// Length in bytes.
    fn length(&self) -> u32;

    /// The record at `offset`, or `None` where the frame is too short.
    fn view<H: Pod>(&self, offset: usize) -> Option<&H>;

    /// The record at `offset`, to write to, or `None` where the frame is too short.
    fn view_mut<H: Pod>(&mut self, offset: usize) -> Option<&mut H>;

    /// Makes the frame start `bytes` earlier; what is there is undefined. All offsets move.
    fn grow_head(&mut self, bytes: u32) -> Option<()>;

    /// Makes the frame start `bytes` later. All offsets move.
    fn shrink_head(&mut self, bytes: u32) -> Option<()>;

    /// Cuts or extends the end so that the frame is `length` bytes long.
    fn set_len(&mut self, length: u32) -> Option<()>;

    /// What IPv6 extension headers say, see [`extension::walk`], which may be a subprogram.
    fn extensions(&self, offset: usize, protocol: u8) -> Result<Chain, Stop>
    where
        Self: Sized,
    {
        extension::walk(self, offset, protocol)
    }

    /// Index of the interface the frame came by.
    fn ingress(&self) -> u32;
}
