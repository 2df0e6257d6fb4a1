//! Frames as people read them: whom they are from and to, and how one went on.

use std::net::{IpAddr, SocketAddr};

use elb_common::backend::GUE_PORT;
use elb_common::flow::Ports;
use elb_common::path::peek::{self, Carried, Ends};
use elb_common::path::{Frame, Packet as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A frame that was sent on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sent {
    /// The interface that it left by.
    pub interface: String,
    /// Its sender's Ethernet address.
    pub source_mac: String,
    /// Its receiver's Ethernet address: the next hop.
    pub next_hop_mac: String,
    /// Its length in bytes, Ethernet header included.
    pub length: u32,
    /// What was put around the packet; `None`: nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub encapsulation: Option<Encapsulation>,
}

/// An outer header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Encapsulation {
    /// Its source.
    pub source: IpAddr,
    /// Its destination.
    pub destination: IpAddr,
    /// Its protocol: what follows it.
    pub protocol: String,
    /// The ports of the UDP header behind it, with which GUE starts; `None`: it is ipip, or they are
    /// not known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gue: Option<GuePorts>,
    /// Bytes that it adds.
    pub bytes: u32,
}

/// The UDP ports of Generic UDP Encapsulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuePorts {
    /// One of the dynamic ports, which the flow chooses: 49152 to 65535.
    pub source_port: u16,
    /// Where the backend server unwraps: 6080.
    pub destination_port: u16,
}

/// The addresses and ports of a packet after it was translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Translated {
    /// Its sender.
    pub source: SocketAddr,
    /// Its receiver.
    pub destination: SocketAddr,
}

impl Translated {
    /// What a packet became; `None`: it has the same addresses and ports, or they are not known.
    pub fn between(before: Carried, after: Carried) -> Option<Self> {
        let after = Self::of(after)?;
        (Self::of(before) != Some(after)).then_some(after)
    }

    fn of(carried: Carried) -> Option<Self> {
        let Carried::Ip { source, destination, transport, .. } = carried else { return None };
        let ports = transport?.ports;
        Some(Self {
            source: SocketAddr::new(source, ports.source.get()),
            destination: SocketAddr::new(destination, ports.destination.get()),
        })
    }
}

/// A frame of which the first bytes may be all that is known.
#[derive(Clone, Copy, Debug)]
pub struct SeenFrame<'b> {
    /// The first bytes.
    pub bytes: &'b [u8],
    /// The length of all.
    pub length: u32,
}

impl SeenFrame<'_> {
    /// What it carries.
    pub fn carried(self) -> Carried {
        self.look(|frame| peek::carried(frame)).unwrap_or(Carried::Other(0))
    }

    /// Whom it is from and to.
    pub fn ends(self) -> Option<Ends> {
        self.look(|frame| peek::ends(frame)).flatten()
    }

    /// Bytes of outer headers that the frame was sent with. One that is translated to IPv6 has none: it grows by less than
    /// a header of that.
    pub fn outer(self, sent: Self) -> u32 {
        const HEADER: u32 = 40;
        let grown = sent.length.saturating_sub(self.length);
        let is_v4 = |frame: Self| match frame.carried() {
            Carried::Ip { source, .. } => Some(source.is_ipv4()),
            Carried::Arp { .. } | Carried::Other(_) => None,
        };
        let is_translated =
            grown < HEADER && is_v4(self) == Some(true) && is_v4(sent) == Some(false);
        if is_translated { 0 } else { grown }
    }

    /// What lies behind the known bytes counts as zeroes.
    fn look<T>(self, look: impl FnOnce(&Frame<'_>) -> T) -> Option<T> {
        let length = self.length as usize;
        let mut buffer = vec![0u16; (Frame::HEADROOM + length).div_ceil(2)];
        let mut frame = Frame::new(&mut buffer, self.bytes, 0)?;
        frame.set_len(self.length)?;
        Some(look(&frame))
    }

    /// How it went, by `interface`, with `outer` bytes of headers around it.
    pub fn sent(self, interface: String, outer: u32) -> Sent {
        let mac = |at: usize| self.bytes.get(at..at + 6).map(mac).unwrap_or_default();
        let encapsulation = Some(outer).filter(|bytes| *bytes > 0);
        let encapsulation = encapsulation.and_then(|bytes| match self.carried() {
            Carried::Ip { source, destination, protocol, transport, .. } => {
                let protocol = protocol_name(protocol);
                let gue = transport.and_then(|transport| GuePorts::of(transport.ports));
                Some(Encapsulation { source, destination, protocol, gue, bytes })
            }
            Carried::Arp { .. } | Carried::Other(_) => None,
        });
        let (next_hop_mac, source_mac) = (mac(0), mac(6));
        Sent { interface, source_mac, next_hop_mac, length: self.length, encapsulation }
    }
}

impl GuePorts {
    /// `None`: they are others, as of a header behind the known bytes.
    fn of(ports: Ports) -> Option<Self> {
        let (source_port, destination_port) = (ports.source.get(), ports.destination.get());
        (destination_port == GUE_PORT).then_some(Self { source_port, destination_port })
    }
}

/// Six bytes as an Ethernet address.
pub fn mac(bytes: &[u8]) -> String {
    let parts: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    parts.join(":")
}

/// The name of an IANA protocol number that packets here have.
pub fn protocol_name(number: u8) -> String {
    let name = match number {
        1 => "icmp",
        4 => "ipv4",
        6 => "tcp",
        17 => "udp",
        41 => "ipv6",
        58 => "icmpv6",
        other => return other.to_string(),
    };
    name.to_owned()
}

/// An address with a port, or without.
pub fn with_port(address: IpAddr, port: Option<u16>) -> String {
    port.map_or_else(|| address.to_string(), |port| SocketAddr::new(address, port).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ethernet, and IPv4 in IPv4, of which only the first bytes were kept.
    const CUT: [u8; 34] = [
        2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0, // Ethernet
        0x45, 0, 0, 60, 0, 0, 0, 0, 64, 4, 0, 0, 10, 0, 0, 1, 10, 0, 0, 12, // IP
    ];

    #[test]
    fn an_outer_header_shows_the_way() {
        let sent = SeenFrame { bytes: &CUT, length: 74 }.sent("lb0".to_owned(), 20);
        assert_eq!((sent.next_hop_mac.as_str(), sent.length), ("02:00:00:00:00:09", 74));
        let outer = sent.encapsulation.unwrap();
        assert_eq!(
            (outer.source, outer.destination),
            ([10, 0, 0, 1].into(), [10, 0, 0, 12].into())
        );
        assert_eq!((outer.protocol.as_str(), outer.bytes), ("ipv4", 20));
        let same = SeenFrame { bytes: &CUT, length: 74 }.sent("lb0".to_owned(), 0);
        assert_eq!(same.encapsulation, None);
    }

    /// IPv4 that becomes IPv6 grows, too.
    #[test]
    fn what_is_translated_has_no_outer_header() {
        let mut v4 = CUT;
        v4[23] = 6;
        let mut v6 = [0; 58];
        v6[12..14].copy_from_slice(&[0x86, 0xdd]);
        (v6[14], v6[20], v6[21]) = (0x60, 6, 64);
        let outer = |sent: &[u8], length| {
            SeenFrame { bytes: &v4, length: 74 }.outer(SeenFrame { bytes: sent, length })
        };
        assert_eq!(outer(&v6, 94), 0);
        assert_eq!(outer(&CUT, 94), 20);
        v6[20] = 4;
        assert_eq!(outer(&v6, 114), 40);
        assert_eq!(outer(&v4, 74), 0);
    }

    #[test]
    fn gue_shows_its_ports_where_they_are_known() {
        let udp = [0xc0, 1, 0x17, 0xc0, 0, 48, 0, 0];
        let mut bytes = [&CUT[..], &udp].concat();
        bytes[23] = 17;
        bytes[17] = 68;
        let gue = |known: usize| {
            let sent = SeenFrame { bytes: &bytes[..known], length: 82 }.sent("lb0".to_owned(), 32);
            let outer = sent.encapsulation.unwrap();
            (outer.protocol, outer.gue)
        };
        let ports = GuePorts { source_port: 0xc001, destination_port: 6080 };
        assert_eq!(gue(bytes.len()), ("udp".to_owned(), Some(ports)));
        assert_eq!(gue(34), ("udp".to_owned(), None));
    }

    #[test]
    fn too_little_of_a_frame_is_nothing() {
        let seen = SeenFrame { bytes: &CUT[..9], length: 9 };
        assert_eq!(seen.carried(), Carried::Other(0));
        assert_eq!(seen.sent("lb0".to_owned(), 2).source_mac, "");
    }
}
