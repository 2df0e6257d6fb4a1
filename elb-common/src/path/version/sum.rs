//! The checksum of a datagram that has none, which IPv4 allows and IPv6 does not (RFC 8200 §8.1). It gets that of IPv4
//! first, which then changes as any other does.

use core::hint::black_box;

use super::super::wire::Udp;
use super::super::{Ip, Link, Packet, Stop, parse};
use crate::addr::Be32;
use crate::checksum;
use crate::reason::Reason;

/// Bytes of the longest datagram that gets one, headers included.
const MOST: usize = 1500;
const WORD: usize = size_of::<Be32>();

/// Whether it is a datagram without a checksum.
#[inline(always)]
pub(in super::super) fn is_missing<A, P: Packet>(packet: &P, ip: &Ip<A>) -> bool {
    parse::is_udp(ip.protocol)
        && !ip.is_later_fragment()
        && packet.view::<Udp>(ip.payload).is_some_and(|datagram| datagram.checksum == 0)
}

/// Gives the datagram its checksum; an error if it cannot get one.
#[inline(always)]
pub(in super::super) fn write<P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<Be32>,
) -> Result<(), Stop> {
    let truncated = || Stop(Reason::Truncated);
    let datagram: &Udp = packet.view(ip.payload).ok_or_else(truncated)?;
    let length = datagram.length.get() as usize;
    let room = (ip.length as usize).wrapping_sub(ip.payload.wrapping_sub(link.end));
    if ip.is_first_fragment() || length < size_of::<Udp>() || length > room || length > MOST {
        return Err(Stop(Reason::UdpChecksum));
    }
    let pseudo = u64::from(ip.source.raw())
        + u64::from(ip.destination.raw())
        + u64::from(datagram.length.raw())
        + u64::from(u16::from_ne_bytes([0, ip.protocol]));
    let sum = pseudo + words(packet, ip.payload, length).ok_or_else(truncated)?;
    let datagram: &mut Udp = packet.view_mut(ip.payload).ok_or_else(truncated)?;
    datagram.checksum = match checksum::finish(checksum::from_u32s(sum)) {
        0 => 0xffff,
        checksum => checksum,
    };
    Ok(())
}

/// The sum of the 32-bit words of `length` bytes, at most [`MOST`] and at least four; what is missing of the last is zero.
#[inline(always)]
fn words<P: Packet>(packet: &P, offset: usize, length: usize) -> Option<u64> {
    // The verifier does not go back from the end: it must not know that this is there.
    let last = black_box(length.wrapping_sub(WORD));
    if last > MOST {
        return None;
    }
    // At any offset, so by bytes.
    let last: &[u8; WORD] = packet.view(offset + last)?;
    let missing = (u32::BITS as usize).wrapping_sub(length % WORD * 8);
    let last = u64::from(u32::from_le_bytes(*last)) >> missing;
    let mut sum = u64::from(u32::from_ne_bytes((last as u32).to_le_bytes()));
    let rows = length / ROW;
    for row in 0..MOST / ROW {
        if row >= rows {
            break;
        }
        let row: &Row = packet.view(offset + row * ROW)?;
        sum += row.iter().fold(0, |sum, word| sum + u64::from(word.raw()));
    }
    let rest = offset + rows * ROW;
    for word in 0..ROW / WORD {
        if word >= length % ROW / WORD {
            break;
        }
        let word: &Be32 = packet.view(rest + word * WORD)?;
        sum += u64::from(word.raw());
    }
    Some(sum)
}

/// Words that are looked at at once: each look is one more way for the verifier to walk.
type Row = [Be32; 16];
const ROW: usize = size_of::<Row>();

#[cfg(test)]
mod tests {
    use super::super::super::{Frame, V4};
    use super::*;
    use crate::path::Family;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// RFC 1071 over bytes, as plainly as it can be said.
    fn plain(bytes: &[u8]) -> u16 {
        let words = bytes.chunks(2);
        let word = |pair: &[u8]| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
        let mut sum: u64 = words.map(word).sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    proptest! {
        #[test]
        fn it_is_that_of_its_bytes(addresses: [u8; 8], data in proptest::collection::vec(any::<u8>(), 0..1473)) {
            let length = (8 + data.len() as u16).to_be_bytes();
            let total = (28 + data.len() as u16).to_be_bytes();
            let link = [&[2; 6][..], &[4; 6], &[8, 0]].concat();
            let header = [&[0x45, 0][..], &total, &[0, 9, 0x40, 0, 61, 17, 0, 0], &addresses].concat();
            let datagram: Vec<u8> = [&[0, 53, 1, 2][..], &length, &[0, 0], &data].concat();
            let mut buffer = [0; 2048];
            let mut frame = Frame::new(&mut buffer, &[link, header, datagram.clone()].concat(), 1).unwrap();
            let link = parse::link(&frame).unwrap();
            let ip = V4::parse(&frame, link.end).unwrap();
            prop_assert!(is_missing(&frame, &ip));
            prop_assert_eq!(write(&mut frame, &link, &ip), Ok(()));
            let pseudo = [&addresses[..], &[0, 17], &length].concat();
            let wanted = match plain(&[pseudo, datagram].concat()) { 0 => 0xffff, sum => sum };
            prop_assert_eq!(&frame.bytes()[40..42], wanted.to_be_bytes());
        }
    }
}
