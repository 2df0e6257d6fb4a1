//! The status line of an answer (RFC 9112 §4), which alone decides: read as leniently as browsers do.

/// What the beginning of an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// More is to come before it says anything.
    More,
    /// The head of an interim answer (1xx), which ends here.
    Interim(usize),
    /// The status code, from 101 to 999; its line ends here.
    Status(u16, usize),
    /// It is not HTTP/1; its first line, the part of it that can be shown.
    NotHttp(String),
}

/// The longest line, and the longest head of an interim answer, in bytes.
pub(super) const LONGEST: usize = 8 << 10;
/// Characters of a line that are shown.
const SHOWN: usize = 60;

/// Reads the beginning of an answer; `is_all`: nothing more will come.
pub(super) fn read(bytes: &[u8], is_all: bool) -> Start {
    // Empty lines before it are skipped (RFC 9112 §2.2 asks servers for that; browsers do it too).
    let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let rest = &bytes[blank..];
    let end = rest.iter().position(|byte| *byte == b'\n');
    let line = &rest[..end.unwrap_or(rest.len())];
    if end.is_none() && !is_all && begins_like(line) && bytes.len() < LONGEST {
        return Start::More;
    }
    let Some(code) = code(line) else { return Start::NotHttp(shown(line)) };
    let line_end = blank + end.map_or(rest.len(), |end| end + 1);
    if code == 100 || (102..200).contains(&code) {
        return interim(bytes, line_end, is_all);
    }
    Start::Status(code, line_end)
}

/// Where a head ends whose first line ends here: behind the first empty line. `None`: not yet.
pub(super) fn head_end(bytes: &[u8], line_end: usize) -> Option<usize> {
    let mut at = line_end;
    loop {
        let end = at + bytes.get(at..)?.iter().position(|byte| *byte == b'\n')?;
        if matches!(&bytes[at..end], b"" | b"\r") {
            return Some(end + 1);
        }
        at = end + 1;
    }
}

fn interim(bytes: &[u8], line_end: usize, is_all: bool) -> Start {
    match head_end(bytes, line_end) {
        Some(end) => Start::Interim(end),
        None if is_all || bytes.len() >= LONGEST => {
            Start::NotHttp("an interim answer (1xx) without an end".to_owned())
        }
        None => Start::More,
    }
}

/// Whether a line that is not complete may become a status line.
fn begins_like(line: &[u8]) -> bool {
    line.iter().zip(b"HTTP/1.").all(|(is, wanted)| is.eq_ignore_ascii_case(wanted))
}

/// `HTTP/1.1 200 OK`, where the reason may be missing and blanks may be many.
fn code(line: &[u8]) -> Option<u16> {
    let (version, rest) = line.split_at_checked(8)?;
    if !begins_like(version) || !version[7].is_ascii_digit() || !rest.first()?.is_ascii_whitespace()
    {
        return None;
    }
    let rest = rest.trim_ascii_start();
    let (digits, rest) = rest.split_at_checked(3)?;
    let ends = rest.first().is_none_or(u8::is_ascii_whitespace);
    let code = std::str::from_utf8(digits).ok().filter(|_| ends)?.parse().ok()?;
    (100..=999).contains(&code).then_some(code)
}

fn shown(line: &[u8]) -> String {
    let line = line.trim_ascii_end();
    let text = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]).into_owned();
    let text = text.replace(|c: char| c.is_control(), "\u{fffd}");
    let more = if line.len() > SHOWN { "…" } else { "" };
    format!("it begins with \"{text}{more}\"")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_servers_say() {
        let cases: [(&str, Start); 14] = [
            ("HTTP/1.1 200 OK\r\nX: y", Start::Status(200, 17)),
            ("HTTP/1.0 404\n", Start::Status(404, 13)),
            ("http/1.1 200 ok\n", Start::Status(200, 16)),
            ("\r\n\r\nHTTP/1.1 503  \r\n", Start::Status(503, 20)),
            ("HTTP/1.1   299\tmisc\r\n", Start::Status(299, 21)),
            ("HTTP/1.1 101 Switching\r\n", Start::Status(101, 24)),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2", Start::Interim(25)),
            ("HTTP/1.1 103 Early\r\nLink: </a>", Start::More),
            ("HTTP/1.1 20", Start::More),
            ("HT", Start::More),
            ("", Start::More),
            ("HTTP/1.1 banana\r\n", Start::NotHttp("it begins with \"HTTP/1.1 banana\"".into())),
            ("SSH-2.0-O", Start::NotHttp("it begins with \"SSH-2.0-O\"".into())),
            ("HTTP/1.1 2000 OK\n", Start::NotHttp("it begins with \"HTTP/1.1 2000 OK\"".into())),
        ];
        for (text, start) in cases {
            assert_eq!(read(text.as_bytes(), false), start, "{text:?}");
        }
        assert_eq!(read(b"HTTP/1.1 200", true), Start::Status(200, 12));
        assert!(matches!(read(b"HTTP/1.1 2", true), Start::NotHttp(_)));
        assert!(matches!(read(b"HTTP/1.1 100 C\r\n", true), Start::NotHttp(_)));
        assert!(matches!(read(&[b'\n'; LONGEST], false), Start::NotHttp(_)));
        let long = [&b"HTTP/1.1 "[..], &[b' '; LONGEST]].concat();
        assert!(matches!(read(&long, false), Start::NotHttp(_)));
    }

    proptest! {
        /// Whatever follows the line.
        #[test]
        fn the_line_decides(code in 200_u16..1000, rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let line = format!("HTTP/1.1 {code} x\r\n");
            let answer = [line.as_bytes(), &rest].concat();
            prop_assert_eq!(read(&answer, false), Start::Status(code, line.len()));
        }

        /// More bytes never change what was decided, and nothing waits for ever.
        #[test]
        fn what_is_said_stays_said(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'1')], 0..60),
            begins in any::<bool>(),
            more in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let bytes = if begins { [&b"HTTP/1.1 "[..], &bytes].concat() } else { bytes };
            let start = read(&bytes, false);
            prop_assert_ne!(read(&bytes, true), Start::More);
            if let Start::Status(..) | Start::Interim(_) = start {
                prop_assert_eq!(read(&[&bytes[..], &more].concat(), false), start);
            }
        }
    }
}
