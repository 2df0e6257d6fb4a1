//! One reported packet: from the kernel's record to the words.

use std::time::{Duration, SystemTime};

use elb_common::path::peek::Carried;
use elb_common::reason::Reason;
use elb_common::trace::{Event as Record, FORWARDED, NO_LISTENER};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::observe::explain::{chose_backend, fate};
use crate::observe::names::{BackendMember, Names};
use crate::observe::packet::{SeenFrame, Sent, Translated, protocol_name, with_port};

/// A packet and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PacketEvent {
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
    pub fate: String,
    /// Why it was not forwarded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// What that means.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub meaning: Option<String>,
    /// The backend that was chosen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub member: Option<BackendMember>,
    /// Its addresses and ports afterwards, if it was translated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub translated: Option<Translated>,
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// An event as the kernel reports it.
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
    pub const fn received(&self) -> SeenFrame<'b> {
        SeenFrame { bytes: self.received, length: self.event.received }
    }

    /// The frame as it went, if it did.
    pub fn sent(&self) -> Option<SeenFrame<'b>> {
        (self.event.egress != 0).then_some(SeenFrame { bytes: self.sent, length: self.event.sent })
    }

    /// Whether it went on, by a listener.
    pub fn is_for_listener(&self) -> bool {
        self.reason().is_none() && self.event.listener != NO_LISTENER
    }

    /// Whether it is a member's answer that was not translated, so that its listener is not known.
    pub fn is_lost_answer(&self) -> bool {
        matches!(self.reason(), Some(Reason::ReplyUnknown | Reason::NoRoute | Reason::ResetTold))
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
    pub fn event(&self, names: &Names, booted: SystemTime, with_bytes: bool) -> PacketEvent {
        let carried = Described::of(self.received().carried());
        let (event, reason) = (&self.event, self.reason());
        let listener = u16::try_from(event.listener).ok().filter(|_| event.listener != NO_LISTENER);
        let sent = self.sent();
        let outer = sent.filter(|_| reason.is_none()).map_or(0, |sent| self.received().outer(sent));
        let time = booted + Duration::from_nanos(event.time);
        PacketEvent {
            time: humantime::format_rfc3339_nanos(time).to_string(),
            interface: names.interface(event.ingress),
            protocol: carried.protocol,
            source: carried.source,
            destination: carried.destination,
            syn: carried.syn,
            fragment: carried.fragment,
            length: event.received,
            listener: listener.map(|id| names.listener(id)),
            fate: fate(reason).to_owned(),
            reason: reason.map(|reason| reason.name().to_owned()),
            meaning: reason.map(|reason| reason.meaning().to_owned()),
            member: self.member().map(|id| names.member(id)),
            translated: sent
                .filter(|_| reason.is_none() && outer == 0)
                .and_then(|sent| Translated::between(self.received().carried(), sent.carried())),
            sent: sent.map(|sent| sent.sent(names.interface(event.egress), outer)),
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
mod tests;
