//! The opening of TLS in the words of every client that there is: versions 1.0 to 1.3, and the suites of
//! twenty years. Nothing is agreed on with it; it shows whether a server answers.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::rustls::AlertDescription;
use tokio_rustls::rustls::crypto::ring;

/// What is offered, in words.
pub(super) const OFFERED: &str =
    "TLS 1.0 to 1.3 with suites of ECDHE, DHE and RSA, CBC ones included";

/// How a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It goes on with the handshake, in this version (of a record) and, if that was seen, suite.
    Hello { version: u16, suite: Option<u16> },
    /// It refuses.
    Alert(AlertDescription),
}

/// Bytes of an answer that are looked at.
const MOST: usize = 1024;
/// What else there is than TLS.
struct NotTls;

/// Asks; `None`: what comes back is not TLS, or nothing.
pub(super) async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    name: Option<&str>,
) -> io::Result<Option<Answer>> {
    let mut random = [0; 64];
    let filled = ring::default_provider().secure_random.fill(&mut random);
    filled.map_err(|_| io::Error::other("no random bytes"))?;
    stream.write_all(&client_hello(name, &random)).await?;
    let mut bytes = Vec::with_capacity(MOST);
    while bytes.len() < MOST {
        if stream.read_buf(&mut bytes).await? == 0 {
            break;
        }
        match answer(&bytes) {
            Ok(Some(answer)) => return Ok(Some(answer)),
            Ok(None) => {}
            Err(NotTls) => return Ok(None),
        }
    }
    Ok(None)
}

/// A version as people call it.
pub(super) const fn version_name(version: u16) -> &'static str {
    match version {
        0x0300 => "SSL 3.0",
        0x0301 => "TLS 1.0",
        0x0302 => "TLS 1.1",
        _ => "TLS 1.2",
    }
}

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const SERVER_HELLO: u8 = 2;
const WARNING: u8 = 1;
const RECORD_HEADER: usize = 5;
/// The largest record of any version (RFC 5246 §6.2.3).
const LARGEST: usize = (1 << 14) + 2048;

/// Reads records from the first; `None`: more is to come.
fn answer(mut bytes: &[u8]) -> Result<Option<Answer>, NotTls> {
    loop {
        let Some((header, rest)) = bytes.split_at_checked(RECORD_HEADER) else {
            let begins = bytes.first().is_none_or(|kind| matches!(*kind, ALERT | HANDSHAKE));
            return if begins { Ok(None) } else { Err(NotTls) };
        };
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if header[1] != 3 || length == 0 || length > LARGEST {
            return Err(NotTls);
        }
        let fragment = rest.get(..length);
        match header[0] {
            HANDSHAKE => return server_hello(fragment.unwrap_or(rest), fragment.is_some()),
            ALERT if length == 2 => match fragment {
                None => return Ok(None),
                // Such as "unrecognized name", which some servers send before they go on.
                Some([WARNING, alert]) if *alert != 0 => bytes = &rest[length..],
                Some(alert) => return Ok(Some(Answer::Alert(AlertDescription::from(alert[1])))),
            },
            _ => return Err(NotTls),
        }
    }
}

/// Reads what is there of a message; `is_all`: of this record there is no more.
fn server_hello(message: &[u8], is_all: bool) -> Result<Option<Answer>, NotTls> {
    match message.first() {
        None => return Ok(None),
        Some(kind) if *kind != SERVER_HELLO => return Err(NotTls),
        Some(_) => {}
    }
    // Type, length, version, random, length of the session's id, the id, suite.
    let word = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    let version = word(4);
    let suite = message.get(38).and_then(|id| word(39 + usize::from(*id)));
    if suite.is_none() && !is_all {
        return Ok(None);
    }
    Ok(Some(Answer::Hello { version: version.unwrap_or(0x0303), suite }))
}

/// The record that opens a handshake (RFC 8446 §4.1.2), of more than 511 bytes since some servers hang
/// on one that is a little shorter (RFC 7685).
fn client_hello(name: Option<&str>, random: &[u8; 64]) -> Vec<u8> {
    let (random, session) = random.split_at(32);
    let mut record = vec![HANDSHAKE, 3, 1];
    sized::<2>(&mut record, |record| {
        record.push(1);
        sized::<3>(record, |hello| {
            hello.extend([3, 3]);
            hello.extend(random);
            sized::<1>(hello, |hello| hello.extend(session));
            words(hello, &SUITES);
            hello.extend([1, 0]);
            sized::<2>(hello, |all| extensions(all, name));
        });
    });
    record
}

fn extensions(all: &mut Vec<u8>, name: Option<&str>) {
    if let Some(name) = name {
        extension(all, 0, |names| {
            sized::<2>(names, |names| {
                names.push(0);
                sized::<2>(names, |host| host.extend(name.as_bytes()));
            });
        });
    }
    extension(all, 10, |groups| words(groups, &GROUPS));
    extension(all, 11, |formats| formats.extend([3, 0, 1, 2]));
    extension(all, 13, |schemes| words(schemes, &SCHEMES));
    extension(all, 23, |_| {});
    extension(all, 43, |versions| {
        sized::<1>(versions, |versions| versions.extend([3, 4, 3, 3, 3, 2, 3, 1]));
    });
    // No key yet: a server of 1.3 answers which kind it wants (HelloRetryRequest).
    extension(all, 51, |keys| keys.extend([0, 0]));
    let missing = LEAST.saturating_sub(all.len() + 4);
    extension(all, 21, |padding| padding.resize(padding.len() + missing, 0));
}

/// Bytes of the whole record: its header, and more than 511.
const LEAST: usize = 520;

fn extension(all: &mut Vec<u8>, kind: u16, content: impl FnOnce(&mut Vec<u8>)) {
    all.extend(kind.to_be_bytes());
    sized::<2>(all, content);
}

fn words(out: &mut Vec<u8>, words: &[u16]) {
    sized::<2>(out, |out| out.extend(words.iter().flat_map(|word| word.to_be_bytes())));
}

/// Writes a content behind its length, which has `N` bytes.
fn sized<const N: usize>(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; N]);
    content(out);
    let length = (out.len() - start - N).to_be_bytes();
    out[start..start + N].copy_from_slice(&length[length.len() - N..]);
}

/// IANA's TLS Cipher Suites, without those of no key exchange, no encryption, or shared keys.
const SUITES: [u16; 74] = [
    0x1301, 0x1302, 0x1303, 0x1304, 0x1305, // TLS 1.3
    0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc0ac, 0xc0ad, 0xc0ae,
    0xc0af, // ECDHE, AEAD
    0xc023, 0xc027, 0xc024, 0xc028, 0xc009, 0xc013, 0xc00a, 0xc014, // ECDHE, CBC
    0xc072, 0xc073, 0xc076, 0xc077, 0xc05c, 0xc05d, 0xc060,
    0xc061, // ECDHE, Camellia and ARIA
    0x009e, 0x009f, 0xccaa, 0xc09e, 0xc09f, 0x0067, 0x006b, 0x0033, 0x0039, // DHE_RSA
    0x0045, 0x0088, 0x00a2, 0x00a3, 0x0040, 0x006a, 0x0032,
    0x0038, // DHE_RSA Camellia, DHE_DSS
    0x009c, 0x009d, 0xc09c, 0xc09d, 0x003c, 0x003d, 0x002f, 0x0035, 0x0041, 0x0084,
    0x0096, // RSA
    0xc004, 0xc005, 0xc00e, 0xc00f, 0xc025, 0xc029, 0xc02d, 0xc031, // ECDH
    0xc012, 0x0016, 0x000a, 0xc011, 0x0005, 0x0004, // Triple DES and RC4
    0x00ff, // that we know of renegotiation
];

/// Curves and finite fields, the usual ones first.
const GROUPS: [u16; 12] =
    [0x1d, 0x17, 0x18, 0x19, 0x1e, 0x100, 0x101, 0x102, 0x16, 0x1a, 0x1b, 0x1c];

/// Signatures: ECDSA, RSA-PSS, RSA, EdDSA, and with SHA-1, as DSA.
const SCHEMES: [u16; 20] = [
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b, 0x0401,
    0x0501, 0x0601, 0x0301, 0x0303, 0x0203, 0x0201, 0x0202, 0x0402,
];

#[cfg(test)]
mod tests;
