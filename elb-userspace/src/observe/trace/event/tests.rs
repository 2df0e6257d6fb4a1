//! Tests of `event`.

use std::net::IpAddr;

use super::*;
use crate::observe::trace::{Filter, TraceRequest};

/// A UDP packet, 10.0.0.1:4096 to 10.0.0.2:80.
const FRAME: [u8; 42] = [
    2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0, // Ethernet
    0x45, 0, 0, 28, 0, 0, 0, 0, 9, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, // IP
    0x10, 0, 0, 80, 0, 8, 0, 0, // UDP
];

fn record(reason: u32) -> Record {
    Record {
        time: 1_500_000_000,
        ingress: 3,
        reason,
        listener: NO_LISTENER,
        received: 42,
        received_bytes: 42,
        ..Record::default()
    }
}

fn entry(record: Record, sent: &[u8]) -> Vec<u8> {
    let record = Record {
        sent: u32::try_from(sent.len()).unwrap(),
        sent_bytes: u32::try_from(sent.len()).unwrap(),
        ..record
    };
    [bytemuck::bytes_of(&record), &FRAME, sent].concat()
}

#[test]
fn a_dropped_packet() {
    let bytes = entry(Record { backend: 4, ..record(Reason::NoBackend as u32) }, &[]);
    let raw = Raw::read(&bytes).unwrap();
    let event = raw.event(&Names::default(), SystemTime::UNIX_EPOCH, true);
    assert_eq!(event.time, "1970-01-01T00:00:01.500000000Z");
    assert_eq!((event.interface.as_str(), event.protocol.as_str()), ("#3", "udp"));
    assert_eq!(event.source.as_deref(), Some("10.0.0.1:4096"));
    assert_eq!(event.destination.as_deref(), Some("10.0.0.2:80"));
    assert_eq!((event.fate.as_str(), event.reason.as_deref()), ("dropped", Some("no_backend")));
    assert_eq!((event.listener, event.sent, event.sent_bytes), (None, None, None));
    assert_eq!(event.member, None, "the one that was looked at was not chosen");
    assert_eq!(event.received_bytes, Some(Bytes(FRAME.to_vec())));
}

#[test]
fn a_forwarded_packet_and_who_asked_for_it() {
    let forwarded = Record { listener: 5, backend: 4, egress: 3, ..record(FORWARDED) };
    let bytes = entry(forwarded, &[7; 42]);
    let raw = Raw::read(&bytes).unwrap();
    let event = raw.event(&Names::default(), SystemTime::UNIX_EPOCH, false);
    assert_eq!((event.fate.as_str(), event.member.unwrap().number), ("forwarded", 4));
    assert_eq!(event.listener.as_deref(), Some("#5"));
    assert_eq!(event.sent.unwrap().next_hop_mac, "07:07:07:07:07:07");
    assert_eq!((event.received_bytes, event.sent_bytes), (None, None));

    let wants =
        |request: TraceRequest| Filter::new(&request, &Names::default()).unwrap().wants(&raw);
    assert!(wants(TraceRequest::default()));
    assert!(wants(TraceRequest { vip: Some([10, 0, 0, 2].into()), ..TraceRequest::default() }));
    assert!(!wants(TraceRequest { vip: Some([10, 0, 0, 1].into()), ..TraceRequest::default() }));
    let reason = Some("no_backend".parse().unwrap());
    assert!(!wants(TraceRequest { reason, ..TraceRequest::default() }));
}

/// The answer of the member 10.0.0.1:4096 to the client 10.0.0.2:80, from the virtual address 10.0.0.3:4096.
#[test]
fn an_answer_is_of_the_client_and_of_the_virtual_address_that_it_gets() {
    let mut sent = FRAME;
    sent[29] = 3;
    let forwarded = Record { listener: 5, backend: 4, egress: 3, ..record(FORWARDED) };
    let translated = entry(forwarded, &sent);
    let raw = Raw::read(&translated).unwrap();
    let event = raw.event(&Names::default(), SystemTime::UNIX_EPOCH, false);
    let now = event.translated.unwrap();
    assert_eq!(now.source, "10.0.0.3:4096".parse().unwrap());
    assert_eq!(event.source.as_deref(), Some("10.0.0.1:4096"));
    let wants = |raw: &Raw<'_>, vip: Option<u8>, client: Option<u8>| {
        let address = |last: u8| IpAddr::from([10, 0, 0, last]);
        let (vip, client) = (vip.map(address), client.map(|last| address(last).into()));
        let request = TraceRequest { vip, client, ..TraceRequest::default() };
        Filter::new(&request, &Names::default()).unwrap().wants(raw)
    };
    assert!(wants(&raw, None, Some(2)) && wants(&raw, Some(3), Some(2)));
    assert!(!wants(&raw, Some(9), Some(2)) && !wants(&raw, Some(3), Some(9)));

    // What the kernel gets, and what is no answer of a known one, has no virtual address.
    let handed_over = entry(Record { egress: 0, ..forwarded }, &[]);
    let lost = entry(record(Reason::NoRoute as u32), &[]);
    for bytes in [handed_over, lost] {
        let raw = Raw::read(&bytes).unwrap();
        assert!(wants(&raw, None, Some(2)) && !wants(&raw, Some(3), Some(2)));
    }
    // Nor is what just passes.
    let passed = entry(record(Reason::NotVip as u32), &[]);
    assert!(!wants(&Raw::read(&passed).unwrap(), None, Some(2)));
}

#[test]
fn broken_entries_are_none() {
    let bytes = entry(record(0), &[1; 9]);
    assert!(Raw::read(&bytes[..bytes.len() - 1]).is_none());
    assert!(Raw::read(&bytes[..20]).is_none());
}

#[test]
fn bytes_in_hex() {
    assert_eq!(String::from(Bytes(vec![0, 0xa1])), "00a1");
    assert_eq!(Bytes::try_from("00a1".to_owned()), Ok(Bytes(vec![0, 0xa1])));
    for wrong in ["0", "0g", "é1"] {
        assert!(Bytes::try_from(wrong.to_owned()).is_err(), "{wrong}");
    }
}
