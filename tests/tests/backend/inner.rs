//! Packets inside packets, made by hand.

use std::net::IpAddr;

use crate::scene::*;

/// A packet that goes inside another.
pub struct Inner {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    pub payload: Vec<u8>,
    /// ECN.
    pub mark: u8,
}

impl Inner {
    pub fn bytes(&self) -> Vec<u8> {
        let length = u16::try_from(self.payload.len()).expect("test packets are small");
        let mut payload = self.payload.clone();
        let at = if self.protocol == TCP { 16 } else { 6 };
        let pseudo = [
            octets(self.source),
            octets(self.destination),
            [0, self.protocol].to_vec(),
            length.to_be_bytes().to_vec(),
            payload.clone(),
        ];
        payload[at..at + 2].copy_from_slice(&checksum(&pseudo.concat()).to_be_bytes());
        [self.header(length), payload].concat()
    }

    pub fn header(&self, length: u16) -> Vec<u8> {
        let mut header = match self.source {
            IpAddr::V4(_) => vec![0x45, self.mark],
            IpAddr::V6(_) => vec![0x60, self.mark << 4, 0, 0],
        };
        let length = if self.source.is_ipv4() { length + 20 } else { length };
        header.extend(length.to_be_bytes());
        match self.source {
            IpAddr::V4(_) => header.extend([0, 1, 0x40, 0, 64, self.protocol, 0, 0]),
            IpAddr::V6(_) => header.extend([self.protocol, 64]),
        }
        header.extend(octets(self.source));
        header.extend(octets(self.destination));
        if self.source.is_ipv4() {
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        header
    }
}

pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// RFC 1071.
pub fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("carries are folded in")
}

pub fn udp(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + data.len()).expect("test packets are small");
    let header = [CLIENT_PORT, PORT, length, 0].map(u16::to_be_bytes);
    [header.as_flattened(), data].concat()
}

/// A segment that opens a connection.
pub fn syn() -> Vec<u8> {
    let mut segment = [CLIENT_PORT, PORT].map(u16::to_be_bytes).concat();
    segment.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    segment
}
