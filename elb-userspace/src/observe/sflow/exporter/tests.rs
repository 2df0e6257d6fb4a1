//! What is sent to a collector, and what of it is said to be lost.

use super::*;
use crate::source::sflow::{DiscardsPerSecond, SamplingRate};

fn settings(collector: SocketAddr) -> SflowSettings {
    SflowSettings {
        collector,
        agent_address: None,
        sampling_rate: SamplingRate::constant(400),
        discards_per_second: DiscardsPerSecond::constant(3),
    }
}

fn refusal() -> FlowEvent {
    let reason = Reason::AccessDenied as u32;
    FlowEvent { ingress: 9, length: 60, reason, ..FlowEvent::default() }
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect()
}

#[test]
fn what_is_lost_is_in_the_next_sample_of_its_kind() {
    let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (now, mut sent) = (Instant::now(), SflowSent::default());
    let to = collector.local_addr().unwrap();
    let mut exporter = SflowExporter::new(settings(to), [100, 50], now);
    exporter.lost([101, 57]);
    let sample = FlowEvent {
        data: 380,
        known: known::SAMPLE | known::LENGTH,
        reason: FORWARDED,
        ..refusal()
    };
    (0..5).for_each(|_| exporter.note(&refusal(), &[], now, &mut sent));
    exporter.note(&sample, &[1; 8], now, &mut sent);
    exporter.flush(now, &mut sent);
    let wanted = SflowSent { flows: 1, discards: 3, limited: 2, ..SflowSent::default() };
    assert_eq!(sent, wanted);
    let mut buffer = [0; 2_048];
    let length = collector.recv(&mut buffer).unwrap();
    let said = words(&buffer[..length]);
    assert_eq!(said[..7], [5, 1, 0x7f00_0001, 0, 1, 0, 4]);
    let refused = |sequence| [5, 32, sequence, 0, 9, 1, 9, 0, 258, 0];
    assert_eq!(said[7..37], [refused(1), refused(2), refused(3)].concat());
    assert_eq!(said[37..45], [3, 76, 1, 0, 9, 400, 380, 7]);

    // Another second: the two beyond the limit are in it, too.
    let later = now + Duration::from_millis(1_001);
    exporter.note(&refusal(), &[], later, &mut sent);
    exporter.flush(later, &mut sent);
    let length = collector.recv(&mut buffer).unwrap();
    assert_eq!(words(&buffer[..length])[4..13], [2, 1_001, 1, 5, 32, 4, 0, 9, 3]);
}

#[test]
fn what_nobody_takes_is_lost_and_tried_again() {
    let (now, mut sent) = (Instant::now(), SflowSent::default());
    let nowhere = SflowSettings {
        agent_address: Some([192, 0, 2, 1].into()),
        // A broadcast address, for which the socket would have to ask.
        ..settings("255.255.255.255:6343".parse().unwrap())
    };
    let mut exporter = SflowExporter::new(nowhere, [0; 2], now);
    exporter.note(&refusal(), &[], now, &mut sent);
    exporter.flush(now, &mut sent);
    assert!(sent.unsent == 1 && sent.why.is_some(), "{sent:?}");
    let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
    exporter.settings.collector = collector.local_addr().unwrap();
    exporter.note(&refusal(), &[], now, &mut sent);
    exporter.flush(now, &mut sent);
    assert_eq!((sent.unsent, sent.discards, sent.why), (1, 1, None));
}

#[test]
fn datagrams_are_short() {
    let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (now, mut sent) = (Instant::now(), SflowSent::default());
    let settings = SflowSettings {
        discards_per_second: DiscardsPerSecond::constant(1_000),
        ..settings(collector.local_addr().unwrap())
    };
    let mut exporter = SflowExporter::new(settings, [0; 2], now);
    (0..20).for_each(|_| exporter.note(&refusal(), &[7; 128], now, &mut sent));
    exporter.flush(now, &mut sent);
    let mut buffer = [0; 2_048];
    let lengths: Vec<_> = (0..3).map(|_| collector.recv(&mut buffer).unwrap()).collect();
    assert!(lengths.iter().all(|length| *length <= MOST), "{lengths:?}");
    assert_eq!(sent.discards, 20);
}

#[test]
fn what_the_collectors_host_refuses_did_not_arrive() {
    let place = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = place.local_addr().unwrap();
    drop(place);
    let (now, mut sent) = (Instant::now(), SflowSent::default());
    let limit = DiscardsPerSecond::constant(1_000);
    let settings = SflowSettings { discards_per_second: limit, ..settings(to) };
    let mut exporter = SflowExporter::new(settings, [0; 2], now);
    let mut send = |sent: &mut SflowSent| {
        exporter.note(&refusal(), &[], now, sent);
        exporter.flush(now, sent);
    };
    // The last one is not known of yet. On loopback the ICMP error is there when `send` returns.
    (0..4).for_each(|_| send(&mut sent));
    assert_eq!((sent.unsent, sent.discards), (3, 4));
    assert!(sent.why.as_ref().is_some_and(|why| why.contains("refused")), "{sent:?}");
    let _collector = UdpSocket::bind(to).unwrap();
    (0..2).for_each(|_| send(&mut sent));
    assert_eq!((sent.unsent, sent.discards, &sent.why), (4, 6, &None));
}
