//! Tests of `tls`.

use super::*;

#[test]
fn alerts_are_words() {
    assert_eq!(words("HandshakeFailure"), "handshake failure");
    assert_eq!(words("NoApplicationProtocol"), "no application protocol");
    assert_eq!(words("Unknown(200)"), "unknown(200)");
}
