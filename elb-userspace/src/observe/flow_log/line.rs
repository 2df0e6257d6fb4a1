//! One line of the flow log: from the kernel's record to the words. Fields are named as in
//! `elb trace -o json`; what cannot be known is `null`.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use elb_common::flow_log::{FlowEvent, Kind, NO_LISTENER, known};
use elb_common::reason::Reason;
use elb_common::trace::FORWARDED;
use schemars::JsonSchema;
use serde::Serialize;

use super::join::{Connection, Ended};
use crate::model::ResourceId;
use crate::observe::explain::fate;
use crate::observe::names::{BackendMember, Names};
use crate::observe::packet::{protocol_name, with_port};

/// A line of the flow log.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum FlowLogLine {
    /// An open, an end, or a refusal.
    Event(FlowEventLine),
    /// A connection, with `form = "connections"`.
    Connection(FlowConnectionLine),
    /// What is lost.
    Missed(FlowsMissedLine),
}

/// An open, an end, or a refusal.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FlowEventLine {
    /// When, RFC 3339, UTC, nanoseconds.
    time: String,
    /// What happened.
    event: FlowEventName,
    /// The interface that the packet came by.
    interface: String,
    /// The protocol: tcp, udp, icmp, arp, or its number.
    protocol: Option<String>,
    /// The sender: address and port, or the address alone.
    source: Option<String>,
    /// The receiver in the same form.
    destination: Option<String>,
    /// Length of the frame.
    length: Option<u32>,
    #[serde(flatten)]
    place: Place,
    /// What became of the packet: forwarded, dropped or answered.
    fate: &'static str,
    /// Why it was refused, by the words of `elb drops`.
    reason: Option<&'static str>,
    /// By what the client ended the connection.
    ended: Option<Ended>,
    /// The TCP sequence number.
    sequence: Option<u32>,
}

/// What a line about a packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlowEventName {
    /// A client opened a connection.
    Open,
    /// A client ended one.
    End,
    /// A packet was refused.
    Refused,
}

/// A connection from its open to its end, where both are known.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FlowConnectionLine {
    /// When no more of it was to be known, RFC 3339, UTC, nanoseconds.
    time: String,
    /// `connection`.
    event: FlowConnectionName,
    /// When it was opened, if that was seen.
    start: Option<String>,
    /// When it was ended, if that was seen.
    end: Option<String>,
    /// Seconds between them.
    duration: Option<f64>,
    /// The protocol.
    protocol: Option<String>,
    /// The client: address and port.
    source: Option<String>,
    /// The virtual address and port.
    destination: Option<String>,
    #[serde(flatten)]
    place: Place,
    /// Bytes that the client sent, modulo 2³².
    bytes_in: Option<u32>,
    /// How it ended.
    ended: Ended,
}

/// What a line about a connection says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlowConnectionName {
    /// It is over, or no more is known of it.
    Connection,
}

/// What is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FlowsMissed {
    /// Beyond the budget of events a second.
    pub(super) rate: u64,
    /// The kernel's ring was full.
    pub(super) ring: u64,
    /// The place where lines go did not take them.
    pub(super) sink: u64,
}

/// The line that says what is lost.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FlowsMissedLine {
    /// Since the last such line.
    pub(super) missed: FlowsMissed,
}

/// What a packet was for, and where it went.
#[derive(Debug, Serialize, JsonSchema)]
struct Place {
    /// The listener's name.
    listener: Option<String>,
    /// Its id.
    listener_id: Option<ResourceId>,
    /// The member that it went to.
    member: Option<BackendMember>,
}

/// Names, and when the monotonic clock was at zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'n> {
    pub(super) names: &'n Names,
    pub(super) booted: SystemTime,
}

impl Words<'_> {
    pub(super) fn event(self, event: &FlowEvent) -> FlowEventLine {
        let kind = FlowEvent::kind(event.reason, event.flags);
        let reason = self.reason(event);
        let has = |bit: u32| event.known & bit != 0;
        FlowEventLine {
            time: self.time(event.time),
            event: match kind {
                Kind::Open => FlowEventName::Open,
                Kind::End => FlowEventName::End,
                Kind::Refusal => FlowEventName::Refused,
            },
            interface: self.names.interface(event.ingress),
            protocol: protocol(event),
            source: source(event),
            destination: destination(event),
            length: has(known::LENGTH).then_some(event.length),
            place: self.place(event.listener, event.backend),
            fate: fate(reason),
            reason: reason.map(Reason::name),
            ended: (kind == Kind::End).then(|| Ended::by(event)),
            sequence: has(known::SEGMENT).then_some(event.sequence),
        }
    }

    pub(super) fn connection(self, one: &Connection) -> FlowConnectionLine {
        let Connection { open, end, .. } = one;
        let seen = end.as_ref().or(open.as_ref()).copied().unwrap_or_default();
        let named = open.as_ref().copied().unwrap_or(seen);
        let nanoseconds = open.zip(*end).map(|(open, end)| end.time.saturating_sub(open.time));
        FlowConnectionLine {
            time: self.time(one.time),
            event: FlowConnectionName::Connection,
            start: open.map(|open| self.time(open.time)),
            end: end.map(|end| self.time(end.time)),
            duration: nanoseconds.map(|n| Duration::from_nanos(n).as_secs_f64()),
            protocol: protocol(&seen),
            source: source(&seen),
            destination: destination(&seen),
            place: self.place(named.listener, named.backend),
            bytes_in: one.bytes_in(),
            ended: one.ended,
        }
    }

    fn place(self, listener: u16, backend: u16) -> Place {
        let is_for_one = listener != NO_LISTENER;
        Place {
            listener: is_for_one.then(|| self.names.listener(listener)),
            listener_id: self.names.listener_id(listener).filter(|_| is_for_one),
            member: (backend != 0).then(|| self.names.member(backend)),
        }
    }

    fn time(self, nanoseconds: u64) -> String {
        let time = self.booted + Duration::from_nanos(nanoseconds);
        humantime::format_rfc3339_nanos(time).to_string()
    }

    fn reason(self, event: &FlowEvent) -> Option<Reason> {
        let is_reason = event.reason != FORWARDED;
        Reason::ALL.get(event.reason as usize).copied().filter(|_| is_reason)
    }
}

fn protocol(event: &FlowEvent) -> Option<String> {
    if event.known & known::ARP != 0 {
        return Some("arp".to_owned());
    }
    let number = u8::try_from(event.protocol).ok()?;
    (event.known & known::PROTOCOL != 0).then(|| protocol_name(number))
}

fn source(event: &FlowEvent) -> Option<String> {
    end(event, event.source, event.ports.source.get())
}

fn destination(event: &FlowEvent) -> Option<String> {
    end(event, event.destination, event.ports.destination.get())
}

fn end(event: &FlowEvent, words: [u64; 2], port: u16) -> Option<String> {
    let address: [u8; 16] = bytemuck::cast(words);
    let address = IpAddr::V6(Ipv6Addr::from(address)).to_canonical();
    let port = (event.known & known::PORTS != 0).then_some(port);
    (event.known & known::ENDS != 0).then(|| with_port(address, port))
}

#[cfg(test)]
mod tests;
