//! Tests of `holders`.

use super::*;

const MAC: Mac = Mac::new([2, 0, 0, 0, 0, 9]);

#[test]
fn a_probe_claims_nothing() {
    let frame = probe(MAC, Ipv4Addr::new(192, 0, 2, 10));
    assert_eq!(frame[..14], [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 9, 8, 6]);
    assert_eq!(frame[20..22], [0, 1]);
    assert_eq!(frame[22..], [2, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 10]);
    assert_eq!(answer(&frame), None);
}

#[test]
fn a_solicitation_has_a_correct_checksum() {
    let frame = solicitation(MAC, "2001:db8::12:3456".parse().unwrap());
    assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
    assert_eq!((frame.len(), frame[54], frame[21]), (14 + 40 + 24, SOLICITATION, 255));
    let covered = [&frame[22..54], &[0, 0, 0, 24, 0, 0, 0, 58], &frame[54..]].concat();
    let sum = covered.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    assert_eq!(checksum::finish(sum), 0);
    assert_eq!(answer(&frame), None);
}

#[test]
fn an_answer_says_whose_the_address_is() {
    let mut reply = probe(MAC, Ipv4Addr::UNSPECIFIED);
    reply[21] = 2;
    reply[28..32].copy_from_slice(&[192, 0, 2, 10]);
    assert_eq!(answer(&reply), Some(("192.0.2.10".parse().unwrap(), MAC)));
    let mut advertisement = solicitation(MAC, "2001:db8::10".parse().unwrap());
    advertisement[54] = ADVERTISEMENT;
    assert_eq!(answer(&advertisement), Some(("2001:db8::10".parse().unwrap(), MAC)));
    for length in 0..advertisement.len() - 1 {
        assert_eq!(answer(&advertisement[..length]), None);
    }
}
