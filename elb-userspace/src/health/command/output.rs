//! What a command prints: its first line is kept, the rest is read and thrown away, up to a bound.

use crate::health::shown::shown_up_to;

/// Bytes in which the first line is looked for.
const KEPT: usize = 4096;
/// Characters of it that are shown.
const SHOWN: usize = 200;
/// Bytes that a command may print.
pub(super) const MOST: u64 = 1 << 20;

/// What was printed until now.
#[derive(Default)]
pub(super) struct Output {
    begin: Vec<u8>,
    bytes: u64,
}

impl Output {
    /// More came; false: it is too much.
    pub(super) fn take(&mut self, more: &[u8]) -> bool {
        let room = KEPT.saturating_sub(self.begin.len()).min(more.len());
        self.begin.extend(more.iter().take(room));
        self.bytes = self.bytes.saturating_add(more.len() as u64);
        self.bytes <= MOST
    }

    /// The first line that is not empty, shortened and harmless.
    pub(super) fn first_line(&self) -> String {
        let mut lines = self.begin.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        lines
            .find(|line| !line.is_empty())
            .map_or_else(String::new, |line| shown_up_to(line, SHOWN))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_line_counts() {
        for (printed, line) in [
            (&b""[..], ""),
            (b"\n\n", ""),
            (b"too few replicas\nand more\n", "too few replicas"),
            (b"\r\n  no primary \n", "no primary"),
            (b"\x1b[2J", r"\u{1b}[2J"),
        ] {
            let mut output = Output::default();
            assert!(output.take(printed));
            assert_eq!(output.first_line(), line);
        }
    }

    proptest! {
        #[test]
        fn is_bounded(pieces in prop::collection::vec(0..300_000_usize, 0..10)) {
            let mut output = Output::default();
            let fits = pieces.iter().all(|bytes| output.take(&vec![b'a'; *bytes]));
            prop_assert_eq!(fits, pieces.iter().sum::<usize>() as u64 <= MOST);
            prop_assert!(output.begin.len() <= KEPT);
            prop_assert!(output.first_line().chars().count() <= 210);
        }
    }
}
