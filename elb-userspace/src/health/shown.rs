//! Bytes of a member as a person may read them: shortened, and without what would change a terminal.

use std::fmt::Write as _;

/// Characters that are shown; the last may be an escape and take more.
const MOST: usize = 50;

/// The beginning of what came, without its quotes; other bytes than text are written as in `\xff`.
pub(super) fn shown(bytes: &[u8]) -> String {
    shown_up_to(bytes, MOST)
}

/// The same, of so many characters.
pub(super) fn shown_up_to(bytes: &[u8], most: usize) -> String {
    let mut text = String::new();
    let is_full = |text: &str| text.chars().count() >= most;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_full(&text) {
                return text + "…";
            }
            match c {
                // A quote is no end here, and a backslash of the member's is no escape of ours.
                '\'' => text.push(c),
                c => text.extend(c.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            if is_full(&text) {
                return text + "…";
            }
            // Writing to a text cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_members_say() {
        for (bytes, text) in [
            (&b"+PONG\r\n"[..], r"+PONG\r\n"),
            (b"a \"b\" 'c' \\", r#"a \"b\" 'c' \\"#),
            (b"\x1b[2J\0\xff\xfe", r"\u{1b}[2J\0\xff\xfe"),
            ("über 你好".as_bytes(), "über 你好"),
            (b"", ""),
        ] {
            assert_eq!(shown(bytes), text);
        }
        assert_eq!(shown(&[b'a'; 50]), "a".repeat(50));
        assert_eq!(shown(&[b'a'; 51]), "a".repeat(50) + "…");
    }

    proptest! {
        #[test]
        fn is_short_and_harmless(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = shown(&bytes);
            prop_assert!(text.chars().count() <= MOST + 10);
            prop_assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }
}
