//! A long text in pages of a fixed size: it grows without being copied, and is sent page by page.

use std::io;

use hyper::body::Bytes;

/// Bytes of a page.
const PAGE: usize = 64 << 10;

/// A text that was written down.
#[derive(Debug, Default)]
pub struct Pages {
    full: Vec<Bytes>,
    last: Vec<u8>,
}

impl Pages {
    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.full.iter().map(Bytes::len).sum::<usize>() + self.last.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The page with this number, from 0 on.
    pub fn page(&self, number: usize) -> Option<Bytes> {
        let last = (!self.last.is_empty()).then_some(&self.last);
        match self.full.get(number) {
            Some(page) => Some(page.clone()),
            None if number == self.full.len() => last.map(|last| Bytes::copy_from_slice(last)),
            None => None,
        }
    }
}

impl io::Write for Pages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.last.capacity() == 0 {
            self.last.reserve_exact(PAGE);
        }
        let taken = bytes.len().min(PAGE - self.last.len());
        self.last.extend_from_slice(&bytes[..taken]);
        if self.last.len() == PAGE {
            self.full.push(std::mem::take(&mut self.last).into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn pages_are_what_was_written() {
        for length in [0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE, 3 * PAGE + 7] {
            let text: Vec<u8> = (0..length).map(|n| n.to_le_bytes()[0]).collect();
            let mut pages = Pages::default();
            for part in text.chunks(1_000) {
                pages.write_all(part).unwrap();
            }
            let read: Vec<Bytes> = (0..).map_while(|number| pages.page(number)).collect();
            assert_eq!((read.concat(), pages.len()), (text, length));
        }
    }
}
