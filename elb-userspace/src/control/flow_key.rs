//! The key of a flow in the flow tables, of either version of IP.

use std::net::{IpAddr, SocketAddr};

use elb_common::addr::{Be16, Be32, Be128};
use elb_common::flow::{CONNECTION_ID, FlowKeyV4, FlowKeyV6, Ports};
use elb_common::path::{Family as _, V4, V6};

/// The key of a flow, of either table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// Of `FLOWS_V4`.
    V4(FlowKeyV4),
    /// Of `FLOWS_V6`.
    V6(FlowKeyV6),
}

impl Key {
    /// The flow of a five-tuple. Addresses of different versions are both taken as IPv6.
    pub fn new(source: SocketAddr, destination: SocketAddr, protocol: u8) -> Self {
        let ports =
            Ports { source: Be16::new(source.port()), destination: Be16::new(destination.port()) };
        match (source.ip(), destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let [source, destination]: [Be32; 2] =
                    [source, destination].map(|address| bytemuck::cast(address.octets()));
                Self::V4(FlowKeyV4::new(source, destination, ports, protocol))
            }
            (source, destination) => {
                let [source, destination]: [Be128; 2] =
                    [source, destination].map(|address| bytemuck::cast(octets(address)));
                Self::V6(FlowKeyV6::new(source, destination, ports, protocol))
            }
        }
    }

    /// Its hash as an algorithm has it (see [`elb_common::listener::algorithm`]), which chooses its
    /// slot.
    pub fn hash(&self, algorithm: u16) -> u32 {
        match self {
            Self::V4(key) => V4::hash(key, algorithm),
            Self::V6(key) => V6::hash(key, algorithm),
        }
    }

    /// Source, destination and protocol; of a QUIC connection, neither addresses nor ports.
    pub fn five_tuple(&self) -> (SocketAddr, SocketAddr, u8) {
        match self {
            Self::V4(key) => {
                let [a, b, c, d, e, f, g, h, ports @ ..]: [u8; 16] = bytemuck::cast(*key);
                ends([a, b, c, d].into(), [e, f, g, h].into(), ports)
            }
            Self::V6(key) => {
                let [a, b, c, d, rest]: [u64; 5] = bytemuck::cast(*key);
                let [source, destination]: [[u8; 16]; 2] = [[a, b], [c, d]].map(bytemuck::cast);
                ends(source.into(), destination.into(), bytemuck::cast(rest))
            }
        }
    }

    /// Digest and listener of a QUIC connection; `None` for every other flow.
    pub fn connection(&self) -> Option<(u64, u16)> {
        let (digest, rest) = match self {
            Self::V4(key) => (key.words()[0], key.words()[1]),
            Self::V6(key) => (key.words()[0], key.words()[4]),
        };
        let [_, _, low, high, protocol, ..] = rest.to_ne_bytes();
        (protocol == CONNECTION_ID).then(|| (digest, u16::from_ne_bytes([low, high])))
    }
}

/// The last word of a key: source port, destination port, protocol, zero.
fn ends(source: IpAddr, destination: IpAddr, word: [u8; 8]) -> (SocketAddr, SocketAddr, u8) {
    let [a, b, c, d, protocol, ..] = word;
    let socket = |address, port| SocketAddr::new(address, u16::from_be_bytes(port));
    (socket(source, [a, b]), socket(destination, [c, d]), protocol)
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back() {
        for (source, destination, protocol) in [
            ("198.51.100.7:50000", "192.0.2.10:80", 6),
            ("[2001:db8::7]:1", "[2001:db8::10]:443", 17),
        ] {
            let tuple = (source.parse().unwrap(), destination.parse().unwrap(), protocol);
            assert_eq!(Key::new(tuple.0, tuple.1, tuple.2).five_tuple(), tuple);
        }
    }
}
