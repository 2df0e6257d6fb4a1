//! Listeners that go by the connection ids of QUIC.

use elb_common::hash;
use elb_common::listener::CidPart;
use elb_common::quic::{MAX_CID, ServerIdKey, digest};

use super::*;

const PART: CidPart = CidPart { offset: 1, length: 2 };

/// Bytes 2 and 3 of connection ids count, and a0b0 names member 2, which is not the slots' owner.
fn by_id(slot: ring::Slot) -> Memory {
    let record = Record {
        algorithm: algorithm::CONNECTION_ID,
        flags: listener_flags::SERVER_IDS,
        cid: PART,
        ..Record::default()
    };
    let mut memory = memory_with(slot, record);
    memory.servers.insert(ServerIdKey::new(part(&[0xa0, 0xb0]), 4), 2);
    memory
}

/// The digest of a connection id's part.
fn part(bytes: &[u8]) -> u64 {
    let mut whole = [0x77; MAX_CID];
    whole[..bytes.len()].copy_from_slice(bytes);
    digest(&whole, bytes.len().try_into().unwrap())
}

fn datagram(cid: Option<&str>) -> ExplainRequest {
    let cid = cid.map(|cid| cid.parse().unwrap());
    ExplainRequest { cid, ..question("2001:db8::7", "[2001:db8::10]:443", TransportProtocol::Udp) }
}

#[test]
fn a_connection_id_is_hashed() {
    let memory = by_id(ring::Slot::new(1, 0));
    let explained = ask(&datagram(Some("00A1b1")), &memory);
    assert_eq!((explained.packet.length, explained.decision.fate.as_str()), (89, "forwarded"));
    let id = explained.connection_id.unwrap();
    assert_eq!((id.given, id.offset, id.length, id.missing), (true, 1, 2, 0));
    assert_eq!((id.part.map(String::from), id.decides), (Some("a1b1".to_owned()), false));
    let slot = explained.slot.unwrap();
    let hash = hash::digest(part(&[0xa1, 0xb1]));
    assert_eq!((slot.hash, slot.index), (hash, ring::index(hash, SLOTS)));
    assert_eq!((explained.named, explained.backend.unwrap().member.number), (None, 1));

    let elsewhere = question("2001:db8::9:1", "[2001:db8::10]:443", TransportProtocol::Udp);
    let cid = Some("ffa1b10000".parse().unwrap());
    assert_eq!(ask(&ExplainRequest { cid, ..elsewhere }, &memory).slot.unwrap(), slot);
    let short = ask(&datagram(Some("00a1")), &memory);
    assert_eq!(short.connection_id.unwrap().missing, 1);
    assert_eq!(short.slot.unwrap().hash, hash::digest(part(&[0xa1, 0])));
}

#[test]
fn a_server_id_names_its_member() {
    let memory = by_id(ring::Slot::new(1, 0));
    let explained = ask(&datagram(Some("11a0b022")), &memory);
    assert!(explained.connection_id.unwrap().decides);
    assert_eq!((explained.named.unwrap().number, explained.backend.unwrap().member.number), (2, 2));
    assert_eq!((explained.slot, explained.flow), (None, None));
    // Wherever the payload ends.
    let long = ask(&ExplainRequest { size: Some(1400), ..datagram(Some("11a0b022")) }, &memory);
    assert_eq!((long.packet.length, long.backend.unwrap().member.number), (1400, 2));
}

#[test]
fn a_connection_id_of_a_member_that_does_not_serve_is_hashed() {
    let mut memory = by_id(ring::Slot::new(1, 0));
    memory.backends.get_mut(&2).unwrap().flags &= !backend_flags::ESTABLISHED;
    let explained = ask(&datagram(Some("11a0b0")), &memory);
    assert!(!explained.connection_id.unwrap().decides);
    assert_eq!((explained.named.unwrap().number, explained.backend.unwrap().member.number), (2, 1));
    assert_eq!(explained.slot.unwrap().owner.unwrap().number, 1);
}

#[test]
fn without_a_connection_id_the_addresses_decide() {
    let memory = by_id(ring::Slot::new(1, 0));
    // Zeroes behind the headers are none either.
    for size in [None, Some(49), Some(54), Some(1400)] {
        let explained = ask(&ExplainRequest { size, ..datagram(None) }, &memory);
        let id = explained.connection_id.unwrap();
        assert_eq!((id.given, id.part, id.length, id.decides), (false, None, 2, false));
        let key = Key::new(explained.packet.source, explained.packet.destination, 17);
        let slot = explained.slot.unwrap();
        assert_eq!(slot.hash, key.hash(algorithm::CONNECTION_ID), "{size:?}");
        assert_eq!(slot.index, ring::index(slot.hash, SLOTS), "{size:?}");
    }
}

#[test]
fn other_listeners_go_by_no_connection_id() {
    let memory = memory(ring::Slot::new(1, 0));
    let explained = ask(&datagram(Some("11a0b0")), &memory);
    assert_eq!(explained.connection_id, None);
    let key = Key::new(explained.packet.source, explained.packet.destination, 17);
    assert_eq!(explained.slot.unwrap().hash, key.hash(algorithm::FIVE_TUPLE));
}

#[test]
fn a_connection_is_recorded_by_its_id_on_a_moving_slot() {
    let memory = by_id(ring::Slot::new(1, 2));
    let explained = ask(&datagram(Some("11a1b1")), &memory);
    let slot = explained.slot.unwrap();
    assert_eq!((slot.moving, slot.hash), (true, hash::digest(part(&[0xa1, 0xb1]))));
    let entry = explained.flow.unwrap();
    assert_eq!((entry.recorded, entry.records.map(|member| member.number)), (None, Some(1)));
    // The memory writes it down: the same id from elsewhere finds it.
    let elsewhere = question("2001:db8::9", "[2001:db8::10]:443", TransportProtocol::Udp);
    let cid = Some("00a1b1".parse().unwrap());
    let again = ask(&ExplainRequest { cid, ..elsewhere }, &memory).flow.unwrap();
    assert_eq!(again.recorded.map(|member| member.number), Some(1));
}
