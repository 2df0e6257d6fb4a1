//! The frames, byte by byte, and what counts as an answer.

use elb_common::checksum;

use super::*;

const MAC: Mac = Mac::new([2, 0, 0, 0, 0, 9]);
const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const ADVERTISEMENT: u8 = 136;
const SOLICITATION: u8 = 135;

#[test]
fn gratuitous_arp_claims_the_address_and_a_probe_claims_nothing() {
    for (frame, sender) in [(gratuitous_arp(MAC, VIP), VIP.octets()), (arp_probe(MAC, VIP), [0; 4])]
    {
        assert_eq!(frame[..14], [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 9, 8, 6]);
        assert_eq!(frame[14..22], [0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!(frame[22..32], [&MAC.bytes()[..], &sender].concat());
        assert_eq!(frame[32..], [0, 0, 0, 0, 0, 0, 192, 0, 2, 10]);
        assert_eq!(answer(&frame), None);
    }
}

/// Length of the message, type, hop limit and checksum of a frame of neighbour discovery.
fn check(frame: &[u8], length: u8, kind: u8) {
    assert_eq!((frame.len(), frame[54], frame[21]), (14 + 40 + usize::from(length), kind, 255));
    let covered = [&frame[22..54], &[0, 0, 0, length, 0, 0, 0, 58], &frame[54..]].concat();
    let sum = covered.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    assert_eq!(checksum::finish(sum), 0);
}

#[test]
fn an_unsolicited_advertisement_overrides_what_was_known() {
    let vip: Ipv6Addr = "2001:db8::10".parse().unwrap();
    let frame = unsolicited_advertisement(MAC, vip);
    check(&frame, 32, ADVERTISEMENT);
    assert_eq!(frame[58..62], [0x20, 0, 0, 0]);
    assert_eq!(frame[62..78], vip.octets());
    assert_eq!(frame[78..], [2, 1, 2, 0, 0, 0, 0, 9]);
    assert_eq!(answer(&frame), Some((vip.into(), MAC)));
}

#[test]
fn a_solicitation_goes_to_the_group_of_the_address() {
    let vip: Ipv6Addr = "2001:db8::12:3456".parse().unwrap();
    let frame = solicitation(MAC, vip);
    check(&frame, 24, SOLICITATION);
    assert_eq!(frame[..6], solicited_node_mac(vip).bytes());
    assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
    assert_eq!(frame[38..54], "ff02::1:ff12:3456".parse::<Ipv6Addr>().unwrap().octets());
    assert_eq!(answer(&frame), None);
}

#[test]
fn an_answer_says_whose_the_address_is() {
    let mut reply = gratuitous_arp(MAC, VIP);
    reply[21] = 2;
    assert_eq!(answer(&reply), Some((VIP.into(), MAC)));
    let advertisement = unsolicited_advertisement(MAC, "2001:db8::10".parse().unwrap());
    for frame in [reply, advertisement] {
        for length in 0..frame.len() {
            assert_eq!(answer(&frame[..length]), None, "{length}");
        }
    }
}
