//! Tests of `hello`.

use std::io::Cursor;

use proptest::prelude::*;
use tokio_rustls::rustls::server::Acceptor;

use super::*;

/// A ServerHello of a version with a suite.
fn hello(version: u16, suite: u16) -> Vec<u8> {
    let mut record = vec![HANDSHAKE, 3, 1];
    sized::<2>(&mut record, |record| {
        record.push(SERVER_HELLO);
        sized::<3>(record, |hello| {
            hello.extend(version.to_be_bytes());
            hello.extend([7; 32]);
            sized::<1>(hello, |id| id.extend([1, 2, 3]));
            hello.extend(suite.to_be_bytes());
            hello.push(0);
        });
    });
    record
}

fn read(bytes: &[u8]) -> Option<Option<Answer>> {
    answer(bytes).ok()
}

#[test]
fn answers() {
    let whole = hello(0x0301, 0x002f);
    let said = Answer::Hello { version: 0x0301, suite: Some(0x002f) };
    assert_eq!(read(&whole), Some(Some(said)));
    for end in 0..whole.len() - 1 {
        assert_eq!(read(&whole[..end]), Some(None), "{end}");
    }
    let alert = |level, alert| [ALERT, 3, 0, 0, 2, level, alert];
    let refused = Answer::Alert(AlertDescription::HandshakeFailure);
    assert_eq!(read(&alert(2, 40)), Some(Some(refused)));
    assert_eq!(read(&alert(1, 112)), Some(None));
    assert_eq!(read(&[&alert(1, 112)[..], &whole].concat()), Some(Some(said)));
    // In two records: the beginning is enough.
    let piece = [HANDSHAKE, 3, 3, 0, 6, SERVER_HELLO, 0, 0, 40, 3, 3];
    let cut = Answer::Hello { version: 0x0303, suite: None };
    assert_eq!(read(&piece), Some(Some(cut)));
    for other in [
        &b"HTTP/1.1 400"[..],
        b"220 mail",
        &[22, 3, 3, 0, 0],
        &[22, 3, 3, 0, 4, 0],
        &[22, 2, 0, 0, 1, 2],
    ] {
        assert_eq!(read(other), None, "{other:?}");
    }
}

#[test]
fn a_server_of_today_understands_it() {
    for name in [None, Some("www.example.com"), Some("a_b")] {
        let record = client_hello(name, &[5; 64]);
        assert!(record.len() > 5 + 511, "{}", record.len());
        let mut acceptor = Acceptor::default();
        acceptor.read_tls(&mut Cursor::new(&record)).unwrap();
        let accepted = acceptor.accept().map_err(|(error, _)| error).unwrap().unwrap();
        assert_eq!(accepted.client_hello().server_name(), name);
        assert_eq!(accepted.client_hello().cipher_suites().len(), SUITES.len());
    }
}

proptest! {
    #[test]
    fn nothing_that_is_sent_breaks_it(
        kind in prop_oneof![Just(ALERT), Just(HANDSHAKE), any::<u8>()],
        bytes in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let _ = answer(&[&[kind, 3, 3, 0][..], &bytes].concat());
        let _ = answer(&bytes);
    }
}
