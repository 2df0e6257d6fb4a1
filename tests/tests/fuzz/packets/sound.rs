//! Whether a frame is as RFCs want it, all headers and checksums down to the innermost packet, as another
//! parser (etherparse) reads it.

use etherparse::{NetSlice, SlicedPacket};

use crate::frame::checksum;

const GUE: u16 = 6080;

/// What is wrong with a frame, if anything is.
pub fn check(frame: &[u8]) -> Result<(), String> {
    net(SlicedPacket::from_ethernet(frame))
}

fn net(read: Result<SlicedPacket<'_>, impl std::fmt::Display>) -> Result<(), String> {
    let packet = read.map_err(|error| error.to_string())?;
    match &packet.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header();
            let (sum, right) =
                (header.header_checksum(), header.to_header().calc_header_checksum());
            if sum != right {
                return Err(format!("IPv4 header checksum {sum:#x}, not {right:#x}"));
            }
            let ends = [header.source(), header.destination()].concat();
            payload(ip.payload(), &ends)
        }
        Some(NetSlice::Ipv6(ip)) => {
            let ends = [ip.header().source(), ip.header().destination()].concat();
            payload(ip.payload(), &ends)
        }
        Some(NetSlice::Arp(_)) | None => Ok(()),
    }
}

fn payload(ip: &etherparse::IpPayloadSlice<'_>, ends: &[u8]) -> Result<(), String> {
    let (protocol, bytes) = (ip.ip_number.0, ip.payload);
    if ip.fragmented {
        return Ok(());
    }
    let sum = |pseudo: &[u8]| checksum(&[&[pseudo, bytes].concat()]);
    let length = u32::try_from(bytes.len()).map_err(|error| error.to_string())?.to_be_bytes();
    let pseudo = [ends, &length, &[0, 0, 0, protocol]].concat();
    let right = match protocol {
        1 => sum(&[]) == 0,
        6 | 58 => sum(&pseudo) == 0,
        17 if bytes[6..8] == [0, 0] => true,
        17 => sum(&pseudo) == 0,
        _ => true,
    };
    if !right {
        return Err(format!("the checksum of protocol {protocol} is wrong"));
    }
    match protocol {
        4 | 41 => net(SlicedPacket::from_ip(bytes)),
        17 if bytes[2..4] == GUE.to_be_bytes() && bytes.len() > 8 && bytes[8] >> 6 == 1 => {
            net(SlicedPacket::from_ip(&bytes[8..]))
        }
        _ => Ok(()),
    }
}

#[test]
fn a_damaged_header_is_seen() {
    let frame = crate::frame::tcp("198.51.100.7", 1, crate::world::vip4(), 80, 2, b"data").frame();
    assert_eq!(check(&frame), Ok(()));
    for at in 14..frame.len() {
        let mut damaged = frame.clone();
        damaged[at] ^= 0x11;
        assert!(check(&damaged).is_err(), "byte {at}");
    }
}
