//! A frame in a buffer: the packet path outside of the kernel.

use bytemuck::Pod;

use super::Packet;

/// A frame inside a buffer that leaves room at both ends, as drivers do.
#[derive(Debug)]
pub struct Frame<'b> {
    /// As words, so that the frame starts at an even address.
    buffer: &'b mut [u16],
    start: usize,
    end: usize,
    ingress: u32,
}

impl<'b> Frame<'b> {
    /// Bytes of a buffer before the frame: XDP's headroom.
    pub const HEADROOM: usize = 256;

    /// Copies `bytes` into `buffer`, as if received by the interface `ingress`. `None` where the
    /// buffer does not hold them and the headroom.
    pub fn new(buffer: &'b mut [u16], bytes: &[u8], ingress: u32) -> Option<Self> {
        let end = Self::HEADROOM + bytes.len();
        bytemuck::cast_slice_mut::<u16, u8>(buffer)
            .get_mut(Self::HEADROOM..end)?
            .copy_from_slice(bytes);
        Some(Self { buffer, start: Self::HEADROOM, end, ingress })
    }

    /// The frame.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(self.buffer)[self.start..self.end]
    }

    fn range(&self, offset: usize, size: usize) -> Option<core::ops::Range<usize>> {
        let from = self.start.checked_add(offset)?;
        let to = from.checked_add(size)?;
        (to <= self.end).then_some(from..to)
    }
}

impl Packet for Frame<'_> {
    fn length(&self) -> u32 {
        (self.end - self.start) as u32
    }

    fn view<H: Pod>(&self, offset: usize) -> Option<&H> {
        let range = self.range(offset, size_of::<H>())?;
        bytemuck::try_from_bytes(&bytemuck::cast_slice(self.buffer)[range]).ok()
    }

    fn view_mut<H: Pod>(&mut self, offset: usize) -> Option<&mut H> {
        let range = self.range(offset, size_of::<H>())?;
        bytemuck::try_from_bytes_mut(&mut bytemuck::cast_slice_mut(self.buffer)[range]).ok()
    }

    fn grow_head(&mut self, bytes: u32) -> Option<()> {
        self.start = self.start.checked_sub(bytes as usize)?;
        Some(())
    }

    fn shrink_head(&mut self, bytes: u32) -> Option<()> {
        let start = self.start.checked_add(bytes as usize)?;
        (start <= self.end).then(|| self.start = start)
    }

    fn set_len(&mut self, length: u32) -> Option<()> {
        let end = self.start + length as usize;
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(self.buffer);
        let longer = self.end..end.max(self.end);
        bytes.get_mut(longer)?.fill(0);
        self.end = end;
        Some(())
    }

    fn ingress(&self) -> u32 {
        self.ingress
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::Ethernet;
    use super::*;

    #[test]
    fn views_end_with_the_frame() {
        let mut buffer = [0u16; 256];
        let mut frame = Frame::new(&mut buffer, &[7; 20], 3).unwrap();
        assert!(frame.view::<Ethernet>(6).is_some());
        assert!(frame.view::<Ethernet>(7).is_none());
        assert!(frame.view::<Ethernet>(usize::MAX).is_none());
        assert!(frame.grow_head(257).is_none());
        frame.grow_head(20).unwrap();
        assert_eq!((frame.length(), &frame.bytes()[20..]), (40, &[7u8; 20][..]));
        frame.set_len(44).unwrap();
        assert_eq!(&frame.bytes()[40..], [0; 4]);
        assert!(frame.set_len(1000).is_none());
        frame.set_len(4).unwrap();
        assert_eq!((frame.length(), frame.ingress()), (4, 3));
    }
}
