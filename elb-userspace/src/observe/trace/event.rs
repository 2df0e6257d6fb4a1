//! One reported packet: from the kernel's record to the words.

use std::time::{Duration, SystemTime};

use elb_common::path::peek::Carried;
use elb_common::reason::Reason;
use elb_common::trace::{Event as Record, FORWARDED, NO_LISTENER};
use serde::{Deserialize, Serialize};

use crate::observe::explain::{chose_backend, fate};
use crate::observe::names::{Member, Names};
use crate::observe::packet::{Seen, Sent, protocol_name, with_port};

/// A packet and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, RFC 3339, UTC, to the nanosecond.
    pub time: String,
    /// The interface that it came by.
    pub interface: String,
    /// tcp, udp, icmp, icmpv6, arp, or a number: of the IP protocol, or in hex of the ethertype.
    pub protocol: String,
    /// Its sender, with the port if it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<String>,
    /// Its receiver, with the port if it has one; for ARP, the address asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub destination: Option<String>,
    /// Whether it opens a TCP connection.
    pub syn: bool,
    /// Whether it is a part of a datagram.
    pub fragment: bool,
    /// Length of the frame as it came, in bytes.
    pub length: u32,
    /// The listener that it is for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub listener: Option<String>,
    /// forwarded, passed, dropped or answered.
    pub verdict: String,
    /// Why it was not forwarded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// What that means.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub meaning: Option<String>,
    /// The backend that was chosen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub member: Option<Member>,
    /// How it went on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sent: Option<Sent>,
    /// The first bytes of the frame as it came, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub received_bytes: Option<Bytes>,
    /// The first bytes of the frame as it went, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sent_bytes: Option<Bytes>,
}

/// Bytes, in hex where they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes(pub Vec<u8>);

impl From<Bytes> for String {
    fn from(Bytes(bytes): Bytes) -> Self {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl TryFrom<String> for Bytes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
        let bytes = (0..text.len()).step_by(2).map(pair).collect::<Option<_>>();
        bytes.map(Self).ok_or_else(|| format!("{text:?} is not in hex"))
    }
}

/// An event as the kernel tells it.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'b> {
    /// What became of the packet.
    pub event: Record,
    received: &'b [u8],
    sent: &'b [u8],
}

impl<'b> Raw<'b> {
    /// An entry of `EVENTS`; `None` if it is none of this version's.
    pub fn read(bytes: &'b [u8]) -> Option<Self> {
        let (record, rest) = bytes.split_at_checked(size_of::<Record>())?;
        let event: Record = bytemuck::pod_read_unaligned(record);
        let (received, rest) = rest.split_at_checked(event.received_bytes as usize)?;
        let sent = rest.get(..event.sent_bytes as usize)?;
        Some(Self { event, received, sent })
    }

    /// The frame as it came.
    pub const fn received(&self) -> Seen<'b> {
        Seen { bytes: self.received, length: self.event.received }
    }

    /// Id of the backend that was chosen.
    pub fn member(&self) -> Option<u16> {
        let id = u16::try_from(self.event.backend).ok()?;
        (id != 0 && chose_backend(self.reason())).then_some(id)
    }

    fn reason(&self) -> Option<Reason> {
        if self.event.reason == FORWARDED {
            return None;
        }
        Reason::ALL.get(self.event.reason as usize).copied()
    }

    /// In words. `booted` is when the monotonic clock was at zero.
    pub fn event(&self, names: &Names, booted: SystemTime, with_bytes: bool) -> Event {
        let carried = Described::of(self.received().carried());
        let (event, reason) = (&self.event, self.reason());
        let listener = u16::try_from(event.listener).ok().filter(|_| event.listener != NO_LISTENER);
        let sent = Seen { bytes: self.sent, length: event.sent };
        let outer = if reason.is_none() { event.sent.saturating_sub(event.received) } else { 0 };
        let time = booted + Duration::from_nanos(event.time);
        Event {
            time: humantime::format_rfc3339_nanos(time).to_string(),
            interface: names.interface(event.ingress),
            protocol: carried.protocol,
            source: carried.source,
            destination: carried.destination,
            syn: carried.syn,
            fragment: carried.fragment,
            length: event.received,
            listener: listener.map(|id| names.listener(id)),
            verdict: fate(reason).to_owned(),
            reason: reason.map(|reason| reason.name().to_owned()),
            meaning: reason.map(|reason| reason.meaning().to_owned()),
            member: self.member().map(|id| names.member(id)),
            sent: (event.egress != 0).then(|| sent.sent(names.interface(event.egress), outer)),
            received_bytes: with_bytes.then(|| Bytes(self.received.to_vec())),
            sent_bytes: (with_bytes && event.egress != 0).then(|| Bytes(self.sent.to_vec())),
        }
    }
}

/// What a frame carries, in words.
#[derive(Default)]
struct Described {
    protocol: String,
    source: Option<String>,
    destination: Option<String>,
    syn: bool,
    fragment: bool,
}

impl Described {
    fn of(carried: Carried) -> Self {
        match carried {
            Carried::Ip { source, destination, protocol, fragment, transport } => {
                let ports = transport.map(|transport| transport.ports);
                let (from, to) =
                    (ports.map(|p| p.source.get()), ports.map(|p| p.destination.get()));
                Self {
                    protocol: protocol_name(protocol),
                    source: Some(with_port(source, from)),
                    destination: Some(with_port(destination, to)),
                    syn: transport.is_some_and(|transport| transport.opens()),
                    fragment,
                }
            }
            Carried::Arp { source, destination } => Self {
                protocol: "arp".to_owned(),
                source: Some(source.to_string()),
                destination: Some(destination.to_string()),
                ..Self::default()
            },
            Carried::Other(ethertype) => {
                Self { protocol: format!("{ethertype:#06x}"), ..Self::default() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::trace::{Filter, Request};

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
        let told = raw.event(&Names::default(), SystemTime::UNIX_EPOCH, true);
        assert_eq!(told.time, "1970-01-01T00:00:01.500000000Z");
        assert_eq!((told.interface.as_str(), told.protocol.as_str()), ("#3", "udp"));
        assert_eq!(told.source.as_deref(), Some("10.0.0.1:4096"));
        assert_eq!(told.destination.as_deref(), Some("10.0.0.2:80"));
        assert_eq!(
            (told.verdict.as_str(), told.reason.as_deref()),
            ("dropped", Some("no_backend"))
        );
        assert_eq!((told.listener, told.sent, told.sent_bytes), (None, None, None));
        assert_eq!(told.member, None, "the one that was looked at was not chosen");
        assert_eq!(told.received_bytes, Some(Bytes(FRAME.to_vec())));
    }

    #[test]
    fn a_forwarded_packet_and_who_asked_for_it() {
        let forwarded = Record { listener: 5, backend: 4, egress: 3, ..record(FORWARDED) };
        let bytes = entry(forwarded, &[7; 42]);
        let raw = Raw::read(&bytes).unwrap();
        let told = raw.event(&Names::default(), SystemTime::UNIX_EPOCH, false);
        assert_eq!((told.verdict.as_str(), told.member.unwrap().id), ("forwarded", 4));
        assert_eq!(told.listener.as_deref(), Some("#5"));
        assert_eq!(told.sent.unwrap().next_hop_mac, "07:07:07:07:07:07");
        assert_eq!((told.received_bytes, told.sent_bytes), (None, None));

        let wants =
            |request: Request| Filter::new(&request, &Names::default()).unwrap().wants(&raw);
        assert!(wants(Request::default()));
        assert!(wants(Request { vip: Some([10, 0, 0, 2].into()), ..Request::default() }));
        assert!(!wants(Request { vip: Some([10, 0, 0, 1].into()), ..Request::default() }));
        let reason = Some("no_backend".parse().unwrap());
        assert!(!wants(Request { reason, ..Request::default() }));
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
}
